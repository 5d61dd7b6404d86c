// The pods come from another kind than a Deployment or a Knative Service.

package attacks

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestEveryKindThatMakesPodsIsHeld(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]struct{ apiVersion, kind string }{
		"StatefulSet":           {"apps/v1", "StatefulSet"},
		"ReplicaSet":            {"apps/v1", "ReplicaSet"},
		"ReplicationController": {"v1", "ReplicationController"},
		"Job":                   {"batch/v1", "Job"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 24, strict)
			s.refused(s.try(workload(kind.apiVersion, kind.kind, "a", 8, 100, "")), "800 GPUs")
			s.maybeLive(0)
			s.holds(0)
			require.NoError(t, s.try(workload(kind.apiVersion, kind.kind, "b", 8, 2, "")), "16 GPUs fit")
			s.awaitLive(16)
			s.awaitUsed(16)
			resource, grow, path := schema.GroupVersionResource{Group: "apps", Version: "v1"}, scale(4), []string{"scale"}
			switch kind.kind {
			case "StatefulSet":
				resource.Resource = "statefulsets"
			case "ReplicaSet":
				resource.Resource = "replicasets"
			case "ReplicationController":
				resource = schema.GroupVersionResource{Version: "v1", Resource: "replicationcontrollers"}
			case "Job":
				resource, grow, path = jobs, `{spec: {parallelism: 4}}`, nil
			}
			if kind.kind != "Job" { // whose completions bound it
				s.refused(s.patch(resource, "b", grow, path...), "32 GPUs through the scale")
				s.refused(s.patch(resource, "b", grow), "32 GPUs through the object")
				s.maybeLive(16)
			}
			s.holds(0)
			s.remove(resource, "b")
			s.awaitUsed(0)
		})
	}
}

func TestAPodIsHeld(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	pod := func(name string, gpus int) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {containers: [%s]}}`, name, container(gpus))
	}
	s.refused(s.try(pod("greedy", 20)), "20 GPUs")
	require.NoError(t, s.try(pod("a", 8)))
	require.NoError(t, s.try(pod("b", 8)))
	s.refused(s.try(pod("c", 8)), "24 GPUs")
	s.maybeLive(16)
	s.holds(0)
	s.remove(podResource, "a")
	s.awaitUsed(8)
	assert.NoError(t, s.try(pod("c", 8)), "what is gone is free")
}

// A Pod that states a controller which did not make it is charged by itself.
func TestAPodWithATrueOwnerIsChargedLikeOthers(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, deployment("a", 8, 1))
	s.awaitLive(8)
	list, err := client.Resource(replicaSets).Namespace(s.namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	owner := list.Items[0]
	owned := func(name string) error {
		return s.try(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: %s, uid: %s, controller: true}]},
			spec: {containers: [%s]}}`, name, owner.GetName(), owner.GetUID(), container(8)))
	}
	require.NoError(t, owned("mine"), "8 more fit")
	s.refused(owned("more"), "24 GPUs")
	s.maybeLive(16)
	s.holds(0)
}

func TestADaemonSetIsHeldByItsPods(t *testing.T) {
	t.Parallel()
	s := newScene(t, 4, strict)
	// 16 nodes: 16 pods, if nothing held them.
	_ = s.try(workload("apps/v1", "DaemonSet", "a", 1, 0, ""))
	s.maybeLive(5)
	harness.Await(t, "the ledger to hold the pods that there are", func() (bool, string) { // more may come
		live, b := s.live(), s.status()
		return live > 0 && b.Status.Used == live && b.Status.Reserved == 0, fmt.Sprintf("%d live; %s", live, harness.Held(b))
	})
	s.witnessed(0)
	s.remove(daemonSets, "a")
	s.awaitLive(0)
	s.awaitUsed(0)
	require.NoError(t, s.try(`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: b}, spec: {selector: {matchLabels: {app: x}}, template:
		{metadata: {labels: {app: x}}, spec: {nodeSelector: {kubernetes.io/hostname: gpu-0}, containers: [`+container(1)+`]}}}}`), "one node's")
	s.awaitLive(1)
	s.awaitUsed(1)
}

func TestACronJobIsHeldByItsJobs(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	cron := func(name string, pods int) string {
		return fmt.Sprintf(`{apiVersion: batch/v1, kind: CronJob, metadata: {name: %s}, spec: {schedule: "* * * * *", jobTemplate: {spec: {parallelism: %d, completions: %d,
			template: {spec: {restartPolicy: Never, containers: [%s]}}}}}}`, name, pods, pods, container(8))
	}
	_ = s.try(cron("greedy", 100)) // of which each Job is refused
	require.NoError(t, s.try(cron("modest", 2)), "16 GPUs at a time")
	// A minute may pass until the first Job; the second finds the first one's pods.
	s.awaitLive(16)
	s.holds(0)
	s.remove(cronJobs, "modest")
}

// A job that does not state completions, or that was suspended, is held when it starts.
func TestAJobIsHeldWhenItIsResumed(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, `{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {suspend: true, parallelism: 100, template: {spec: {restartPolicy: Never, containers: [`+container(8)+`]}}}}`)
	s.refused(s.patch(jobs, "a", `{spec: {suspend: false}}`), "800 GPUs")
	s.maybeLive(0)
	s.holds(0)
	require.NoError(t, s.patch(jobs, "a", `{spec: {parallelism: 2}}`))
	assert.NoError(t, s.patch(jobs, "a", `{spec: {suspend: false}}`), "16 GPUs fit")
	s.awaitLive(16)
	s.awaitUsed(16)
	s.refused(s.patch(jobs, "a", `{spec: {parallelism: 3}}`), "24 GPUs")
	s.holds(0)
}
