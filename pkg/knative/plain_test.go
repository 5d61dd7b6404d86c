package knative

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// ordinary has every field that plain knows.
const ordinary = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: web
  namespace: default
  uid: 0b1c9a3e-63fd-4b57-8a35-5b46a2ac3f0d
  resourceVersion: "7"
  generation: 3
  creationTimestamp: "2026-01-02T03:04:05Z"
  labels: {kubetorch.com/autoscale: "true"}
  finalizers: [example.com/f]
  annotations: {serving.knative.dev/creator: alice, serving.knative.dev/lastModifier: bob, compute.kubetorch.com/gpus: "1"}
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: x, controller: true, blockOwnerDeletion: true}]
  managedFields: [{manager: kubectl, operation: Update, apiVersion: serving.knative.dev/v1, time: "2026-01-02T03:04:05Z", fieldsType: FieldsV1, fieldsV1: {"f:spec": {}}, subresource: status}]
spec:
  traffic: [{latestRevision: true, percent: 100}]
  template:
    metadata:
      creationTimestamp: null
      labels: {app: web}
      annotations:
        example.com/note: any
        autoscaling.knative.dev/class: kpa.autoscaling.knative.dev
        autoscaling.knative.dev/metric: concurrency
        autoscaling.knative.dev/min-scale: "1"
        autoscaling.knative.dev/max-scale: "10"
        autoscaling.knative.dev/initial-scale: "1"
        autoscaling.knative.dev/target: "5.5"
        autoscaling.knative.dev/target-utilization-percentage: "70"
        autoscaling.knative.dev/window: 60s
        autoscaling.knative.dev/scale-down-delay: 5m
        autoscaling.knative.dev/scale-to-zero-pod-retention-period: 10m
        serving.knative.dev/progress-deadline: 10m
    spec:
      containerConcurrency: 10
      timeoutSeconds: 300
      responseStartTimeoutSeconds: 300
      idleTimeoutSeconds: 30
      serviceAccountName: runner.web
      priorityClassName: high
      enableServiceLinks: false
      nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}
      imagePullSecrets: [{name: registry}]
      tolerations: [{key: nvidia.com/gpu, operator: Equal, value: x, effect: NoSchedule, tolerationSeconds: 7}]
      volumes:
      - {name: dshm, emptyDir: {medium: Memory, sizeLimit: 8Gi}}
      - {name: keys, secret: {secretName: keys, optional: true, defaultMode: 256}}
      - {name: files, configMap: {name: files, optional: false, defaultMode: 420}}
      containers:
      - name: app
        image: registry.example.com/team/app:v1.2_A-b
        imagePullPolicy: Always
        workingDir: /app
        args: [a]
        command: [b]
        terminationMessagePath: /log
        terminationMessagePolicy: File
        env:
        - {name: MODEL, value: llama}
        - {name: KEY, valueFrom: {secretKeyRef: {name: a, key: b, optional: true}}}
        - {name: FILE, valueFrom: {configMapKeyRef: {name: a, key: b}}}
        envFrom: [{secretRef: {name: a, optional: true}}, {configMapRef: {name: b}}]
        ports: [{containerPort: 8080, name: http1, protocol: TCP}]
        resources: {requests: {cpu: 500m, memory: 1.5Gi, nvidia.com/gpu: 1, x: 2k}, limits: {memory: 16G, nvidia.com/gpu: "1"}}
        volumeMounts: [{name: dshm, mountPath: /dev/shm}, {name: keys, mountPath: /keys, readOnly: true, subPath: x}, {name: files, mountPath: /files}]
        securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, runAsUser: 1000, runAsGroup: 0, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault, localhostProfile: x}}
        readinessProbe: {httpGet: {path: /, port: 8080, scheme: HTTP}, initialDelaySeconds: 1, timeoutSeconds: 2, periodSeconds: 3, successThreshold: 1, failureThreshold: 4}
        livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 3}
        startupProbe: {httpGet: {path: /, port: 8080}}
status: {observedGeneration: 3}
`

// configurations that bear on what Knative refuses.
func configurations(t testing.TB) map[string]*Config {
	enabled := map[string]string{FlagNodeSelector: "enabled", FlagTolerations: "allowed", FlagPriorityClassName: "enabled", FlagEmptyDir: "enabled"}
	all := map[string]*Config{"the default": Default()}
	for name, maps := range map[string]map[string]map[string]string{
		"all features":   {FeaturesConfig: enabled},
		"strict":         {FeaturesConfig: enabled, AutoscalerConfig: {"max-scale-limit": "10", "max-scale": "5", "allow-zero-initial-scale": "true"}, DefaultsConfig: {"container-concurrency-max-limit": "10", "allow-container-concurrency-zero": "false", "container-concurrency": "5", "max-revision-timeout-seconds": "300"}},
		"hpa by default": {FeaturesConfig: enabled, AutoscalerConfig: {"pod-autoscaler-class": "hpa.autoscaling.knative.dev"}},
		"secure pods":    {FeaturesConfig: {"secure-pod-defaults": "enabled"}},
	} {
		c, err := ParseConfig(maps)
		require.NoError(t, err)
		all[name] = c
	}
	return all
}

func object(t testing.TB, text string) manifest.Object {
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	o, err := manifest.Decode(raw)
	require.NoError(t, err)
	return o
}

// holds checks that Knative takes what is called plain: of several configurations, one that
// is not the same each time.
func holds(t testing.TB, all map[string]*Config, o manifest.Object, what string) (plain int) {
	for name, c := range all {
		if !c.plain(o) {
			continue
		}
		if plain++; plain > 1 {
			continue
		}
		if errs := c.validate(o, true); len(errs) > 0 {
			raw, _ := json.Marshal(o)
			t.Errorf("%s, with %s, is called plain, yet Knative says: %v\n%s", what, name, errs, raw)
		}
	}
	return plain
}

func TestOrdinaryServicesArePlain(t *testing.T) {
	all := configurations(t)
	assert.Equal(t, 3, holds(t, all, object(t, ordinary), "the ordinary Service")) // not by default, nor with secure pods
	files, err := filepath.Glob("../../test/benchmark/reviews/testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		o, err := manifest.Decode(raw)
		require.NoError(t, err)
		assert.True(t, all["all features"].plain(o), file)
	}
}

// values are put in the place of every one of the ordinary Service.
var values = []any{nil, "", "x", "X", "a b", "-1", "+1", "0", "1", "11", "100.5", "1e3", "0x1p4", "NaN", "1_0", ".5", "5.", "2147483648", "99999999999999999999", "1Ki", "1i", "m", "-1Gi", "1Mi2", "1u", "1E", "1e", "0.0001n",
	"5s", "1h1s", "1.5s", "-5s", "2h", "kpa", "hpa.autoscaling.knative.dev", "x.autoscaling.knative.dev", "rps", "cpu", "UPPER", "under_score", "-a", "a-", "a..b", "a.b", "9a", strings.Repeat("a", 64), strings.Repeat("a", 300),
	"queue-proxy", "PORT", "K_SERVICE", "h2c", "UDP", "/", "/dev", "/dev/log", "/dev/", "//", "/a/../dev", "dev", "::", "a:b:c", "ubuntu", "a", "a/b", "a//b", "host:5000/a/b", "1.2.3.4/ab:T", "localhost/a", "x@sha256:" + strings.Repeat("a", 64), "a_b/cd:", "ab:" + strings.Repeat("t", 129),
	int64(-1), int64(0), int64(1), int64(11), int64(301), int64(8012), int64(8013), int64(8022), int64(8008), int64(9090), int64(9091), int64(65536), int64(2147483648), int64(9223372036854775807), 1.5, 1e300,
	true, false, manifest.Object{}, []any{}, manifest.Object{"x": "y"}, []any{"x"}, []any{manifest.Object{}}, []any{nil}}

var keys = []string{"x", "name", "generateName", "deletionTimestamp", "finalizers", "revisionName", "tag", "url", "percent", "configurationName", "initContainers", "hostNetwork", "automountServiceAccountToken",
	"affinity", "lifecycle", "stdin", "exec", "grpc", "httpGet", "tcpSocket", "host", "hostPort", "claims", "items", "projected", "hostPath", "mountPropagation", "privileged", "value", "valueFrom", "fieldRef", "add", "readOnly", "optional",
	"autoscaling.knative.dev/minScale", "autoscaling.knative.dev/activation-scale", "autoscaling.knative.dev/panic-window-percentage", "autoscaling.knative.dev/target-burst-capacity", "autoscaling.knative.dev/metric-aggregation-algorithm",
	"serving.knative.dev/rollout-duration", "serving.knative.dev/rolloutDuration", "networking.knative.dev/x", "networking.knative.dev", "autoscaling.knative.devil", "queue.sidecar.serving.knative.dev/cpu-resource-request", "queue.sidecar.serving.knative.dev/resource-percentage"}

// mutants calls f with the object changed at every place in every way, one at a time, and
// puts it back.
func mutants(root manifest.Object, at any, path string, f func(what string)) {
	try := func(set func(v any), was any, below string, of []any) {
		for _, v := range of {
			set(v)
			f(fmt.Sprintf("%s: %v", below, v))
		}
		set(was)
	}
	switch at := at.(type) {
	case manifest.Object:
		for k, was := range at {
			delete(at, k)
			f(path + "." + k + " absent")
			try(func(v any) { at[k] = v }, was, path+"."+k, values)
			mutants(root, was, path+"."+k, f)
		}
		for _, k := range keys {
			if _, ok := at[k]; ok {
				continue
			}
			try(func(v any) { at[k] = v }, nil, path+"."+k, []any{"x", "1", int64(1), true, manifest.Object{}, []any{}})
			delete(at, k)
		}
	case []any:
		for i, was := range at {
			try(func(v any) { at[i] = v }, was, fmt.Sprintf("%s[%d]", path, i), values)
			mutants(root, was, fmt.Sprintf("%s[%d]", path, i), f)
		}
	}
}

func TestKnativeTakesWhatIsPlain(t *testing.T) {
	all := configurations(t)
	o := object(t, ordinary)
	tried, plain := 0, 0
	mutants(o, o, "", func(what string) {
		tried++
		plain += holds(t, all, o, what)
	})
	assert.Equal(t, object(t, ordinary), o)
	assert.Greater(t, tried, 10000)
	assert.Greater(t, plain, 1000)

	port := manifest.Objects(manifest.Objects(o, "spec", "template", "spec", "containers")[0], "ports")[0]
	for n := range int64(300) {
		port["containerPort"] = []int64{7990, 8980}[n%2] + n/2
		holds(t, all, o, "a port")
	}
}

// TestKnativeTakesWhatIsPlainOfManyChanges makes several changes at a time.
func TestKnativeTakesWhatIsPlainOfManyChanges(t *testing.T) {
	all := configurations(t)
	random := rand.New(rand.NewPCG(1, 2))
	original, plain := object(t, ordinary), 0
	for range 3000 {
		o := runtime.DeepCopyJSON(original)
		for range 1 + random.IntN(4) {
			change(random, o)
		}
		plain += holds(t, all, o, "some changes")
	}
	assert.Greater(t, plain, 500)
}

// change changes one thing anywhere below.
func change(random *rand.Rand, at any) {
	switch at := at.(type) {
	case manifest.Object:
		if len(at) == 0 {
			return
		}
		names := make([]string, 0, len(at))
		for k := range at {
			names = append(names, k)
		}
		slices.Sort(names)
		k := names[random.IntN(len(names))]
		switch random.IntN(8) {
		case 0:
			delete(at, k)
		case 1:
			at[k] = values[random.IntN(len(values))]
		case 2:
			at[keys[random.IntN(len(keys))]] = at[k]
		default:
			if _, leaf := at[k].(string); leaf {
				at[k] = values[random.IntN(len(values))]
			}
			change(random, at[k])
		}
	case []any:
		if len(at) == 0 {
			return
		}
		i := random.IntN(len(at))
		if random.IntN(8) == 0 {
			at[i] = at[random.IntN(len(at))]
			return
		}
		change(random, at[i])
	}
}

func FuzzPlain(f *testing.F) {
	all := configurations(f)
	raw, err := yaml.YAMLToJSON([]byte(ordinary))
	require.NoError(f, err)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if o, err := manifest.Decode(raw); err == nil {
			holds(t, all, o, "the text")
		}
	})
}
