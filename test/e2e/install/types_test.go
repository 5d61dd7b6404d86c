package install

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// TestABudgetForATypeThatNoNodeHasIsToldSo: it counts nothing, which nobody would see.
func TestABudgetForATypeThatNoNodeHasIsToldSo(t *testing.T) {
	installed(t)
	nodes := schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	_, err := client.Resource(nodes).Create(t.Context(), harness.Object(t, `{apiVersion: v1, kind: Node, metadata: {name: typed, labels: {nvidia.com/gpu.product: NVIDIA-L4-SHARED}}}`), metav1.CreateOptions{})
	require.NoError(t, err)
	remove(t, nodes, "typed")
	said := &harness.Warnings{}
	config := rest.CopyConfig(cluster.RESTConfig())
	config.WarningHandler = said
	c, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	for name, types := range map[string]string{"typed-there": "NVIDIA-L4", "typed-nowhere": "NVIDIA-L4, NVIDIA-H200"} {
		text := fmt.Sprintf(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: %s}, spec: {max: 8, gpuTypes: [%s], namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: nobodys}}}}`, name, types)
		require.NoError(t, harness.Answered(func() error {
			_, err := c.Resource(budgets).Create(t.Context(), harness.Object(t, text), metav1.CreateOptions{})
			return err
		}))
		remove(t, budgets, name)
	}
	warned := said.Taken()
	require.Len(t, warned, 1)
	assert.True(t, strings.HasPrefix(warned[0], "spec.gpuTypes[1]: no node has GPUs of the type NVIDIA-H200; nodes have "), warned[0])
	assert.Contains(t, warned[0], "NVIDIA-L4-SHARED")
}
