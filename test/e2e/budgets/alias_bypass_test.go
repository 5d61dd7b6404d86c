// A DeviceClass gives GPUs another name: before, after and under workloads that ask for it.

package budgets

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var deviceClasses = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "deviceclasses"}

// cards is a Knative Service whose pods ask for devices by a name that says nothing of GPUs.
func cards(t *testing.T, name, resource string, each, pods int) *unstructured.Unstructured {
	t.Helper()
	u := service(name, each, pods)
	containers, found, err := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
	require.NoError(t, err)
	require.True(t, found)
	limits := containers[0].(map[string]any)["resources"].(map[string]any)["limits"].(map[string]any)
	limits[resource] = limits["nvidia.com/gpu"]
	delete(limits, "nvidia.com/gpu")
	require.NoError(t, unstructured.SetNestedSlice(u.Object, containers, "spec", "template", "spec", "containers"))
	return u
}

func TestNamesThatADeviceClassClaimsAreCounted(t *testing.T) {
	begin := disturbing(t)
	const card = "e2e.kubetorch.com/card"
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 8\n")
	require.NoError(t, create(t, namespace, cards(t, "running", card, 2, 3)), "nobody knows what a card is")
	assert.ErrorContains(t, create(t, namespace, cards(t, "spelled", "deviceclass.resource.kubernetes.io/gpu.amd.com", 9, 1)), "asks for 9 GPUs", "a class is a name by itself, made or not")

	end := begin()
	makeClass := func() {
		class := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass",
			"metadata": map[string]any{"name": "gpu.amd.com"}, "spec": map[string]any{"extendedResourceName": card}}}
		_, err := client.Resource(deviceClasses).Create(context.Background(), class, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	dropClass := func() error {
		return client.Resource(deviceClasses).Delete(context.Background(), "gpu.amd.com", metav1.DeleteOptions{})
	}
	makeClass()
	t.Cleanup(func() { _ = dropClass() })
	awaitUsed(t, name, 6)
	awaitCounted(t, name)
	assert.ErrorContains(t, create(t, namespace, cards(t, "later", card, 2, 2)), "2 of 8 are free in budget "+name, "one that is made under it")
	require.NoError(t, create(t, namespace, cards(t, "fits", card, 2, 1)))
	awaitUsed(t, name, 8)

	require.NoError(t, dropClass())
	awaitUsed(t, name, 0)
	makeClass()
	awaitUsed(t, name, 8)
	awaitCounted(t, name)
	assert.ErrorContains(t, create(t, namespace, cards(t, "last", card, 1, 1)), "0 of 8 are free in budget "+name, "after the class was made anew")
	require.NoError(t, dropClass())
	awaitUsed(t, name, 0)
	awaitCounted(t, name)
	end()
}
