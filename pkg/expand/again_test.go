package expand_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// kubectl replace drops what the manifest does not say, and server-side apply puts the
// manifest's containers in the place of the stored ones.
func TestTheOriginalManifestAgainIsNobodysEdit(t *testing.T) {
	newDefaults := under(defaultPolicy("{window: 2m, maxScale: 3, target: \"7\", progressDeadline: 20m}"), house)
	full := func() *manifestBuilder {
		return autoscaled("cpus", "2", "memory", "1024Mi", "gpus", "1", "shared-memory-limit", "1Gi", "concurrency", "5")
	}
	listsReplaced := func(w *manifestBuilder) {
		containers := full().object["spec"].(manifest.Object)["template"].(manifest.Object)["spec"].(manifest.Object)["containers"]
		w.put(containers, "spec", "template", "spec", "containers")
	}
	c := inCluster("features", "kubernetes.podspec-tolerations", "enabled")
	then := c.under(defaultPolicy("{window: 2m, maxScale: 3, target: \"7\", progressDeadline: 20m}"))
	for name, l := range map[string]later{
		"by replace, after defaults changed":            {stored: autoscaled("max-scale", "4"), put: true, then: newDefaults},
		"with every kind of place, by replace":          {stored: full(), at: c, put: true, then: &then},
		"with every kind of place, server-side":         {stored: full(), at: c, then: &then, change: listsReplaced},
		"with a label of the Service's, by replace":     {stored: autoscaled("max-scale", "4"), put: true, then: newDefaults, change: func(w *manifestBuilder) { w.label("team", "vision") }},
		"under a revision name of the user's, likewise": {stored: autoscaled("max-scale", "4").put("inference-blue", "spec", "template", "metadata", "name"), put: true, then: newDefaults, change: func(w *manifestBuilder) { w.label("team", "vision") }},
	} {
		t.Run(name, func(t *testing.T) {
			old := l.at.asStored(t, l.stored)
			now := &manifestBuilder{clone(old)}
			if l.put {
				now = l.stored.copied()
				now.put(old["metadata"].(manifest.Object)["generation"], "metadata", "generation").put(old["status"], "status")
			}
			if l.change != nil {
				l.change(now)
			}
			out := l.then.update(t, old, now.object)
			if !assert.Empty(t, out.refused) {
				return
			}
			wantAnnotations, wantPod := templateOf(old)
			annotations, pod := templateOf(l.then.defaulted(t, out.object))
			assert.Equal(t, wantAnnotations, annotations)
			assert.Equal(t, wantPod, pod)
			assert.Equal(t, recordOf(old), recordOf(out.object))
		})
	}
	t.Run("a value that the user took out is gone, and takes up the new default", func(t *testing.T) {
		stored := inCluster().asStored(t, autoscaled().native("window", "90s"))
		now := autoscaled()
		now.put(stored["metadata"].(manifest.Object)["generation"], "metadata", "generation")
		out := under(defaultPolicy("{window: 2m}")).update(t, stored, now.object)
		annotations, _ := templateOf(out.object)
		assert.Equal(t, kpa("window", "2m"), annotations)
	})
}

func recordOf(o manifest.Object) string {
	return manifest.Text(o, "metadata", "annotations", expand.RecordAnnotation)
}

// TestReplacesOfNamedRevisions: kubectl replace with the original manifest, whose template
// keeps the revision name that the user chose. Knative then fills nothing in, and refuses
// any other template than the stored one.
func TestReplacesOfNamedRevisions(t *testing.T) {
	named := func(w *manifestBuilder) *manifestBuilder {
		return w.put("inference-blue", "spec", "template", "metadata", "name")
	}
	everything := func() *manifestBuilder {
		return named(autoscaled("max-scale", "4", "cpus", "2", "gpus", "1", "gpu-type", "NVIDIA-L4", "gpu-memory", "20Gi", "concurrency", "8", "shared-memory-limit", "1Gi", "queue-name", "research", "service-account-name", "runner", "inactivity-ttl", "2h"))
	}
	labelled := func(w *manifestBuilder) { w.label("team", "vision") }
	at := gpuCluster()
	for name, c := range map[string]struct {
		stored *manifestBuilder
		then   cluster
		change func(*manifestBuilder)
	}{
		"with another label":         {everything(), at, labelled},
		"with nothing else":          {everything(), at, func(*manifestBuilder) {}},
		"under another policy":       {everything(), at.under(defaultPolicy("{window: 2m, maxScale: 3}")), labelled},
		"of the compute label alone": {named(plain().label("kubetorch.com/compute", "true").params("cpus", "2")), at, labelled},
	} {
		t.Run("the stored template is written again "+name, func(t *testing.T) {
			old := at.asStored(t, c.stored)
			now := c.stored.copied()
			c.change(now)
			out := c.then.update(t, old, now.object)
			require.Empty(t, out.refused)
			assert.Empty(t, out.warnings)
			assert.Equal(t, manifest.At(old, "spec", "template"), manifest.At(out.object, "spec", "template"))
			assert.Equal(t, recordOf(old), recordOf(out.object))
			assert.Equal(t, manifest.Text(old, "metadata", "annotations", "kubetorch.com/inactivity-ttl"), manifest.Text(out.object, "metadata", "annotations", "kubetorch.com/inactivity-ttl"))
			again := c.then.update(t, old, out.object)
			assert.Empty(t, again.refused)
			assert.Empty(t, again.patch, "reinvoked")
		})
	}
	t.Run("a template that is not the stored one is left alone", func(t *testing.T) {
		now := everything()
		setImage(now)
		out := at.update(t, at.asStored(t, everything()), now.object)
		require.Empty(t, out.refused)
		assert.Equal(t, manifest.At(now.object, "spec"), manifest.At(out.object, "spec"))
	})
	t.Run("what the user takes out of the template stays out, and Knative refuses it", func(t *testing.T) {
		probed := func() *manifestBuilder {
			return everything().pod(onePod(`readinessProbe: {httpGet: {path: /ready}, periodSeconds: 5}`))
		}
		now := everything()
		out := at.update(t, at.asStored(t, probed()), now.object)
		require.Empty(t, out.refused)
		assert.Equal(t, manifest.At(now.object, "spec"), manifest.At(out.object, "spec"))
	})
	t.Run("what no quantity can be read from is left alone", func(t *testing.T) {
		now := named(autoscaled().pod(onePod(`resources: {limits: {memory: "1e999999999"}}`)))
		out := at.update(t, at.asStored(t, everything()), now.object)
		require.Empty(t, out.refused)
		assert.Equal(t, manifest.At(now.object, "spec"), manifest.At(out.object, "spec"))
	})
	const warning = "spec.template.metadata.name is still inference-blue, so changed parameters have no effect; choose a new name to roll them out"
	runLater(t, map[string]later{
		"a profile that no policy has is refused": {stored: everything(), at: at, change: func(w *manifestBuilder) { w.label("kubetorch.com/autoscale", "bath") },
			refused: []string{`metadata.labels[kubetorch.com/autoscale]: Invalid value: "bath": unknown autoscale profile; no policy that selects this workload has any; to opt in without one, write "true"`}, warnings: []string{warning}},
		"distributing is refused": {stored: everything(), at: at, change: func(w *manifestBuilder) { w.params("distribute", "pytorch") },
			refused: []string{param("distribute", "pytorch", "autoscaling and distributed computing are mutually exclusive")}, warnings: []string{warning}},
	})
}

// TestReplacesUnderOtherPolicies: the original manifest again keeps every setting,
// whatever became of the policies that it came from.
func TestReplacesUnderOtherPolicies(t *testing.T) {
	const compute = `{metadata: {name: compute}, spec: {defaults: {compute: {memory: 2Gi, gpus: 1, gpuType: NVIDIA-L4, gpuMemory: 20Gi, sharedMemoryLimit: 1Gi, queueName: research, serviceAccountName: runner, inactivityTtl: 2h}}}}`
	at := gpuCluster().under(defaultPolicy("{maxScale: 5, window: 2m, concurrency: 8}"), compute)
	stored := autoscaled("cpus", "2")
	for name, then := range map[string]cluster{
		"the same":            at,
		"gone":                gpuCluster(),
		"with other defaults": gpuCluster().under(defaultPolicy("{maxScale: 7, window: 3m, scaleDownDelay: 30s}"), `{metadata: {name: compute}, spec: {defaults: {compute: {memory: 3Gi, gpus: 2, gpuType: A100, sharedMemoryLimit: 2Gi}}}}`),
		"with bounds":         gpuCluster().under(defaultPolicy("{maxScale: 5, window: 2m}"), `{metadata: {name: strict}, spec: {bounds: {maxScale: {max: 3}, gpusPerPod: {max: 0}, cpusPerPod: {max: "1", enforcement: Clamp}}}}`),
	} {
		t.Run(name, func(t *testing.T) {
			old := at.asStored(t, stored)
			out := then.update(t, old, stored.copied().label("team", "vision").object)
			require.Empty(t, out.refused)
			assert.Equal(t, manifest.At(old, "spec", "template"), manifest.At(then.defaulted(t, out.object), "spec", "template"))
			assert.Equal(t, recordOf(old), recordOf(out.object))
			assert.Equal(t, "2h", manifest.Text(out.object, "metadata", "annotations", "kubetorch.com/inactivity-ttl"))
		})
	}
}

// TestRemovedParametersLeaveNothing: what an expansion made is gone without a trace, and
// what it did not make stays.
func TestRemovedParametersLeaveNothing(t *testing.T) {
	at := gpuCluster()
	with := func() *manifestBuilder {
		return autoscaled("gpus", "1", "gpu-type", "NVIDIA-L4", "gpu-memory", "20Gi", "shared-memory-limit", "1Gi", "queue-name", "research", "cpus", "2")
	}
	without := func(w *manifestBuilder) *manifestBuilder {
		return w.copied().without("gpus", "gpu-type", "gpu-memory", "shared-memory-limit", "queue-name", "cpus")
	}
	template := func(o manifest.Object) any {
		delete(manifest.Map(o, "spec", "template", "metadata"), "annotations")
		return manifest.At(o, "spec", "template")
	}
	for name, c := range map[string]struct{ pod, want string }{
		"the expansion's own": {`{containers: [{image: "a/b:v1"}]}`, `{metadata: {}, spec: {containers: [{image: "a/b:v1"}]}}`},
		"beside the user's": {`{nodeSelector: {zone: a}, tolerations: [{key: mine, operator: Exists}], containers: [{image: "a/b:v1", resources: {requests: {memory: 1Gi}}}]}`,
			`{metadata: {}, spec: {nodeSelector: {zone: a}, tolerations: [{key: mine, operator: Exists}], containers: [{image: "a/b:v1", resources: {requests: {memory: 1Gi}}}]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			out := at.create(t, with().pod(c.pod).object)
			require.Empty(t, out.refused)
			again := at.update(t, out.object, without(&manifestBuilder{out.object}).object)
			require.Empty(t, again.refused)
			assert.Equal(t, map[string]any(read(c.want)), template(again.object))
		})
	}
	t.Run("what Knative fills in again is left", func(t *testing.T) {
		at := inCluster("defaults", "revision-cpu-request", "400m", "defaults", "container-concurrency", "7")
		old := at.asStored(t, autoscaled("cpus", "400m", "concurrency", "7"))
		out := at.update(t, old, (&manifestBuilder{clone(old)}).without("cpus", "concurrency").object)
		require.Empty(t, out.refused)
		assert.Equal(t, manifest.At(old, "spec", "template", "spec"), manifest.At(out.object, "spec", "template", "spec"))
		assert.Empty(t, at.update(t, old, at.defaulted(t, out.object)).patch)
	})
}
