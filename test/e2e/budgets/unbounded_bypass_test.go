// A scale without an upper end fits no budget, whatever autoscales.

package budgets

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAServiceWithoutABoundDoesNotFit(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 1000\n")
	assert.ErrorContains(t, create(t, namespace, service("a", 1, 0)), "in budget "+name)
	u := service("a", 1, 1)
	unstructured.RemoveNestedField(u.Object, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale")
	assert.ErrorContains(t, create(t, namespace, u), "in budget "+name)
	require.NoError(t, create(t, namespace, service("a", 1, 1)))
	assert.ErrorContains(t, patch(t, services, namespace, "a", maxScale(0)), "in budget "+name)
	assert.NoError(t, create(t, namespace, service("no-gpus", 0, 0)))
	awaitUsed(t, name, 1)
}
