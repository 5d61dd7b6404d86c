package deployments

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
)

func TestWithoutTheLabelTheDeploymentComesBackFirst(t *testing.T) {
	t.Parallel()
	for name, takeOff := range map[string]func(l *lab){
		"the label goes":       func(l *lab) { l.label("app", nil) },
		"the label says false": func(l *lab) { l.label("app", "false") },
		"apply without it":     func(l *lab) { l.apply(web("app", -1)) },
		"replace without it": func(l *lab) {
			l.eventually("kubectl replace without a conflict", func() bool {
				_, _, err := l.kubectl(web("app", 3), "replace", "-f", "-")
				return err == nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.apply(web("app", 3))
			l.awaitPods("app", 3)
			l.label("app", "true")
			l.eventually("Knative Service", func() bool { return l.exists(services, "app") })
			l.makeReady("app")
			l.awaitPods("app", 0)
			if name == "apply without it" {
				l.apply(web("app", -1, autoscale)) // so that apply takes it off
			}
			takeOff(l)
			l.eventually("the Knative Service goes", func() bool {
				gone := !l.exists(services, "app")
				if gone {
					d := l.get(deployments, "app")
					ready, _, _ := unstructured.NestedInt64(d.Object, "status", "readyReplicas")
					assert.Positive(l, ready, "not before the Deployment is ready")
					assert.Equal(l, handover.Replicas(d.Object), ready)
				}
				return gone
			})
			l.eventually("no record is left", func() bool {
				annotations := l.get(deployments, "app").GetAnnotations()
				for _, key := range handover.Bookkeeping {
					if _, left := annotations[key]; left {
						return false
					}
				}
				return true
			})
			if name != "apply without it" {
				assert.Equal(t, int64(3), l.replicas("app"))
			}
			l.awaitEvent("Deployment", "app", handover.Returned)
		})
	}
}

func TestTheKnativeServiceServesUntilTheDeploymentIsReady(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serving("app", 2)
	// Pods of this template never get ready.
	require.NoError(t, l.patch("app", map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"kubetorch.com/autoscale": nil}},
		"spec":     map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{"controlplane/never-ready": "yes"}}}},
	}))
	l.eventually("the replicas are back", func() bool { return l.replicas("app") == 2 })
	l.awaitReason("app", handover.Returning)
	l.never("the Knative Service goes too early", func() bool { return !l.exists(services, "app") })

	// Labelled again, it is where it was.
	l.label("app", "true")
	l.eventually("the Knative Service has the new template", func() bool {
		return templateAnnotations(l.get(services, "app"))["controlplane/never-ready"] == "yes"
	})
	l.makeReady("app")
	l.eventually("adopted again", func() bool { return l.replicas("app") == 0 })
	l.awaitReason("app", handover.Serving)
}
