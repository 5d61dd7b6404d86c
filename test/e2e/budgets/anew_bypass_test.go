// A budget is deleted and made anew under its name, with another max.

package budgets

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestABudgetMadeAnewIsAnotherOne(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 20\n")
	require.NoError(t, create(t, namespace, service("a", 2, 4)))
	awaitUsed(t, name, 8)
	before := budget(t, name)

	require.NoError(t, answered(func() error {
		return client.Resource(budgets).Delete(t.Context(), name, metav1.DeleteOptions{})
	}))
	applyBudget(t, name, named(namespace), "  max: 10\n")
	after := budget(t, name)
	require.NotEqual(t, before.UID, after.UID)
	require.Equal(t, before.Generation, after.Generation, "nothing but the UID tells them apart")
	assert.False(t, counted(after))
	awaitCounted(t, name)
	for i, replica := range hook.Replicas {
		uid := types.UID(fmt.Sprintf("6a0d5a5e-8a55-4b6f-9d0f-0000000001%02d", i))
		response := reviewed(t, replica, namespace, service(fmt.Sprintf("b-%d", i), 3, 1), uid)
		assert.False(t, response.Allowed, "replica %d goes by the old max", i)
		assert.Contains(t, response.Result.Message, "2 of 10 are free in budget "+name)
	}
	require.NoError(t, create(t, namespace, service("b", 2, 1)))
	awaitUsed(t, name, 10)
}
