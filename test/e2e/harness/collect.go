package harness

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// Collect deletes revisions that were replaced, as happens to them once the next one runs:
// nothing runs here.
func Collect(ctx context.Context, client dynamic.Interface, namespace string) error {
	configurations, err := client.Resource(Configurations).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	latest := map[string]string{}
	for _, c := range configurations.Items {
		if seen, _, _ := unstructured.NestedInt64(c.Object, "status", "observedGeneration"); seen == c.GetGeneration() {
			latest[c.GetName()], _, _ = unstructured.NestedString(c.Object, "status", "latestCreatedRevisionName")
		}
	}
	list, err := client.Resource(Revisions).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, r := range list.Items {
		if keep := latest[r.GetLabels()["serving.knative.dev/configuration"]]; keep != "" && keep != r.GetName() && r.GetDeletionTimestamp() == nil {
			_ = client.Resource(Revisions).Namespace(namespace).Delete(ctx, r.GetName(), metav1.DeleteOptions{})
		}
	}
	return nil
}
