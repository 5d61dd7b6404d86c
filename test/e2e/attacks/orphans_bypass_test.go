// Pods are taken from a Deployment without being deleted, and it makes new ones in their place.

package attacks

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// list is what the namespace has of a kind.
func (s *scene) list(resource schema.GroupVersionResource) []unstructured.Unstructured {
	s.Helper()
	list, err := harness.Read(func() (*unstructured.UnstructuredList, error) {
		return client.Resource(resource).Namespace(s.namespace).List(context.Background(), metav1.ListOptions{})
	})
	require.NoError(s, err)
	return list.Items
}

// orphan deletes an object without what it made, and waits until it is gone, or another of its name is there.
func (s *scene) orphan(resource schema.GroupVersionResource, name string) {
	s.Helper()
	before, err := s.get(resource, name)
	require.NoError(s, err)
	policy := metav1.DeletePropagationOrphan
	require.NoError(s, write(func() error {
		return s.tenant.Resource(resource).Namespace(s.namespace).Delete(context.Background(), name, metav1.DeleteOptions{PropagationPolicy: &policy})
	}))
	harness.Eventually(s, "the end of "+name, func() bool {
		now, err := s.get(resource, name)
		return err != nil || now.GetUID() != before.GetUID()
	})
}

// thief is an object without GPUs that selects pods with labels, and that the Deployment does not select.
func thief(version, kind, name, labels string) string {
	text := strings.Replace(workload(version, kind, name, 0, 9, ""), "labels: {app: x}", "labels: {app: thief}", 1)
	text = strings.Replace(text, "selector: {matchLabels: {app: x}}", "selector: {matchLabels: "+labels+"}", 1)
	text = strings.Replace(text, "selector: {app: x}", "selector: "+labels, 1)
	return strings.Replace(text, "labels: {app: x}", "labels: "+labels, 1)
}

// Another kind's controller adopts the pods before a new ReplicaSet of the Deployment can.
func TestOrphansThatAnotherAdopts(t *testing.T) {
	t.Parallel()
	for kind, version := range map[string]string{"ReplicaSet": "apps/v1", "ReplicationController": "v1", "DaemonSet": "apps/v1"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 16, strict)
			s.apply(s.tenant, deployment("a", 8, 2))
			s.awaitLive(16)
			for i := range 3 {
				sets := s.list(replicaSets)
				owned := func(u *unstructured.Unstructured) bool { return metav1.GetControllerOf(u) != nil }
				for _, set := range sets {
					if !owned(&set) {
						continue
					}
					name := fmt.Sprintf("thief-%d", i)
					s.apply(s.tenant, thief(version, kind, name, asText(t, set.GetLabels())))
					harness.Eventually(t, "the controller of "+name, func() bool { return len(s.list(podResource)) > 2 })
					s.orphan(replicaSets, set.GetName())
				}
				s.maybeLive(17)
			}
			s.rests()
		})
	}
}

// The tenant gives orphans other labels, so that no new ReplicaSet adopts them: at once, or after a count.
func TestOrphansWithOtherLabels(t *testing.T) {
	t.Parallel()
	for name, counted := range map[string]bool{"at once": false, "after a count": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 16, strict)
			s.apply(s.tenant, deployment("a", 8, 2))
			s.awaitLive(16)
			require.NoError(t, s.patch(deployments, "a", `{spec: {paused: true}}`))
			sets := s.list(replicaSets)
			require.Len(t, sets, 1)
			s.orphan(replicaSets, sets[0].GetName())
			if counted {
				s.recount()
				assert.EqualValues(t, 16, s.status().Status.Used, "the Deployment waits for them: they are not counted twice")
			}
			for _, pod := range s.list(podResource) {
				_ = s.patch(podResource, pod.GetName(), `{metadata: {labels: {app: mine}}}`)
			}
			require.NoError(t, s.patch(deployments, "a", `{spec: {paused: false}}`))
			s.maybeLive(17)
			s.rests()
		})
	}
}

// A ReplicaSet that has none of its pods yet, since its Deployment's orphans hold what it was charged
// for, is orphaned too.
func TestAReplicaSetThatIsOrphanedBeforeItsPods(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, deployment("a", 8, 2))
	s.awaitLive(16)
	require.NoError(t, s.patch(deployments, "a", `{spec: {paused: true}}`))
	sets := s.list(replicaSets)
	require.Len(t, sets, 1)
	s.orphan(replicaSets, sets[0].GetName())
	_ = s.patch(deployments, "a", `{spec: {paused: false, strategy: {type: Recreate, rollingUpdate: null}, template: {metadata: {annotations: {other: version}}}}}`)
	s.maybeLive(17)
	orphan := metav1.DeletePropagationOrphan
	require.NoError(t, write(func() error {
		return s.tenant.Resource(deployments).Namespace(s.namespace).Delete(context.Background(), "a", metav1.DeleteOptions{PropagationPolicy: &orphan})
	}))
	s.maybeLive(17)
	harness.Await(t, "a count", func() (bool, string) {
		b := s.status()
		return len(b.Status.Reservations) == 0, harness.Held(b)
	})
	s.maybeLive(17)
	s.rests()
}

// A Deployment's ReplicaSets outlive it, since they have another owner: it was charged for the pods of one of them
// as long as those of the other terminate, and each is counted by itself once it is gone.
func TestReplicaSetsThatOutliveTheirDeployment(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	keeper := s.apply(s.tenant, `{apiVersion: v1, kind: ConfigMap, metadata: {name: keeper}}`)
	s.apply(s.tenant, workload("apps/v1", "Deployment", "a", 8, 2, lingers))
	s.awaitLive(16)
	require.Len(t, s.list(replicaSets), 1)
	first := s.list(replicaSets)[0].GetName()
	require.NoError(t, s.patch(replicaSets, first, `{spec: {replicas: 0, template: {metadata: {annotations: {other: version}}}}}`))
	harness.Eventually(t, "another ReplicaSet in its place", func() bool { return len(s.list(replicaSets)) == 2 })
	for _, set := range s.list(replicaSets) {
		owners := fmt.Sprintf(`{metadata: {ownerReferences: [%s, {apiVersion: v1, kind: ConfigMap, name: keeper, uid: %q}]}}`,
			asText(t, set.Object["metadata"].(map[string]any)["ownerReferences"].([]any)[0]), keeper.GetUID())
		require.NoError(t, s.patch(replicaSets, set.GetName(), owners))
	}
	s.maybeLive(17)
	s.remove(deployments, "a")
	harness.Await(t, "a count without the Deployment", func() (bool, string) {
		b := s.status()
		for _, h := range b.Status.Holders {
			if h.Kind == "Deployment" {
				return false, harness.Held(b)
			}
		}
		return len(b.Status.Reservations) == 0, harness.Held(b)
	})
	s.maybeLive(17)
	s.rests()
	require.Len(t, s.list(replicaSets), 2, "the garbage collector lets them stay")

	s.forceAway()
	harness.Eventually(t, "the ReplicaSet to get its pods", func() bool { return s.live() == 16 })
	s.rests()
}

// A Job of a CronJob is deleted without its pods: they hold what they hold, and nothing is made in their place.
func TestAJobOfACronJobIsDeletedWithoutItsPods(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	cron := s.apply(s.tenant, `{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly}, spec: {schedule: "0 0 * * *", suspend: true,
		jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: "nginx:1"}]}}}}}}`)
	job := strings.Replace(workload("batch/v1", "Job", "nightly-1", 8, 2, ""), "name: nightly-1,",
		fmt.Sprintf("name: nightly-1, ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: nightly, uid: %s, controller: true}],", cron.GetUID()), 1)
	s.apply(s.tenant, job)
	s.awaitLive(16)
	s.orphan(jobs, "nightly-1")
	s.rests()
	assert.EqualValues(t, 16, s.live())
	s.awaitUsed(16)
}
