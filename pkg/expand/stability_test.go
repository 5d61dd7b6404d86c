package expand_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// TestExpandingTwiceChangesNothing sends every kind of workload through clusters whose
// Knative fills in different things.
func TestExpandingTwiceChangesNothing(t *testing.T) {
	clusters := map[string]cluster{
		"as it comes":                        gpuCluster(),
		"with default requests":              inCluster("defaults", "revision-cpu-request", "400m", "defaults", "revision-memory-request", "1Gi", "defaults", "revision-ephemeral-storage-request", "5Gi"),
		"with default limits":                inCluster("defaults", "revision-cpu-limit", "64", "defaults", "revision-memory-limit", "256Gi", "defaults", "revision-ephemeral-storage-limit", "500Gi"),
		"with default requests and limits":   inCluster("defaults", "revision-cpu-request", "400m", "defaults", "revision-cpu-limit", "64", "defaults", "revision-memory-request", "1Gi", "defaults", "revision-memory-limit", "256Gi"),
		"with a default concurrency":         inCluster("defaults", "container-concurrency", "7"),
		"with names and timeouts":            inCluster("defaults", "container-name-template", "app", "defaults", "revision-timeout-seconds", "400", "defaults", "revision-idle-timeout-seconds", "30"),
		"with secure pods":                   inCluster("features", "secure-pod-defaults", "enabled"),
		"with its own autoscaler":            inCluster("autoscaler", "pod-autoscaler-class", "hpa.autoscaling.knative.dev", "autoscaler", "min-scale", "1", "autoscaler", "max-scale", "6", "autoscaler", "max-scale-limit", "50", "autoscaler", "stable-window", "90s", "autoscaler", "initial-scale", "2"),
		"with policies":                      gpuCluster().under(clamping, `{metadata: {name: defaults}, spec: {defaults: {autoscale: {concurrency: 4, minScale: 1, metric: rps, target: 30}, compute: {cpus: 1, memory: 2Gi, diskSize: 5Gi, sharedMemoryLimit: 1Gi, queueName: shared, serviceAccountName: runner, launchTimeout: 12m}}}}`),
		"with GPUs and deadlines by default": gpuCluster().under(`{spec: {defaults: {autoscale: {progressDeadline: 20m, autoscalerClass: hpa}, compute: {gpus: 1, gpuType: NVIDIA-L4, gpuMemory: 20Gi, inactivityTtl: 1h}}}}`),
	}
	workloads := map[string]*manifestBuilder{
		"plain":                     plain(),
		"bare":                      autoscaled(),
		"everything":                autoscaled("cpus", "2", "memory", "4Gi", "disk-size", "10Gi", "shared-memory-limit", "1Gi", "concurrency", "8", "window", "2m", "queue-name", "research", "inactivity-ttl", "2h", "launch-timeout", "12m"),
		"on hpa":                    onHPA("min-scale", "1"),
		"on hpa by memory":          onHPA("metric", "memory", "target", "50"),
		"with limits":               autoscaled("cpus", "1").pod(onePod(`resources: {limits: {cpu: "2", memory: 512Mi}}`)),
		"with native values":        autoscaled().native("maxScale", "4", "window", "90s", "class", "kpa.autoscaling.knative.dev").pod(`{containerConcurrency: 0, containers: [{image: "ghcr.io/acme/inference:v1", name: kubetorch, resources: {requests: {memory: 1024Mi}}}]}`),
		"with a sidecar":            autoscaled("cpus", "1").pod(`{containers: [{image: "a/b:v1", name: side}, {image: "c/d:v1", ports: [{containerPort: 8080, name: h2c}]}]}`),
		"with probes":               autoscaled().pod(onePod(`readinessProbe: {httpGet: {path: /}, periodSeconds: 10}, startupProbe: {tcpSocket: {port: 8080}, failureThreshold: 100}`)),
		"with compute alone":        plain().label("kubetorch.com/compute", "true").params("cpus", "1", "memory", "1Gi"),
		"with GPUs on the pod":      plain().pod(gpuPod("limits", "2")),
		"with volumes":              autoscaled("shared-memory-limit", "1Gi").pod(`{volumes: [{name: data, secret: {secretName: data}}], containers: [{image: "ghcr.io/acme/inference:v1", volumeMounts: [{name: data, mountPath: /data}]}]}`),
		"with a quantity as number": autoscaled("cpus", "2").pod(onePod(`resources: {requests: {cpu: 2}, limits: {cpu: 4}}`)),
	}
	for name, c := range clusters {
		for kind, w := range workloads {
			t.Run(kind+" in a cluster "+name, func(t *testing.T) {
				out := c.create(t, w.object)
				require.Empty(t, out.refused)
				c.settled(t, out.object)
			})
		}
	}
}

func TestRecord(t *testing.T) {
	out := gpuCluster().under(clamping, `{metadata: {name: defaults}, spec: {defaults: {autoscale: {window: 2m}}, profiles: {compute: [{name: l4, gpus: 1, gpuType: NVIDIA-L4}]}}}`).
		create(t, autoscaled("max-scale", "9", "memory", "4Gi", "queue-name", "research", "inactivity-ttl", "2h", "shared-memory-limit", "1Gi").native("min-scale", "1").label("kubetorch.com/compute", "l4").object)
	require.Empty(t, out.refused)
	var record expand.Record
	require.NoError(t, json.Unmarshal([]byte(manifest.Text(out.object, "metadata", "annotations", expand.RecordAnnotation)), &record))
	parameter := func(name, text string) expand.Entry {
		return expand.Entry{Value: text, From: "annotation " + key(name) + ": " + text}
	}
	profile := func(text string) expand.Entry {
		return expand.Entry{Value: text, From: "profile l4 of policy defaults"}
	}
	assert.Equal(t, expand.Record{
		nativeKey("class"):                              {Value: "kpa.autoscaling.knative.dev", From: "built-in"},
		nativeKey("metric"):                             {Value: "concurrency", From: "built-in"},
		nativeKey("target"):                             {Value: "100", From: "built-in, for concurrency"},
		nativeKey("target-utilization-percentage"):      {Value: "70", From: "built-in"},
		nativeKey("max-scale"):                          {Value: "5", From: "annotation autoscale.kubetorch.com/max-scale: 9", By: "policy clamp (bounds.maxScale.max)"},
		nativeKey("initial-scale"):                      {Value: "1", From: "built-in"},
		nativeKey("window"):                             {Value: "2m", From: "policy defaults"},
		nativeKey("scale-down-delay"):                   {Value: "1m", From: "built-in"},
		nativeKey("scale-to-zero-pod-retention-period"): {Value: "5m", From: "built-in", By: "policy clamp (bounds.scaleToZeroPodRetentionPeriod.max)"},
		nativeKey("progress-deadline"):                  {Value: "10m", From: "built-in"},
		"requests.memory":                               parameter("memory", "4Gi"),
		"requests.nvidia.com/gpu":                       profile("1"),
		"limits.nvidia.com/gpu":                         profile("1"),
		"nodeSelector.nvidia.com/gpu.product":           profile("NVIDIA-L4"),
		"tolerations":                                   profile(`["dedicated","nvidia.com/gpu"]`),
		"sharedMemory":                                  parameter("shared-memory-limit", "1Gi"),
		"labels.kueue.x-k8s.io/queue-name":              parameter("queue-name", "research"),
		"metadata.kubetorch.com/inactivity-ttl":         parameter("inactivity-ttl", "2h"),
	}, record)
	assert.Equal(t, map[string]string{"kueue.x-k8s.io/queue-name": "research"}, manifest.Texts(out.object, "spec", "template", "metadata", "labels"))
	assert.Equal(t, "2h", manifest.Text(out.object, "metadata", "annotations", "kubetorch.com/inactivity-ttl"))
	assert.NotContains(t, manifest.Texts(out.object, "spec", "template", "metadata", "annotations"), expand.RecordAnnotation)
}

// TestPatchTouchesOnlyItsOwnPlaces holds the whole patch of a Service with fields that
// nobody here knows against what it may change.
func TestPatchTouchesOnlyItsOwnPlaces(t *testing.T) {
	w := autoscaled("cpus", "2").with(`{finalizers: [a/b], managedFields: [{manager: "kubectl", fieldsV1: {"f:x": {}}}]}`, "metadata", "unknown").
		with(`[{latestRevision: true, percent: 100}]`, "spec", "traffic")
	out := cluster{}.create(t, w.object)
	require.Empty(t, out.refused)
	written := map[string]any{}
	for k, v := range kpa() {
		written[k] = v
	}
	record := manifest.Text(out.object, "metadata", "annotations", expand.RecordAnnotation)
	require.NotEmpty(t, record)
	got := map[string]any{}
	for _, op := range out.patch {
		assert.Equal(t, "add", op["op"])
		got[op["path"].(string)] = op["value"]
	}
	annotation := "/spec/template/metadata"
	assert.Equal(t, []string{"/metadata/annotations/kubetorch.com~1expansion", "/spec/template/metadata",
		"/spec/template/metadata/annotations/autoscaling.knative.dev~1initial-scale", "/spec/template/metadata/annotations/autoscaling.knative.dev~1max-scale",
		"/spec/template/metadata/annotations/autoscaling.knative.dev~1metric", "/spec/template/metadata/annotations/autoscaling.knative.dev~1min-scale",
		"/spec/template/metadata/annotations/autoscaling.knative.dev~1scale-down-delay", "/spec/template/metadata/annotations/autoscaling.knative.dev~1scale-to-zero-pod-retention-period",
		"/spec/template/metadata/annotations/autoscaling.knative.dev~1target", "/spec/template/metadata/annotations/autoscaling.knative.dev~1target-utilization-percentage",
		"/spec/template/metadata/annotations/autoscaling.knative.dev~1window", "/spec/template/metadata/annotations/serving.knative.dev~1progress-deadline",
		"/spec/template/spec/containers/0/resources"}, slices.Sorted(maps.Keys(got)))
	assert.Equal(t, map[string]any{"annotations": map[string]any{"autoscaling.knative.dev/class": "kpa.autoscaling.knative.dev"}}, got[annotation])
	assert.Equal(t, map[string]any{"requests": map[string]any{"cpu": "2"}}, got["/spec/template/spec/containers/0/resources"])

	undone := clone(out.object)
	delete(manifest.Map(undone, "metadata", "annotations"), expand.RecordAnnotation)
	delete(manifest.Map(undone, "spec", "template"), "metadata")
	delete(manifest.Objects(undone, "spec", "template", "spec", "containers")[0], "resources")
	assert.Equal(t, w.object, undone, "everything else survives")
}

// TestOddObjects puts values of every JSON type in every place that an expansion looks at:
// nothing panics, and a Service without our labels is never refused.
func TestOddObjects(t *testing.T) {
	base := func() *manifestBuilder {
		return autoscaled("cpus", "2", "gpus", "1", "shared-memory-limit", "1Gi", "max-scale", "3").native("window", "60s").
			pod(`{containerConcurrency: 1, nodeSelector: {a: b}, tolerations: [{key: a}], volumes: [{name: v, emptyDir: {sizeLimit: 1Gi}}], initContainers: [{name: i, resources: {limits: {nvidia.com/gpu: 1}}}],
				containers: [{name: c, image: "a/b:v1", ports: [{containerPort: 8080}], resources: {limits: {cpu: 4}, requests: {cpu: 2}}, volumeMounts: [{name: v, mountPath: /dev/shm}], startupProbe: {httpGet: {port: 80}}}]}`).
			with(`[{revisionName: inference-00001, percent: 100}]`, "spec", "traffic").with(`{traffic: [{revisionName: inference-00000}]}`, "status")
	}
	places := 0
	var visit func(v any, path string, replace func(any))
	values := []any{nil, "text", true, int64(7), 1.5, []any{}, []any{nil}, []any{"x"}, manifest.Object{}, manifest.Object{"x": nil}}
	check := func(t *testing.T, o manifest.Object) {
		odd := clone(o)
		c := cluster{}.under(house)
		assert.NotPanics(t, func() { c.create(t, odd) })
		assert.NotPanics(t, func() { c.update(t, base().object, odd) })
		assert.NotPanics(t, func() { c.update(t, odd, base().object) })
		if labels := manifest.Map(odd, "metadata", "labels"); labels != nil {
			unlabelled := clone(odd)
			delete(manifest.Map(unlabelled, "metadata"), "labels")
			assert.NotPanics(t, func() {
				out := cluster{}.create(t, unlabelled)
				assert.Empty(t, out.refused)
				assert.Empty(t, out.patch)
			})
		}
	}
	o := base().object
	visit = func(v any, path string, replace func(any)) {
		if path != "" {
			for _, x := range values {
				replace(x)
				places++
				t.Run(fmt.Sprintf("%s is %v", path, x), func(t *testing.T) { check(t, o) })
			}
			replace(v)
		}
		switch v := v.(type) {
		case manifest.Object:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				if path == "" && (k == "apiVersion" || k == "kind") {
					continue
				}
				visit(v[k], path+"."+k, func(x any) { v[k] = x })
			}
		case []any:
			for i := range v {
				visit(v[i], fmt.Sprintf("%s[%d]", path, i), func(x any) { v[i] = x })
			}
		}
	}
	visit(o, "", nil)
	assert.Greater(t, places, 400)
}
