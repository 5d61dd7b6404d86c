// A label that anybody may make up poses as a GPU's type.

package budgets

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestNoMadeUpLabelTakesAPodOutOfABudget(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 8\n  gpuTypes: [\"*A100*\"]\n")
	on := func(label, value string) *unstructured.Unstructured {
		u := service("a", 9, 1)
		require.NoError(t, unstructured.SetNestedField(u.Object, map[string]any{label: value}, "spec", "template", "spec", "nodeSelector"))
		return u
	}
	for _, label := range []string{"accelerator", "gpu", "example.com/gpu-type", "gpu.product"} {
		assert.ErrorContains(t, create(t, namespace, on(label, "NVIDIA-L4")), "8 of 8 are free in budget "+name, label)
	}
	asked := service("a", 9, 1)
	asked.SetLabels(map[string]string{"kubetorch.com/autoscale": "true"})
	asked.SetAnnotations(map[string]string{"compute.kubetorch.com/gpu-type": "example.com/gpu-type: NVIDIA-L4"})
	assert.ErrorContains(t, create(t, namespace, asked), "8 of 8 are free in budget "+name, "a parameter that names one")
	assert.ErrorContains(t, create(t, namespace, on("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-80GB")), "8 of 8 are free in budget "+name)
	assert.NoError(t, create(t, namespace, on("nvidia.com/gpu.product", "NVIDIA-L4")), "what nodes are known by")
	awaitUsed(t, name, 0)
}
