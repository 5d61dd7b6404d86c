// A Deployment's ReplicaSets make the pods, and its template says something else.

package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// withoutGPUs are lines of a patch that takes the GPUs out of a pod template.
const withoutGPUs = `spec: {containers: [{name: app, image: "nginx:1"}]}`

func TestTheReplicaSetsOfADeploymentCountWhateverItsTemplateSays(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(s *scene){
		"paused, and the GPUs taken out of the template": func(s *scene) {
			s.apply(s.tenant, deployment("a", 8, 1))
			s.awaitLive(8)
			require.NoError(s, s.patch(deployments, "a", `{spec: {paused: true, template: {`+withoutGPUs+`}}}`))
		},
		"a rollout to pods that never get ready": func(s *scene) {
			s.apply(s.tenant, deployment("a", 8, 1))
			s.awaitLive(8)
			require.NoError(s, s.patch(deployments, "a", `{spec: {strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}},
				template: {metadata: {annotations: {controlplane/never-ready: "true"}}, `+withoutGPUs+`}}}`))
		},
		"at 0 when it is paused": func(s *scene) {
			s.apply(s.tenant, deployment("a", 8, 1))
			s.awaitLive(8)
			require.NoError(s, s.patch(deployments, "a", scale(0)))
			s.awaitLive(0)
			require.NoError(s, s.patch(deployments, "a", `{spec: {paused: true, template: {`+withoutGPUs+`}}}`))
		},
		"a ReplicaSet that it adopts": func(s *scene) {
			s.apply(s.tenant, workload("apps/v1", "ReplicaSet", "old", 8, 0, ""))
			s.apply(s.tenant, strings.Replace(deployment("a", 0, 0), "spec: {", "spec: {paused: true, ", 1))
			s.awaitAdopted("old")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 32, strict)
			prepare(s)
			s.recount()
			before := s.live()
			s.refused(s.patch(deployments, "a", scale(10), "scale"), "80 GPUs through the scale")
			s.refused(s.patch(deployments, "a", scale(10)), "80 GPUs through the Deployment")
			s.maybeLive(before)
			s.holds(0)
			assert.NoError(t, s.patch(deployments, "a", scale(2), "scale"), "16 GPUs fit")
			s.holds(0)
		})
	}
}

// awaitAdopted waits until a ReplicaSet has a Deployment as its controller.
func (s *scene) awaitAdopted(name string) {
	s.Helper()
	harness.Eventually(s, "the adoption of ReplicaSet "+name, func() bool {
		u, err := s.get(replicaSets, name)
		return err == nil && metav1.GetControllerOf(u) != nil
	})
}

func TestAReplicaSetWithATrueOwnerIsChargedLikeOthers(t *testing.T) {
	t.Parallel()
	s := newScene(t, 32, strict)
	owner := s.apply(s.tenant, deployment("a", 8, 1))
	s.awaitLive(8)
	require.NoError(t, s.patch(deployments, "a", `{spec: {paused: true}}`))
	owned := func(name string, gpus, pods int) error {
		u := harness.Object(t, workload("apps/v1", "ReplicaSet", name, gpus, pods, ""))
		yes := true
		u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "a", UID: owner.GetUID(), Controller: &yes, BlockOwnerDeletion: &yes}})
		return write(func() error {
			_, err := s.tenant.Resource(replicaSets).Namespace(s.namespace).Create(t.Context(), u, metav1.CreateOptions{})
			return err
		})
	}
	s.refused(owned("greedy", 8, 10), "80 GPUs")
	s.maybeLive(8)
	s.holds(0)
	assert.NoError(t, owned("modest", 1, 1), "one GPU fits")
	s.holds(0)
}

func TestAReplicaSetOfADeploymentIsNotRaisedBehindIt(t *testing.T) {
	t.Parallel()
	s := newScene(t, 32, strict)
	s.apply(s.tenant, deployment("a", 8, 1))
	s.awaitLive(8)
	require.NoError(t, s.patch(deployments, "a", `{spec: {paused: true}}`))
	list, err := client.Resource(replicaSets).Namespace(s.namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	name := list.Items[0].GetName()
	s.refused(s.patch(replicaSets, name, scale(10), "scale"), "80 GPUs through the scale")
	s.refused(s.patch(replicaSets, name, scale(10)), "80 GPUs through the ReplicaSet")
	s.holds(0)
	assert.NoError(t, s.patch(replicaSets, name, scale(1), "scale"))
}
