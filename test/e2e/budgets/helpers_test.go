package budgets

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

var (
	services    = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	budgets     = schema.GroupVersionResource{Group: "policy.kubetorch.com", Version: "v1alpha1", Resource: "gpubudgets"}
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

const tick = 100 * time.Millisecond

// newNamespace makes a namespace for one test.
func newNamespace(t *testing.T) string {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"generateName": "e2e-"}}}
	made, err := client.Resource(namespaces).Create(t.Context(), u, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = client.Resource(namespaces).Delete(context.Background(), made.GetName(), metav1.DeleteOptions{})
	})
	return made.GetName()
}

// newBudget makes a budget for a namespace, and waits until it is counted.
func newBudget(t *testing.T, namespace, spec string) string {
	t.Helper()
	name := "budget-" + namespace
	applyBudget(t, name, namespace, spec)
	t.Cleanup(func() { _ = client.Resource(budgets).Delete(context.Background(), name, metav1.DeleteOptions{}) })
	awaitCounted(t, name)
	return name
}

func applyBudget(t *testing.T, name, namespace, spec string) {
	t.Helper()
	text := fmt.Sprintf("apiVersion: policy.kubetorch.com/v1alpha1\nkind: GPUBudget\nmetadata: {name: %s}\nspec:\n  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}\n%s", name, namespace, spec)
	_, err := client.Resource(budgets).Apply(t.Context(), name, object(t, text), metav1.ApplyOptions{FieldManager: "e2e", Force: true})
	require.NoError(t, err)
}

func awaitCounted(t *testing.T, name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		b := budget(t, name)
		for _, c := range b.Status.Conditions {
			if c.Type == v1alpha1.ConditionCounted {
				return c.Status == metav1.ConditionTrue && c.ObservedGeneration == b.Generation
			}
		}
		return false
	}, time.Minute, tick, "budget %s was never counted", name)
}

func budget(t *testing.T, name string) *v1alpha1.GPUBudget {
	t.Helper()
	u, err := client.Resource(budgets).Get(context.Background(), name, metav1.GetOptions{})
	require.NoError(t, err)
	b := &v1alpha1.GPUBudget{}
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, b))
	return b
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	u := &unstructured.Unstructured{}
	require.NoError(t, u.UnmarshalJSON(raw))
	return u
}

// service is a Knative Service of some pods with some GPUs each.
func service(name string, gpus, pods int) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"spec": map[string]any{"template": map[string]any{
			"metadata": map[string]any{"annotations": map[string]any{"autoscaling.knative.dev/max-scale": fmt.Sprint(pods), "autoscaling.knative.dev/min-scale": "0"}},
			"spec": map[string]any{"containers": []any{map[string]any{"image": "nginx:1", "resources": map[string]any{
				"limits": map[string]any{"nvidia.com/gpu": fmt.Sprint(gpus)}}}}},
		}},
	}}
	u.SetName(name)
	return u
}

func create(t *testing.T, namespace string, u *unstructured.Unstructured) error {
	t.Helper()
	_, err := client.Resource(services).Namespace(namespace).Create(context.Background(), u, metav1.CreateOptions{})
	return err
}
