package deployments

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
)

// guard watches the pods of a Deployment, and fails the test if fewer of them are ready
// than there were at the start while its Knative Service is not ready.
func (l *lab) guard(deployment, service string) (stop func()) {
	l.Helper()
	list, err := l.client.Resource(pods).Namespace(l.namespace).List(l.Context(), metav1.ListOptions{LabelSelector: ownPods(deployment)})
	require.NoError(l, err)
	ready := map[string]bool{}
	for i := range list.Items {
		ready[list.Items[i].GetName()] = podReady(&list.Items[i])
	}
	least := readyPods(list.Items)
	require.Positive(l, least, "nothing runs yet")
	ctx, cancel := context.WithCancel(context.Background())
	watching, err := l.client.Resource(pods).Namespace(l.namespace).Watch(ctx, metav1.ListOptions{
		LabelSelector: ownPods(deployment), ResourceVersion: list.GetResourceVersion()})
	require.NoError(l, err)
	var done sync.WaitGroup
	var served atomic.Bool
	done.Go(func() {
		for e := range watching.ResultChan() {
			u, ok := e.Object.(*unstructured.Unstructured)
			if !ok {
				continue
			}
			ready[u.GetName()] = e.Type != watch.Deleted && podReady(u)
			count := 0
			for _, r := range ready {
				if r {
					count++
				}
			}
			if count < least && !served.Load() {
				served.Store(l.serviceReady(service))
				assert.True(l, served.Load(), "%d pods are ready of %d, and Knative Service %s is not", count, least, service)
			}
		}
	})
	return func() { watching.Stop(); cancel(); done.Wait() }
}

func TestARunningDeploymentIsAdopted(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.apply(web("app", 3))
	l.awaitPods("app", 3)
	defer l.guard("app", "app")()

	l.label("app", "true")
	l.eventually("Knative Service", func() bool { return l.exists(services, "app") })
	l.awaitReason("app", handover.Starting)
	l.never("fewer pods before the Knative Service is ready", func() bool { return l.replicas("app") != 3 })

	l.makeReady("app")
	l.awaitPods("app", 0)
	l.awaitReason("app", handover.Serving)
	l.awaitEvent("Deployment", "app", handover.Starting)
	l.awaitEvent("Deployment", "app", handover.Serving)
	l.awaitEvent("Service", "app", handover.Serving)
	assert.Equal(t, "3", l.get(deployments, "app").GetAnnotations()[handover.ReplicasAnnotation])
}

func TestBeforeAdoptionReplicasAreTheUsers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.apply(web("app", 2))
	l.awaitPods("app", 2)
	l.apply(web("app", 3, autoscale))
	l.awaitPods("app", 3)
	_, _, err := l.kubectl("", "scale", "deployment", "app", "--replicas=4")
	require.NoError(t, err)
	l.awaitPods("app", 4)
	l.makeReady("app")
	l.awaitPods("app", 0)
	assert.Equal(t, "4", l.get(deployments, "app").GetAnnotations()[handover.ReplicasAnnotation])
}

// serving brings up an adopted Deployment.
func (l *lab) serving(name string, replicas int, metadata ...string) {
	l.Helper()
	l.apply(web(name, replicas, append([]string{autoscale}, metadata...)...))
	l.eventually("Knative Service", func() bool { return l.exists(services, name) })
	l.makeReady(name)
	l.awaitReason(name, handover.Serving)
}

func TestRaisingReplicasIsSetBack(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serving("app", 3)
	const back = "set back to 0: Knative Service app runs the pods"

	assert.Contains(t, l.apply(web("app", 3, autoscale)), back, "kubectl apply again")
	assert.Equal(t, int64(0), l.replicas("app"))

	_, warnings, err := l.kubectl("", "scale", "deployment", "app", "--replicas=5")
	require.NoError(t, err)
	assert.Contains(t, warnings, back)
	assert.Equal(t, int64(0), l.replicas("app"))

	_, warnings, err = l.kubectl(web("app", 4, autoscale), "apply", "--server-side", "--force-conflicts", "-f", "-")
	require.NoError(t, err)
	assert.Contains(t, warnings, back)
	_, warnings, err = l.kubectl(web("app", 4, autoscale), "apply", "--server-side", "-f", "-")
	require.NoError(t, err, "no conflict with the controller")
	assert.Contains(t, warnings, back)

	_, warnings, err = l.kubectl(web("app", 2, autoscale), "replace", "-f", "-")
	require.NoError(t, err)
	assert.Contains(t, warnings, back, "kubectl replace drops annotations, and the record stays")
	assert.Equal(t, int64(0), l.replicas("app"))
	assert.Equal(t, handover.Serving, l.reason("app"))

	_, _, err = l.kubectl("", "autoscale", "deployment", "app", "--min=2", "--max=5", "--cpu-percent=80")
	if err != nil {
		_, _, err = l.kubectl("", "autoscale", "deployment", "app", "--min=2", "--max=5", "--cpu=80%")
	}
	require.NoError(t, err)
	l.never("pods of a HorizontalPodAutoscaler", func() bool { return l.replicas("app") != 0 })
}

func TestAForeignKnativeServiceIsNotTouched(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	_, _, err := l.kubectl(`{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "app"},
		"spec": {"template": {"spec": {"containers": [{"image": "ghcr.io/example/other:1"}]}}}}`, "create", "-f", "-")
	require.NoError(t, err)
	generation := l.get(services, "app").GetGeneration()
	_, _, err = l.kubectl(web("app", 1, autoscale), "apply", "-f", "-")
	require.ErrorContains(t, err, "the Knative Service "+l.namespace+"/app")

	l.apply(web("app", 2))
	l.awaitPods("app", 2)
	l.label("app", "true")
	l.awaitReason("app", handover.Foreign)
	l.awaitEvent("Deployment", "app", handover.Foreign)
	assert.Equal(t, int64(2), l.replicas("app"))
	s := l.get(services, "app")
	assert.Nil(t, metav1.GetControllerOf(s))
	assert.Equal(t, generation, s.GetGeneration())

	_, _, err = l.kubectl("", "delete", "ksvc", "app")
	require.NoError(t, err)
	l.eventually("a Knative Service of its own", func() bool {
		u, err := l.client.Resource(services).Namespace(l.namespace).Get(t.Context(), "app", metav1.GetOptions{})
		return err == nil && metav1.GetControllerOf(u) != nil
	})
}

func TestAChangeReachesTheKnativeService(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serving("app", 1, `annotations: {autoscale.kubetorch.com/max-scale: "4"}`)
	l.apply(web("app", 1, autoscale, `annotations: {autoscale.kubetorch.com/max-scale: "7"}`))
	maxScale := func() string { return templateAnnotations(l.get(services, "app"))["autoscaling.knative.dev/max-scale"] }
	l.eventually("the new max-scale", func() bool { return maxScale() == "7" })

	// A parameter that goes away takes along what only it asked for.
	l.apply(web("app", 1, autoscale, `annotations: {compute.kubetorch.com/queue-name: team}`))
	queue := func() string {
		q, _, _ := unstructured.NestedString(l.get(services, "app").Object, "spec", "template", "metadata", "labels", "kueue.x-k8s.io/queue-name")
		return q
	}
	l.eventually("the label", func() bool { return queue() == "team" && maxScale() == "10" })
	l.apply(web("app", 1, autoscale))
	l.eventually("no label", func() bool { return queue() == "" })

	// What somebody else changes is set right again.
	_, _, err := l.kubectl("", "patch", "ksvc", "app", "--type=json", "-p", `[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "ghcr.io/example/other:2"}]`)
	require.NoError(t, err)
	image := func() string {
		list, _, _ := unstructured.NestedSlice(l.get(services, "app").Object, "spec", "template", "spec", "containers")
		return fmt.Sprint(list[0].(map[string]any)["image"])
	}
	l.eventually("the image", func() bool { return image() == "ghcr.io/example/web:1" })

	l.makeReady("app")
	l.awaitReason("app", handover.Serving)
	generation := l.get(services, "app").GetGeneration()
	require.NoError(t, l.patch("app", map[string]any{"metadata": map[string]any{"annotations": map[string]any{"example.com/note": "x"}}}))
	l.never("a new revision for an annotation", func() bool { return l.get(services, "app").GetGeneration() != generation })
}

func TestAnotherServiceNameMovesOver(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serving("app", 1)
	l.apply(web("app", 1, autoscale, `annotations: {autoscale.kubetorch.com/service-name: app-two}`))
	l.eventually("the new Knative Service", func() bool { return l.exists(services, "app-two") })
	l.never("the old one goes before the new one is ready", func() bool { return !l.exists(services, "app") })
	l.makeReady("app-two")
	l.eventually("the old one goes", func() bool { return !l.exists(services, "app") })
	assert.Equal(t, int64(0), l.replicas("app"))
}

func TestNothingToApplyIsNothingToSee(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	manifest := web("app", -1, autoscale, `annotations: {compute.kubetorch.com/gpus: "1"}`)
	l.apply(manifest)
	l.eventually("Knative Service", func() bool { return l.exists(services, "app") })
	l.makeReady("app")
	l.awaitReason("app", handover.Serving)
	out, _, err := l.kubectl(manifest, "diff", "-f", "-")
	require.NoError(t, err, out)
	assert.Empty(t, out)
	out, _, err = l.kubectl(manifest, "diff", "--server-side", "-f", "-")
	require.NoError(t, err, out)
	assert.Empty(t, out)
}
