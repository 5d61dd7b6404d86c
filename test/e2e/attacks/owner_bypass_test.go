// A Deployment states an owner of a made-up version and name, with the UID of a real one.

package attacks

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestAStatedOwnerFreesNothing(t *testing.T) {
	t.Parallel()
	for name, reference := range map[string]metav1.OwnerReference{
		"a made-up version and name": {APIVersion: "serving.knative.dev/v9", Kind: "Revision", Name: "nothing"},
		"a made-up name":             {APIVersion: "serving.knative.dev/v1", Kind: "Revision", Name: "nothing"},
		"the true name":              {APIVersion: "serving.knative.dev/v1", Kind: "Revision", Name: "a-00001"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 24, strict)
			s.apply(s.tenant, knativeService("a", 8, 1, ""))
			s.awaitLive(8)
			revision, err := s.get(revisions, "a-00001")
			require.NoError(t, err)
			yes := true
			reference.UID, reference.Controller = revision.GetUID(), &yes
			forged := func(i int) error {
				// The name is that of a child of the owner that it names.
				u := harness.Object(t, deployment(reference.Name+"-deployment", 8, 1))
				if i > 0 || reference.Name == "a-00001" {
					u.SetName(fmt.Sprintf("forged-%d", i))
				}
				u.SetOwnerReferences([]metav1.OwnerReference{reference})
				return write(func() error {
					_, err := s.tenant.Resource(deployments).Namespace(s.namespace).Create(t.Context(), u, metav1.CreateOptions{})
					return err
				})
			}
			var last error
			for i := range 4 {
				before := s.live()
				last = forged(i)
				s.maybeLive(before)
				s.recount()
			}
			// The garbage collector takes those away whose owner's name is nobody's.
			if name != "a made-up name" {
				s.refused(last, "a fifth of 8 GPUs where 24 are allowed")
			}
			s.holds(0)

			list, err := client.Resource(deployments).Namespace(s.namespace).List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			for _, u := range list.Items {
				if u.GetName() != "a-00001-deployment" {
					s.remove(deployments, u.GetName())
				}
			}
			s.awaitUsed(8)
			assert.NoError(t, s.try(deployment("honest", 8, 2)), "what is gone is free")
			s.awaitUsed(24)
			s.holds(0)
		})
	}
}
