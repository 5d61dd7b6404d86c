// One request that is validated several times, with other names, UIDs or old objects, is one
// charge in the end.

package budgets

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// The API server asks again with another old object whenever somebody else wrote first.
func TestAnUpdateThatIsTriedAgainIsOneCharge(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 30\n")
	require.NoError(t, workload{plainDeployment, 3, 1}.make(t, namespace, "a"))
	var together sync.WaitGroup
	for i := range 40 {
		together.Go(func() {
			merge := fmt.Sprintf(`{"metadata":{"annotations":{"e2e.kubetorch.com/%d":"x"}},"spec":{"replicas":%d}}`, i, 1+i%10)
			if err := patch(t, deployments, namespace, "a", merge); err != nil {
				assert.NotContains(t, err.Error(), "in budget", "no single one is more than the budget")
			}
		})
	}
	together.Wait()
	require.NoError(t, patch(t, deployments, namespace, "a", `{"spec":{"replicas":10}}`))
	awaitUsed(t, name, 30)
	require.NoError(t, patch(t, deployments, namespace, "a", `{"spec":{"replicas":2}}`))
	awaitUsed(t, name, 6)
}

// With server-side apply an object is made by what begins as an update, and a generated
// name that is taken is asked for again with another UID.
func TestEveryWayOfMakingAnObjectIsOneCharge(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 40\n")
	api := client.Resource(services).Namespace(namespace)
	for range 3 {
		require.NoError(t, answered(func() error {
			_, err := api.Apply(t.Context(), "applied", service("applied", 2, 2), metav1.ApplyOptions{FieldManager: "e2e", Force: true})
			return err
		}))
	}
	u := service("", 1, 4)
	u.SetGenerateName("generated-")
	for range 3 {
		harness.Await(t, "an object with a generated name", func() (bool, string) {
			_, err := api.Create(t.Context(), u, metav1.CreateOptions{})
			if err != nil && strings.Contains(err.Error(), "failed calling webhook") {
				return false, err.Error() // so it is not stored
			}
			require.NoError(t, err)
			return true, ""
		})
	}
	require.NoError(t, create(t, namespace, service("a", 4, 1)))
	harness.Await(t, "the answer that it is there", func() (bool, string) {
		_, err := api.Create(t.Context(), service("a", 4, 1), metav1.CreateOptions{})
		require.Error(t, err, "it is there")
		return apierrors.IsAlreadyExists(err), err.Error()
	})
	awaitUsed(t, name, 20)
	for _, uid := range []types.UID{"6a0d5a5e-8a55-4b6f-9d0f-000000000001", "6a0d5a5e-8a55-4b6f-9d0f-000000000002"} {
		response := reviewed(t, hook.Replicas[0], namespace, service("generated-x", 1, 10), uid)
		require.True(t, response.Allowed, "%v", response.Result)
	}
	assert.EqualValues(t, 20, budget(t, name).Status.Reserved, "either may be stored")
	awaitUsed(t, name, 20)
}
