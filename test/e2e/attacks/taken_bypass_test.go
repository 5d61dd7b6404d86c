// A ReplicaSet is taken from its Deployment with pods that its template does not describe any more, and the
// Deployment makes others in their place.

package attacks

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAReplicaSetIsTakenWithPodsThatItsTemplateDoesNotDescribe(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]string{
		"by other labels":   `{metadata: {labels: {app: other}}}`,
		"without its owner": `{metadata: {ownerReferences: null}}`,
		"by both at once":   `{metadata: {labels: {app: other}, ownerReferences: null}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 16, strict)
			s.apply(s.tenant, deployment("a", 8, 1))
			s.awaitLive(8)
			s.apply(s.tenant, deployment("b", 8, 1))
			s.awaitLive(16)
			s.awaitUsed(16)
			var set *unstructured.Unstructured
			for _, rs := range s.list(replicaSets) {
				if rs.GetOwnerReferences()[0].Name == "a" {
					set = &rs
				}
			}
			require.NotNil(t, set)
			require.NoError(t, write(func() error {
				now, err := s.get(replicaSets, set.GetName())
				if err != nil {
					return err
				}
				containers, _, _ := unstructured.NestedSlice(now.Object, "spec", "template", "spec", "containers")
				delete(containers[0].(map[string]any), "resources")
				if err := unstructured.SetNestedSlice(now.Object, containers, "spec", "template", "spec", "containers"); err != nil {
					return err
				}
				_, err = s.tenant.Resource(replicaSets).Namespace(s.namespace).Update(context.Background(), now, metav1.UpdateOptions{})
				return err
			}))
			err := s.patch(replicaSets, set.GetName(), taken)
			s.refused(err, "the Deployment would make another in its place")
			if err == nil {
				s.maybeLive(16)
			}
			s.holds(0)
		})
	}
}
