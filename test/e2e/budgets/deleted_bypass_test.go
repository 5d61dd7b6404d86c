// What is deleted, in whatever way, is freed once, and not before it is gone.

package budgets

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWhatIsDeletedIsFreedExactlyOnce(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 14\n")
	require.NoError(t, create(t, namespace, service("stays", 1, 2)))
	require.NoError(t, create(t, namespace, service("deleted", 2, 2)))
	require.NoError(t, workload{plainDeployment, 4, 2}.make(t, namespace, "held"))
	awaitUsed(t, name, 14)

	remove(t, services, namespace, "deleted")
	awaitUsed(t, name, 10)

	// Held by a finalizer, what was deleted in the foreground is there, and so are its pods.
	require.NoError(t, patch(t, deployments, namespace, "held", `{"metadata":{"finalizers":["e2e.kubetorch.com/hold"]}}`))
	foreground := metav1.DeletePropagationForeground
	require.NoError(t, answered(func() error {
		return client.Resource(deployments).Namespace(namespace).Delete(t.Context(), "held", metav1.DeleteOptions{PropagationPolicy: &foreground})
	}))
	require.NoError(t, create(t, namespace, service("fits", 4, 1)))
	awaitUsed(t, name, 14)
	assert.ErrorContains(t, create(t, namespace, service("more", 1, 1)), "0 of 14 are free")
	require.NoError(t, patch(t, deployments, namespace, "held", `{"metadata":{"finalizers":null}}`))
	awaitUsed(t, name, 6)
	require.NoError(t, create(t, namespace, service("more", 8, 1)))
	assert.ErrorContains(t, create(t, namespace, service("too-much", 1, 1)), "0 of 14 are free")
}

func TestADeletedNamespaceFreesWhatWasInIt(t *testing.T) {
	t.Parallel()
	stays, goes := newNamespace(t), newNamespace(t)
	for _, namespace := range []string{stays, goes} {
		require.NoError(t, patchNamespace(namespace, `{"metadata":{"labels":{"e2e.kubetorch.com/team":"`+stays+`"}}}`))
	}
	name := "budget-" + stays
	newBudgetFor(t, name, "{e2e.kubetorch.com/team: "+stays+"}", "  max: 12\n")
	require.NoError(t, create(t, stays, service("a", 1, 4)))
	require.NoError(t, create(t, goes, service("a", 2, 2)))
	require.NoError(t, workload{labelledDeployment, 2, 2}.make(t, goes, "b"))
	awaitUsed(t, name, 12)
	assert.ErrorContains(t, create(t, stays, service("b", 1, 1)), "0 of 12 are free")
	require.NoError(t, answered(func() error {
		return client.Resource(namespaces).Delete(t.Context(), goes, metav1.DeleteOptions{})
	}))
	awaitUsed(t, name, 4)
	assert.NoError(t, create(t, stays, service("b", 8, 1)))
	assert.ErrorContains(t, create(t, stays, service("c", 1, 1)), "0 of 12 are free")
}
