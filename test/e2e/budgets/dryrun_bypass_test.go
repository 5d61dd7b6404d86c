// A dry run gets the true answer, and writes nothing.

package budgets

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

func TestADryRunIsAnsweredAndWritesNothing(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 8\n")
	require.NoError(t, create(t, namespace, service("a", 1, 4)))
	awaitUsed(t, name, 4)
	api := client.Resource(services).Namespace(namespace)
	try := func(u *unstructured.Unstructured) error {
		return answered(func() error {
			_, err := api.Create(t.Context(), u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		})
	}
	change := func(merge string) error {
		return answered(func() error {
			_, err := api.Patch(t.Context(), "a", types.MergePatchType, []byte(merge), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		})
	}
	before := budget(t, name)
	for range 5 {
		assert.NoError(t, try(service("b", 2, 2)))
	}
	assert.ErrorContains(t, try(service("b", 5, 1)), "4 of 8 are free in budget "+name)
	assert.NoError(t, change(maxScale(8)))
	assert.Error(t, change(maxScale(9)))
	assert.NoError(t, answered(func() error {
		return api.Delete(t.Context(), "a", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
	}))
	assert.Equal(t, before.Status, budget(t, name).Status)
	assert.Equal(t, before.ResourceVersion, budget(t, name).ResourceVersion, "the ledger was written")
}
