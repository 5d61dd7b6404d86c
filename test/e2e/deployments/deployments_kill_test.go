package deployments

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
)

// The tests of this file kill the webhook, so they run by themselves, before the parallel
// ones.

// autoscaler is who HorizontalPodAutoscalers scale as, while the webhook is away too.
const autoscaler = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"

// killed kills the webhook, the controller in it included, does something meanwhile, and
// starts it again.
func (l *lab) killed(meanwhile func()) {
	l.Helper()
	replica := hook.Replicas[0]
	require.NoError(l, replica.Process().Signal(os.Kill))
	<-replica.Process().Done()
	// Whatever fails meanwhile, the other tests need it.
	defer func() { require.NoError(l, replica.Restart(context.Background())) }()
	meanwhile()
}

// killWhen kills the webhook as soon as an object is seen in some state.
func (l *lab) killWhen(what string, seen func() bool) {
	l.Helper()
	l.eventually(what, seen)
	l.killed(func() {})
}

func TestAKilledControllerGoesOnWhereItWas(t *testing.T) {
	annotated := func(l *lab, key string) bool {
		u, err := l.client.Resource(deployments).Namespace(l.namespace).Get(context.Background(), "app", metav1.GetOptions{})
		return err == nil && u.GetAnnotations()[key] != ""
	}
	nothing := func(*lab) {}
	for _, at := range []struct {
		step string
		// Where it is killed on the way to the Knative Service, and back.
		labelled, made, ready, adopted, served func(l *lab)
		unlabelled, restored, returned         func(l *lab)
	}{
		{step: "the label is set", labelled: func(l *lab) { l.killed(func() {}) }},
		{step: "the Knative Service is made", made: func(l *lab) { l.killed(func() {}) }},
		{step: "the Knative Service gets ready meanwhile", ready: func(l *lab) {
			// What starts pods waits for the webhook, and all else does not.
			autoscalers := schema.GroupVersionResource{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Resource: "podautoscalers"}
			l.eventually("PodAutoscaler", func() bool { return l.exists(autoscalers, "app-00001") })
			l.killed(func() { l.makeReady("app") })
		}},
		{step: "it is adopted", adopted: func(l *lab) {
			l.killWhen("the record", func() bool { return annotated(l, handover.AdoptedAnnotation) })
		}},
		{step: "it serves", served: func(l *lab) { l.killed(func() {}) }},
		{step: "the label is gone", unlabelled: func(l *lab) { l.killed(func() {}) }},
		{step: "the replicas are back", restored: func(l *lab) {
			l.killWhen("the replicas", func() bool { return l.replicas("app") == 2 && !annotated(l, handover.ReplicasAnnotation) })
		}},
		{step: "the Knative Service is going", returned: func(l *lab) { l.killWhen("its end", func() bool { return !l.exists(services, "app") }) }},
	} {
		t.Run(at.step, func(t *testing.T) {
			call := func(l *lab, f func(*lab)) {
				if f == nil {
					f = nothing
				}
				f(l)
			}
			l := newLab(t)
			l.apply(web("app", 2))
			l.awaitPods("app", 2)
			stop := l.guard("app", "app")

			l.label("app", "true")
			call(l, at.labelled)
			l.eventually("Knative Service", func() bool { return l.exists(services, "app") })
			call(l, at.made)
			if at.ready != nil {
				at.ready(l)
			} else {
				l.makeReady("app")
			}
			call(l, at.adopted)
			l.awaitPods("app", 0)
			call(l, at.served)
			l.awaitReason("app", handover.Serving)
			assert.Equal(t, "2", l.get(deployments, "app").GetAnnotations()[handover.ReplicasAnnotation])
			stop()

			l.label("app", nil)
			call(l, at.unlabelled)
			call(l, at.restored)
			l.eventually("the Knative Service goes", func() bool {
				gone := !l.exists(services, "app")
				if gone {
					ready, _, _ := unstructured.NestedInt64(l.get(deployments, "app").Object, "status", "readyReplicas")
					assert.Equal(l, int64(2), ready)
				}
				return gone
			})
			call(l, at.returned)
			l.awaitPods("app", 2)
			l.eventually("no record is left", func() bool { return !annotated(l, handover.StatusAnnotation) })
		})
	}
}

func TestWithoutTheWebhookPlainDeploymentsAreUnaffected(t *testing.T) {
	l := newLab(t)
	l.apply(web("labelled", 1, autoscale))
	gpu := web("gpu", 1) + "        resources: {limits: {nvidia.com/gpu: 1}}\n"
	replica := hook.Replicas[0]
	require.NoError(t, replica.Process().Stop())
	t.Cleanup(func() { require.NoError(t, replica.Restart(context.Background())) })

	l.apply(web("plain", 2))
	l.awaitPods("plain", 2)
	_, _, err := l.kubectl("", "scale", "deployment", "plain", "--replicas=3")
	require.ErrorContains(t, err, `failed calling webhook "validate-scale.kubetorch.com"`, "a scale-up by hand, which may start pods with GPUs")
	_, _, err = l.kubectl("", by(autoscaler, "scale", "deployment", "plain", "--replicas=3")...)
	require.NoError(t, err, "autoscaling is never held up")
	l.awaitPods("plain", 3)
	l.apply(web("plain", 1))
	_, _, err = l.kubectl("", "scale", "deployment", "labelled", "--replicas=0")
	require.NoError(t, err, "scaling down is never held up")
	for name, manifest := range map[string]string{"a new labelled one": web("app", 1, autoscale), "a new one with GPUs": gpu, "a change": web("labelled", 2, autoscale)} {
		_, _, err := l.kubectl(manifest, "apply", "-f", "-")
		assert.ErrorContains(t, err, "failed calling webhook", name)
	}
}

func TestScalingBehindTheWebhooksBackIsRepaired(t *testing.T) {
	l := newLab(t)
	l.serving("app", 1)
	l.killed(func() {
		_, _, err := l.kubectl("", by(autoscaler, "scale", "deployment", "app", "--replicas=3")...)
		require.NoError(t, err)
		l.awaitPods("app", 3)
	})
	l.awaitPods("app", 0)
}
