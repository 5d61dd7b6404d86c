// Something is deleted, or waits for a finalizer, and what it was part of goes on.

package attacks

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

var statefulSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}

// waits and goes are patches that have an object stay when it is deleted, or go.
const waits, goes = `{metadata: {finalizers: [e2e.kubetorch.com/waits]}}`, `{metadata: {finalizers: []}}`

// removeAlone deletes an object without what belongs to it.
func (s *scene) removeAlone(resource schema.GroupVersionResource, name string) {
	s.Helper()
	policy := metav1.DeletePropagationOrphan
	require.NoError(s, write(func() error {
		return s.tenant.Resource(resource).Namespace(s.namespace).Delete(context.Background(), name, metav1.DeleteOptions{PropagationPolicy: &policy})
	}))
}

// The controller of HorizontalPodAutoscalers goes on with one that waits for a finalizer.
func TestAnAutoscalerThatWaitsForAFinalizerIsHeld(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, deployment("a", 8, 1))
	s.apply(s.tenant, horizontal("h", "apps/v1", "Deployment", 1, 1))
	s.awaitLive(8)
	require.NoError(t, s.patch(horizontalAutoscalers, "h", waits))
	s.remove(horizontalAutoscalers, "h")
	s.refused(s.patch(horizontalAutoscalers, "h", `{spec: {minReplicas: 10, maxReplicas: 10}}`), "80 GPUs")
	s.maybeLive(8)
	s.holds(0)
	require.NoError(t, s.patch(horizontalAutoscalers, "h", goes))
}

// An autoscaler and its target that are written at the same time do not see each other.
func TestAutoscalersThatAreWrittenWithTheirTargetsAreHeld(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	var all sync.WaitGroup
	for name := range strings.SplitSeq("abcdefghijkl", "") {
		for _, text := range []string{strings.ReplaceAll(deployment(name, 1, 1), "app: x", "app: "+name),
			strings.Replace(horizontal("h-"+name, "apps/v1", "Deployment", 5, 5), "name: a,", "name: "+name+",", 1)} {
			u := harness.Object(t, text)
			all.Go(func() {
				_, _ = s.tenant.Resource(resourceOf(u)).Namespace(s.namespace).Create(context.Background(), u, metav1.CreateOptions{})
			})
		}
	}
	all.Wait()
	s.maybeLive(16)
	s.rests()
}

// A Deployment makes others for pods that its ReplicaSet leaves behind.
func TestPodsThatAreOrphanedWhileTheirDeploymentGoesOnAreHeld(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, deployment("a", 8, 2))
	s.awaitLive(16)
	list, err := s.tenant.Resource(replicaSets).Namespace(s.namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	set := list.Items[0].GetName()
	require.NoError(t, s.patch(replicaSets, set, waits))
	s.removeAlone(replicaSets, set)
	// Refused as long as pods are its own, of which the garbage collector takes one after the other.
	_ = s.patch(replicaSets, set, `{metadata: {ownerReferences: []}}`)
	s.maybeLive(16)
	for name := range s.podNames() {
		_ = s.patch(podResource, name, `{metadata: {labels: {app: gone}}}`)
	}
	require.NoError(t, s.patch(replicaSets, set, goes))
	s.maybeLive(16)
	s.rests()
}

func (s *scene) podNames() map[string]bool {
	s.Helper()
	list, err := s.tenant.Resource(podResource).Namespace(s.namespace).List(context.Background(), metav1.ListOptions{})
	require.NoError(s, err)
	names := map[string]bool{}
	for _, u := range list.Items {
		names[u.GetName()] = true
	}
	return names
}

// A Service makes a Revision anew that somebody deletes, and our controller a Service, while the pods of the
// earlier one take their time.
func TestWhatIsMadeAnewIsHeldWithWhatTerminates(t *testing.T) {
	t.Parallel()
	const lingering = `, controlplane/lingers: "true"`
	for name, c := range map[string]struct {
		text    string
		deleted schema.GroupVersionResource
		name    string
	}{
		"a Revision of a Service":              {knativeService("a", 8, 2, lingering), revisions, "a-00001"},
		"the Service of a labelled Deployment": {labelled(8, 2, lingers), services, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 16, strict)
			s.apply(s.tenant, c.text)
			s.awaitLive(16)
			for range 3 {
				s.remove(c.deleted, c.name)
				s.maybeLive(16)
				harness.Eventually(s, "another", func() bool { return s.exists(c.deleted, c.name) })
			}
			b := s.status()
			assert.LessOrEqual(s, s.live(), s.max)
			assert.GreaterOrEqual(s, b.Status.Used+b.Status.Reserved, s.live())
			s.forceAway()
			s.awaitLive(16)
			s.rests()
		})
	}
}

// The Service that our controller makes anew has the entry of the one that somebody deleted, of which a Revision
// stays, with its pods, for as long as it waits for a finalizer.
func TestWhatIsMadeAnewIsHeldWithARevisionThatWaitsForAFinalizer(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, labelled(8, 2, ""))
	s.awaitLive(16)
	require.NoError(t, s.patch(revisions, "a-00001", waits))
	s.remove(services, "a")
	harness.Eventually(t, "another Service", func() bool { return s.exists(services, "a") })
	s.maybeLive(16)
	// Of another template, a Revision with another name.
	for _, value := range []string{"1", "2"} {
		_ = s.patch(deployments, "a", `{spec: {template: {metadata: {annotations: {e2e.kubetorch.com/version: "`+value+`"}}}}}`)
		s.maybeLive(16)
	}
	b := s.status()
	assert.LessOrEqual(t, s.live(), s.max)
	assert.GreaterOrEqual(t, b.Status.Used+b.Status.Reserved+b.Status.Overlap, s.live())
	require.NoError(t, s.patch(revisions, "a-00001", goes))
	s.awaitLive(16)
	s.rests()
}

// labelled is a Deployment that becomes a Knative Service of at most so many pods, which it begins with.
func labelled(gpus, pods int, annotations string) string {
	return strings.NewReplacer("labels: {app: x}}, spec", fmt.Sprintf(`labels: {app: x, kubetorch.com/autoscale: "true"},
			annotations: {autoscale.kubetorch.com/max-scale: "%[1]d", autoscale.kubetorch.com/initial-scale: "%[1]d"}}, spec`, pods),
		"{name: app,", "{name: app, ports: [{containerPort: 8080}],").Replace(workload("apps/v1", "Deployment", "a", gpus, pods, annotations))
}

// The controller of StatefulSets makes the pods of other ordinals before it ends those that it had.
func TestAStatefulSetWhoseOrdinalsMoveIsHeld(t *testing.T) {
	t.Parallel()
	s := newScene(t, 10, strict)
	s.apply(s.tenant, workload("apps/v1", "StatefulSet", "a", 1, 8, ""))
	s.awaitLive(8)
	s.refused(s.patch(statefulSets, "a", `{spec: {ordinals: {start: 100}}}`), "8 pods beside 8")
	require.NoError(t, s.patch(statefulSets, "a", `{spec: {replicas: 1}}`))
	s.awaitLive(1)
	assert.NoError(t, s.patch(statefulSets, "a", `{spec: {ordinals: {start: 100}}}`), "1 beside 1 fits")
	s.holds(0)
}
