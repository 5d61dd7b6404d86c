package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// TestWarningsAboutAServiceStandInItsEvents: kubetorch's client shows none of those that its requests are answered
// with.
func TestWarningsAboutAServiceStandInItsEvents(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	u := harness.Object(t, `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: told, labels: {kubetorch.com/autoscale: "true"}},
		spec: {template: {metadata: {annotations: {autoscale.kubetorch.com/max-scale: "4"}}, spec: {containers: [{image: "nginx:1"}]}}}}`)
	require.NoError(t, harness.Answered(func() error {
		_, err := client.Resource(services).Namespace(ns).Create(t.Context(), u, metav1.CreateOptions{})
		return err
	}))
	harness.Await(t, "an event about the parameter on the template", func() (bool, string) {
		list, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "events"}).Namespace(ns).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=Conversion"})
		if err != nil {
			return false, err.Error()
		}
		var seen []string
		for _, e := range list.Items {
			about, _, _ := unstructured.NestedString(e.Object, "involvedObject", "kind")
			name, _, _ := unstructured.NestedString(e.Object, "involvedObject", "name")
			message, _, _ := unstructured.NestedString(e.Object, "message")
			seen = append(seen, fmt.Sprintf("%s %s: %s", about, name, message))
			if about == "Service" && name == "told" && strings.Contains(message, "autoscale.kubetorch.com/max-scale") {
				return true, ""
			}
		}
		return false, fmt.Sprint(seen)
	})
}
