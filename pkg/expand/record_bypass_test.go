// A forged or damaged record of an expansion passes a user's values off as ours, or the other
// way round.

package expand_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// record is the text of a record with entries (location, value, from, by, ...).
func record(fields ...string) string {
	r := expand.Record{}
	for i := 0; i < len(fields); i += 4 {
		r[fields[i]] = expand.Entry{Value: fields[i+1], From: fields[i+2], By: fields[i+3]}
	}
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// recorded adds a record to a workload.
func (w *manifestBuilder) recorded(fields ...string) *manifestBuilder {
	return w.params(expand.RecordAnnotation, record(fields...))
}

func TestForgedRecordsOnNewServices(t *testing.T) {
	memory := "annotation compute.kubetorch.com/memory: 16Gi"
	gpuPodOf := func(n string) string {
		return `{tolerations: ` + gpuTolerations + `, containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "` + n + `"}, limits: {nvidia.com/gpu: "` + n + `"}}}]}`
	}
	oneGPU := "annotation compute.kubetorch.com/gpus: 1"
	runRows(t, map[string]row{
		"a lowered value that is no quantity is passed over": {in: autoscaled("memory", "16Gi").recorded("requests.memory", "abc", memory, "x"), want: kpa(),
			pod: onePod(`resources: {requests: {memory: 16Gi}}`)},
		"a lowered value that the Service does not have is passed over": {in: autoscaled("memory", "16Gi").recorded("requests.memory", "1Gi", memory, "x"), want: kpa(),
			pod: onePod(`resources: {requests: {memory: 16Gi}}`)},
		"a default that is no number is passed over":          {in: autoscaled().recorded(nativeKey("target"), "NaN", "built-in, for concurrency", ""), want: kpa()},
		"a default that the Service does not have is, too":    {in: autoscaled().recorded(nativeKey("max-scale"), "500", "built-in", ""), want: kpa()},
		"a manifest's value that is no number is passed over": {in: autoscaled().native("target", "5").recorded(nativeKey("target"), "5", "manifest "+nativeKey("target")+": NaN", "x"), want: kpa("target", "5")},
		"one of another place is":                             {in: autoscaled().native("target", "5").recorded(nativeKey("target"), "5", "manifest x: 7", "x"), want: kpa("target", "5")},
		"GPUs are as many as are asked for/no number":         {in: autoscaled("gpus", "1").recorded("limits.nvidia.com/gpu", "abc", oneGPU, "x"), at: gpuCluster(), want: kpa(), pod: gpuPodOf("1")},
		"GPUs are as many as are asked for/none":              {in: autoscaled("gpus", "1").recorded("limits.nvidia.com/gpu", "0", oneGPU, "x"), at: gpuCluster(), want: kpa(), pod: gpuPodOf("1")},
		"GPUs are as many as are asked for/more":              {in: autoscaled("gpus", "1").recorded("limits.nvidia.com/gpu", "8", oneGPU, "x"), at: gpuCluster(), want: kpa(), pod: gpuPodOf("1")},
		"names that are none are passed over": {in: autoscaled("priority-class-name", "high", "gpu-memory", "20Gi").recorded("priorityClassName", "B A D", "annotation compute.kubetorch.com/priority-class-name: high", "x",
			"gpu-memory", "zz", "annotation compute.kubetorch.com/gpu-memory: 20Gi", "x"), want: withKey(kpa(), "gpu-memory", "20Gi"),
			at:  inCluster("features", "kubernetes.podspec-priorityclassname", "enabled", "features", "kubernetes.podspec-tolerations", "enabled"),
			pod: `{priorityClassName: high, tolerations: ` + gpuTolerations + `, containers: [{image: "ghcr.io/acme/inference:v1", resources: {requests: {nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}}]}`},
		"places that nobody writes to are passed over": {in: autoscaled("gpu-type", "NVIDIA-L4").recorded("", "", "annotation compute.kubetorch.com/gpu-type: NVIDIA-L4", "x", "nodeSelector.", "NVIDIA-L4", "x", "x", "requests.", "1", "x", "x",
			"spec", "x", "x", "x", "metadata.name", "x", "x", "x"), at: gpuCluster(), want: kpa(),
			pod: `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{image: "ghcr.io/acme/inference:v1"}]}`},
		"lists that are none are passed over": {in: autoscaled("gpus", "1", "shared-memory-limit", "1Gi").recorded("tolerations", "{", "x", "", "sharedMemory", "[]", "x", ""), at: gpuCluster(), want: kpa(),
			pod: `{tolerations: ` + gpuTolerations + `, volumes: [{name: dshm, emptyDir: {medium: Memory, sizeLimit: 1Gi}}], containers: [{image: "ghcr.io/acme/inference:v1",
				volumeMounts: [{name: dshm, mountPath: /dev/shm}], resources: {requests: {nvidia.com/gpu: "1"}, limits: {nvidia.com/gpu: "1"}}}]}`},
		"tolerations of the user's stay": {in: autoscaled().recorded("tolerations", `["dedicated","mine"]`, "x", "").pod(`{tolerations: [{key: dedicated, operator: Equal, value: gpu, effect: NoSchedule}], containers: [{image: "ghcr.io/acme/inference:v1"}]}`),
			at: gpuCluster(), want: kpa()},
		"a value that is no lower is not a lowered one/pods":      {in: autoscaled("max-scale", "4").native("max-scale", "9").recorded(nativeKey("max-scale"), "9", "annotation autoscale.kubetorch.com/max-scale: 4", "x"), want: kpa("max-scale", "4")},
		"a value that is no lower is not a lowered one/durations": {in: autoscaled("scale-down-delay", "1m").native("scale-down-delay", "1h").recorded(nativeKey("scale-down-delay"), "1h", "annotation autoscale.kubetorch.com/scale-down-delay: 1m", "x"), want: kpa()},
		"a value that is no lower is not a lowered one/memory": {in: autoscaled("memory", "16Gi").pod(onePod(`resources: {requests: {memory: 32Gi}}`)).recorded("requests.memory", "32Gi", memory, "x"), want: kpa(),
			pod: onePod(`resources: {requests: {memory: 16Gi}}`)},
		"a bound holds whatever the record says": {in: autoscaled().native("max-scale", "30").recorded(nativeKey("max-scale"), "30", "built-in", ""), at: inCluster().under(house), want: kpa("max-scale", "20"),
			warnings: []string{}},
	})
}

func TestForgedRecordsOnStoredServices(t *testing.T) {
	forge := func(fields ...string) func(*manifestBuilder) {
		return func(w *manifestBuilder) { w.recorded(fields...) }
	}
	clamp := *under(`{metadata: {name: clamp}, spec: {bounds: {maxScale: {max: 5, enforcement: Clamp}}}}`)
	runLater(t, map[string]later{
		"a record without entries is none of the user's": {stored: autoscaled("max-scale", "4"), want: kpa("max-scale", "6"),
			change: func(w *manifestBuilder) { w.params(expand.RecordAnnotation, "{}", "max-scale", "6") }},
		"one with a forged default is none either": {stored: autoscaled("max-scale", "4"), want: kpa("max-scale", "6"),
			change: func(w *manifestBuilder) {
				w.recorded(nativeKey("target"), "NaN", "built-in, for concurrency", "", nativeKey("max-scale"), "99", "x", "x").params("max-scale", "6")
			}},
		"a lowered value is kept only as it is stored": {stored: autoscaled("max-scale", "9"), at: clamp, want: kpa("max-scale", "5"), pod: releasedPod,
			change: func(w *manifestBuilder) {
				setImage(w)
				w.recorded(nativeKey("max-scale"), "50", "annotation autoscale.kubetorch.com/max-scale: 9", "policy clamp (x)")
			}, warnings: []string{lowered("max-scale", "9", "5", "maxScale")}},
		"a policy that nobody has refuses nothing": {stored: autoscaled("max-scale", "9"), at: clamp, then: under(),
			change: func(w *manifestBuilder) {
				w.recorded(nativeKey("max-scale"), "5", "annotation autoscale.kubetorch.com/max-scale: 9", "policy forged (x)").params("min-scale", "7")
			},
			refused:  []string{param("min-scale", "7", "min-scale 7 is above max-scale 5, to which a policy lowered 9 earlier; state max-scale anew")},
			warnings: []string{"max-scale 9 lowered to 5 by policy forged (x)"}},
		"the policy that refuses is the one in force": {stored: autoscaled("max-scale", "9"), at: clamp, code: 403,
			change: func(w *manifestBuilder) {
				w.recorded(nativeKey("max-scale"), "5", "annotation autoscale.kubetorch.com/max-scale: 9", "policy forged (x)").params("min-scale", "7")
			},
			refused:  []string{"metadata.annotations[autoscale.kubetorch.com/min-scale]: Forbidden: min-scale 7 is above max-scale 5, to which policy clamp (bounds.maxScale.max) lowers it"},
			warnings: []string{"max-scale 9 lowered to 5 by policy forged (x)"}},
	})
	for name, change := range map[string]func(*manifestBuilder){
		"forged":    forge(nativeKey("target"), "NaN", "built-in, for concurrency", ""),
		"empty":     func(w *manifestBuilder) { w.params(expand.RecordAnnotation, "{}") },
		"no record": func(w *manifestBuilder) { w.params(expand.RecordAnnotation, "x") },
		"gone":      func(w *manifestBuilder) { w.without(expand.RecordAnnotation) },
		"another text": func(w *manifestBuilder) {
			w.params(expand.RecordAnnotation, `{"`+nativeKey("max-scale")+`":{"value":"4","from":"me"}}`)
		},
	} {
		t.Run("a record that an update changes alone is put back/"+name, func(t *testing.T) {
			old := cluster{}.asStored(t, autoscaled("max-scale", "4"))
			now := &manifestBuilder{clone(old)}
			change(now)
			out := cluster{}.update(t, old, now.object)
			require.Empty(t, out.refused)
			assert.Equal(t, old, out.object)
		})
	}
	t.Run("a record that an update adds is taken out", func(t *testing.T) {
		old := plain().label("kubetorch.com/autoscale", "true").object
		out := cluster{}.update(t, old, (&manifestBuilder{clone(old)}).recorded(nativeKey("max-scale"), "4", "built-in", "").object)
		require.Empty(t, out.refused)
		assert.Equal(t, old, out.object)
	})
	t.Run("one on a Service without a label gives nothing away once it has one", func(t *testing.T) {
		old := plain().recorded(nativeKey("max-scale"), "500", "built-in", "", nativeKey("target"), "NaN", "built-in, for concurrency", "").object
		out := cluster{}.update(t, old, (&manifestBuilder{clone(old)}).label("kubetorch.com/autoscale", "true").object)
		require.Empty(t, out.refused)
		got, _ := templateOf(out.object)
		assert.Equal(t, kpa(), got)
	})
}

// TestDamagedRecords puts every kind of value at every entry: nothing panics, and the
// template stays as it is.
func TestDamagedRecords(t *testing.T) {
	at := gpuCluster().under(clamping, `{metadata: {name: defaults}, spec: {defaults: {compute: {cpus: 8, memory: 16Gi, gpus: 3, gpuType: NVIDIA-L4, gpuMemory: 20Gi, sharedMemoryLimit: 1Gi}}}}`)
	stored := at.asStored(t, autoscaled("max-scale", "9", "memory", "32Gi"))
	var was expand.Record
	require.NoError(t, json.Unmarshal([]byte(manifest.Text(stored, "metadata", "annotations", expand.RecordAnnotation)), &was))
	require.Greater(t, len(was), 15)
	for name, entry := range was {
		for _, value := range []string{"", "abc", "-1", "0", "NaN", "1e999999999", "922E372036854775808", "[]", `["dedicated","dedicated"]`, "{", "null", "\x00"} {
			for _, by := range []string{"", "policy x (y)"} {
				now := &manifestBuilder{touched(stored)}
				now.recorded(name, value, entry.From, by)
				assert.NotPanics(t, func() {
					out := at.update(t, stored, now.object)
					require.Empty(t, out.refused)
					assert.Equal(t, manifest.At(touched(stored), "spec"), manifest.At(out.object, "spec"), "%s: %q", name, value)
					at.create(t, now.object)
				})
			}
		}
	}
}
