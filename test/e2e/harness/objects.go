package harness

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/yaml"
)

// Resources that these tests read and write.
var (
	Services       = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}
	Configurations = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "configurations"}
	Revisions      = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "revisions"}
	Deployments    = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	Policies       = schema.GroupVersionResource{Group: "policy.kubetorch.com", Version: "v1alpha1", Resource: "computepolicies"}
	Budgets        = schema.GroupVersionResource{Group: "policy.kubetorch.com", Version: "v1alpha1", Resource: "gpubudgets"}
	Autoscalers    = schema.GroupVersionResource{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Resource: "podautoscalers"}
	Routes         = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "routes"}
	PodResource    = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	// ValidatingHooks are ValidatingWebhookConfigurations.
	ValidatingHooks = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
	Namespaces      = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// NewNamespace makes a namespace for one test.
func NewNamespace(t testing.TB, client dynamic.Interface) string {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"generateName": "e2e-"}}}
	made, err := Read(func() (*unstructured.Unstructured, error) {
		return client.Resource(Namespaces).Create(t.Context(), u, metav1.CreateOptions{})
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = client.Resource(Namespaces).Delete(context.Background(), made.GetName(), metav1.DeleteOptions{})
	})
	return made.GetName()
}

// Object reads an object from YAML.
func Object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	u := &unstructured.Unstructured{}
	require.NoError(t, u.UnmarshalJSON(raw))
	return u
}

// Change reads, changes and writes an object, again when somebody else, such as a controller, wrote it meanwhile.
func Change(ctx context.Context, objects dynamic.ResourceInterface, name string, change func(*unstructured.Unstructured) error) (written *unstructured.Unstructured, err error) {
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		u, err := objects.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := change(u); err != nil {
			return err
		}
		written, err = objects.Update(ctx, u, metav1.UpdateOptions{})
		return err
	})
	return written, err
}
