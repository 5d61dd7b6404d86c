// A scale without an upper end fits no budget, whatever autoscales.

package budgets

import (
	"fmt"
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

// Knative's other autoscaler is held by max-scale, too.
func TestAnHPAServiceIsChargedByItsMaxScale(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 12\n")
	hpa := func(pods int) *unstructured.Unstructured {
		u := service("a", 2, pods)
		annotations := map[string]any{"autoscaling.knative.dev/class": "hpa.autoscaling.knative.dev", "autoscaling.knative.dev/metric": "cpu", "autoscaling.knative.dev/target": "80"}
		if pods > 0 {
			annotations["autoscaling.knative.dev/max-scale"] = fmt.Sprint(pods)
		}
		require.NoError(t, unstructured.SetNestedMap(u.Object, annotations, "spec", "template", "metadata", "annotations"))
		return u
	}
	assert.ErrorContains(t, create(t, namespace, hpa(0)), "in budget "+name, "without a max-scale")
	assert.ErrorContains(t, create(t, namespace, hpa(7)), "asks for 14 GPUs (2 x 7 pods); 12 of 12 are free in budget "+name)
	require.NoError(t, create(t, namespace, hpa(5)))
	assert.ErrorContains(t, create(t, namespace, service("b", 3, 1)), "2 of 12 are free")
	assert.ErrorContains(t, patch(t, services, namespace, "a", `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":null}}}}}`), "in budget "+name)
	awaitUsed(t, name, 10)
}
