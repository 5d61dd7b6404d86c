package expand_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
)

// fuzzSeed states something at every place that an expansion reads.
const fuzzSeed = `{"apiVersion":"serving.knative.dev/v1","kind":"Service","metadata":{"name":"svc","generation":1,"labels":{"kubetorch.com/autoscale":"true",
"kubetorch.com/compute":"l4","autoscale.kubetorch.com/max-scale":"4","compute.kubetorch.com/gpus":"1"},"annotations":{"compute.kubetorch.com/cpus":"2",
"compute.kubetorch.com/shared-memory-limit":"1Gi","autoscale.kubetorch.com/target":"70","compute.kubetorch.com/launch-timeout":"15m",
"kubetorch.com/expansion":"{\"tolerations\":{\"value\":\"[\\\"dedicated\\\"]\",\"from\":\"x\"},\"sharedMemory\":{\"value\":\"\",\"from\":\"y\"},\"requests.memory\":{\"value\":\"1Gi\",\"from\":\"manifest requests.memory: 2Gi\",\"by\":\"policy p (q)\"}}"}},
"spec":{"template":{"metadata":{"name":"","labels":{"app":"a"},"annotations":{"autoscaling.knative.dev/minScale":"1","autoscaling.knative.dev/class":"hpa.autoscaling.knative.dev",
"autoscaling.knative.dev/metric":"memory","serving.knative.dev/progress-deadline":"1h"}},"spec":{"containerConcurrency":5,"timeoutSeconds":300,"priorityClassName":"high",
"nodeSelector":{"zone":"a"},"tolerations":[{"key":"dedicated","operator":"Equal","value":"gpu","effect":"NoSchedule"}],"volumes":[{"name":"dshm","emptyDir":{"medium":"Memory","sizeLimit":"1Gi"}}],
"containers":[{"image":"model","name":"kubetorch","ports":[{"containerPort":8080}],"resources":{"requests":{"cpu":"1","memory":"1Gi"},"limits":{"memory":"2Gi","nvidia.com/gpu":1}},
"volumeMounts":[{"name":"dshm","mountPath":"/dev/shm"}],"startupProbe":{"httpGet":{"port":8080},"periodSeconds":10,"failureThreshold":3},"securityContext":{"runAsUser":0}},
{"image":"sidecar","resources":{"limits":{"cpu":2}}}],"initContainers":[{"image":"init","restartPolicy":"Always"}]}},
"traffic":[{"latestRevision":true,"percent":100},{"revisionName":"svc-00001","tag":"old"}]},"status":{"observedGeneration":1,"latestCreatedRevisionName":"svc-00002","traffic":[{"revisionName":"svc-00001"}]}}`

// fuzzSettings are the surroundings of a fuzzed expansion.
var fuzzSettings = func() []expand.Input {
	config := func(data map[string]map[string]string) *knative.Config {
		c, err := knative.ParseConfig(data)
		if err != nil {
			panic(err)
		}
		return c
	}
	selection := func(text string) policy.Selection {
		var policies []v1alpha1.ComputePolicy
		if text != "" {
			var p v1alpha1.ComputePolicy
			if err := yaml.UnmarshalStrict([]byte(text), &p); err != nil {
				panic(err)
			}
			policies = append(policies, p)
		}
		return policy.Compile(policies).For(policy.Subject{Namespace: "ml", NamespaceKnown: true})
	}
	features := map[string]string{}
	for _, f := range []string{"nodeselector", "tolerations", "priorityclassname", "init-containers", "securitycontext", "fieldref"} {
		features["kubernetes.podspec-"+f] = "enabled"
	}
	open := config(map[string]map[string]string{knative.FeaturesConfig: features})
	filling := config(map[string]map[string]string{
		knative.FeaturesConfig:   features,
		knative.AutoscalerConfig: {"max-scale-limit": "8", "max-scale": "6", "allow-zero-initial-scale": "true", "pod-autoscaler-class": "hpa.autoscaling.knative.dev", "scale-down-delay": "2h"},
		knative.DefaultsConfig:   {"container-concurrency": "7", "revision-cpu-request": "400m", "revision-memory-limit": "3Gi", "revision-cpu-limit": "2"},
	})
	defaults := selection(`{metadata: {name: defaults}, spec: {defaults: {autoscale: {maxScale: 7, concurrency: 3, metric: rps, target: 5}, compute: {cpus: 2, memory: 8Gi, gpus: 1, gpuType: NVIDIA-L4, sharedMemoryLimit: 1Gi}}, profiles: {compute: [{name: l4, gpus: 1}]}}}`)
	clamps := selection(`{metadata: {name: clamps}, spec: {enforcement: Clamp, bounds: {maxScale: {max: 3}, minScale: {max: 1}, gpusPerPod: {max: 1}, gpusPerWorkload: {max: 2}, cpusPerPod: {max: 800m}, memoryPerPod: {max: 1Gi}, scaleDownDelay: {max: 5m}, scaleToZeroPodRetentionPeriod: {max: 5m}, progressDeadline: {max: 12m}}, profiles: {compute: [{name: l4, gpus: 2}]}}}`)
	return []expand.Input{
		{Knative: knative.Default(), Policies: selection("")}, {Knative: open, Policies: defaults}, {Knative: open, Policies: clamps},
		{Knative: filling, Policies: selection("")}, {Knative: filling, Policies: defaults}, {Knative: filling, Policies: clamps},
	}
}()

var (
	fuzzValues  = regexp.MustCompile(`^(/metadata/annotations/kubetorch\.com~1(expansion|inactivity-ttl)|/spec/template/metadata/annotations/(autoscaling\.knative\.dev~1[a-zA-Z-]+|serving\.knative\.dev~1progress-deadline|gpu-memory)|/spec/template/metadata/labels/kueue\.x-k8s\.io~1queue-name|/spec/template/spec/(containerConcurrency|priorityClassName|serviceAccountName|nodeSelector/[^/]*)|/spec/template/spec/containers/\d+/resources/(requests|limits)/[^/]*|/spec/template/spec/volumes/\d+/emptyDir/sizeLimit)$`)
	fuzzParents = regexp.MustCompile(`^(/metadata/annotations|/spec/template/metadata(/annotations|/labels)?|/spec/template/spec/nodeSelector|/spec/template/spec/containers/\d+/resources(/requests|/limits)?)$`)
	fuzzLists   = regexp.MustCompile(`^/spec/template/spec/(tolerations|volumes|containers/\d+/volumeMounts)(/-|/\d+)?$`)
)

// documentedOnly names the first place that a patch writes and should not.
func documentedOnly(patch []manifest.PatchOperation) string {
	var check func(path string, v any) string
	check = func(path string, v any) string {
		if fuzzValues.MatchString(path) || fuzzLists.MatchString(path) {
			return ""
		}
		m, ok := v.(manifest.Object)
		if !ok || len(m) == 0 {
			return path
		}
		for k, x := range m {
			if bad := check(path+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(k), x); bad != "" {
				return bad
			}
		}
		return ""
	}
	for _, op := range patch {
		if op.Op == "remove" && fuzzParents.MatchString(op.Path) {
			continue // what the expansion leaves empty
		}
		if bad := check(op.Path, op.Value); bad != "" {
			return bad
		}
	}
	return ""
}

// expandRaw expands raw JSON in some surroundings and holds the result against what is
// promised of every expansion.
func expandRaw(t *testing.T, in expand.Input, raw, old []byte) {
	object, err := manifest.Decode(raw)
	if err != nil {
		return
	}
	if in.Old, err = manifest.Decode(old); err != nil {
		in.Old = nil
	}
	in.Object = object
	result := expand.Service(in)
	if len(result.Errors)+len(result.Denied) > 0 {
		if len(result.Patch) > 0 {
			t.Fatalf("refused with a patch: %v", result.Patch)
		}
		return
	}
	named := expand.SameNamedRevision(in.Old, object) != "" // whose template may be put back as a whole
	if place := documentedOnly(result.Patch); place != "" && !named {
		t.Errorf("%s is patched", place)
	}
	text, err := json.Marshal(result.Patch)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(text)
	if err != nil {
		t.Fatal(err)
	}
	options := jsonpatch.NewApplyOptions()
	options.SupportNegativeIndices = false
	patched := raw
	if len(result.Patch) > 0 {
		if patched, err = patch.ApplyWithOptions(raw, options); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	again, err := manifest.Decode(patched)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, object) {
		t.Fatalf("the patch %s makes\n%v\nand in place it is\n%v", text, again, object)
	}
	in.Object = again
	if second := expand.Service(in); len(second.Errors)+len(second.Denied)+len(second.Patch) > 0 {
		t.Errorf("the second time: %v %v %v", second.Errors, second.Denied, second.Patch)
	}
}

// FuzzService expands any JSON, as a new object and as an update of any other.
func FuzzService(f *testing.F) {
	for i := range fuzzSettings {
		f.Add(uint8(i), []byte(fuzzSeed), []byte(""))
		f.Add(uint8(i), []byte(fuzzSeed), []byte(fuzzSeed))
		f.Add(uint8(i), []byte(strings.ReplaceAll(fuzzSeed, `"kubetorch.com/autoscale":"true",`, "")), []byte(fuzzSeed))
		f.Add(uint8(i), []byte(`{"metadata":{"labels":{"kubetorch.com/autoscale":"true"}},"spec":{"template":{"spec":{"containers":[{"image":"a"}]}}}}`), []byte(`{}`))
	}
	f.Fuzz(func(t *testing.T, settings uint8, raw, old []byte) {
		expandRaw(t, fuzzSettings[int(settings)%len(fuzzSettings)], raw, old)
	})
}

// FuzzPlace puts any JSON at any place of a Service, and of the one it updates.
func FuzzPlace(f *testing.F) {
	places := len(everyPlace(decodeSeed()))
	for place := range places {
		for i, value := range []string{`null`, `{}`, `[]`, `[null]`, `"x"`, `1.5`, `true`, `-1`, `""`, `{"a":null}`, `[{}]`, `1e300`} {
			f.Add(uint8(i+place), uint16(place), value, uint16((place*7)%places), `null`, place%2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, settings uint8, place uint16, value string, oldPlace uint16, oldValue string, update bool) {
		raw, ok := replaced(int(place), value)
		if !ok {
			return
		}
		var old []byte
		if update {
			if old, ok = replaced(int(oldPlace), oldValue); !ok {
				return
			}
		}
		expandRaw(t, fuzzSettings[int(settings)%len(fuzzSettings)], raw, old)
	})
}

func decodeSeed() manifest.Object {
	o, err := manifest.Decode([]byte(fuzzSeed))
	if err != nil {
		panic(err)
	}
	return o
}

// replaced is the seed with one value replaced by JSON.
func replaced(place int, value string) ([]byte, bool) {
	if !json.Valid([]byte(value)) {
		return nil, false
	}
	o := decodeSeed()
	places := everyPlace(o)
	places[place%len(places)](json.RawMessage(value))
	raw, err := json.Marshal(o)
	return raw, err == nil
}

// everyPlace lists setters for every value in an object, always in the same order.
func everyPlace(v any) []func(any) {
	var setters []func(any)
	switch v := v.(type) {
	case manifest.Object:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			setters = append(setters, func(x any) { v[k] = x })
			setters = append(setters, everyPlace(v[k])...)
		}
	case []any:
		for i := range v {
			setters = append(setters, func(x any) { v[i] = x })
			setters = append(setters, everyPlace(v[i])...)
		}
	}
	return setters
}
