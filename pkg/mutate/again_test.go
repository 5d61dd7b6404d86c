package mutate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/mutate"
)

// kubectl replace drops what the manifest does not say, and server-side apply puts the
// manifest's containers in the place of the stored ones.
func TestTheOriginalManifestAgainIsNobodysEdit(t *testing.T) {
	newDefaults := under(defaultPolicy("{window: 2m, maxScale: 3, target: \"7\", progressDeadline: 20m}"), house)
	full := func() *workload {
		return autoscaled("cpus", "2", "memory", "1024Mi", "gpus", "1", "shared-memory-limit", "1Gi", "concurrency", "5")
	}
	listsReplaced := func(w *workload) {
		containers := full().object["spec"].(manifest.Object)["template"].(manifest.Object)["spec"].(manifest.Object)["containers"]
		w.put(containers, "spec", "template", "spec", "containers")
	}
	c := inCluster("features", "kubernetes.podspec-tolerations", "enabled")
	then := c.under(defaultPolicy("{window: 2m, maxScale: 3, target: \"7\", progressDeadline: 20m}"))
	for name, l := range map[string]later{
		"by replace, after defaults changed":            {stored: autoscaled("max-scale", "4"), put: true, then: newDefaults},
		"with every kind of place, by replace":          {stored: full(), at: c, put: true, then: &then},
		"with every kind of place, server-side":         {stored: full(), at: c, then: &then, change: listsReplaced},
		"with a label of the Service's, by replace":     {stored: autoscaled("max-scale", "4"), put: true, then: newDefaults, change: func(w *workload) { w.label("team", "vision") }},
		"under a revision name of the user's, likewise": {stored: autoscaled("max-scale", "4").put("inference-blue", "spec", "template", "metadata", "name"), put: true, then: newDefaults, change: func(w *workload) { w.label("team", "vision") }},
	} {
		t.Run(name, func(t *testing.T) {
			old := l.at.asStored(t, l.stored)
			now := &workload{clone(old)}
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
	return manifest.Text(o, "metadata", "annotations", mutate.RecordAnnotation)
}
