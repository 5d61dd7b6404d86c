package harness

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// Nudge has what Knative's controllers and the garbage collector have still to do in a namespace done at
// once. After each failure they wait twice as long before they try again, up to a quarter of an hour, and
// many requests fail where other webhooks reject them, or nobody answers. Each change of a Service has it
// looked at, and what of Knative's has lost its owner is deleted here.
func Nudge(ctx context.Context, client dynamic.Interface, namespace string) error {
	there := map[types.UID]bool{}
	for _, resource := range []schema.GroupVersionResource{Services, Configurations, Revisions, Deployments} {
		api := client.Resource(resource).Namespace(namespace)
		list, err := api.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, o := range list.Items {
			there[o.GetUID()] = true
			switch owner := metav1.GetControllerOf(&o); {
			case o.GetDeletionTimestamp() != nil:
			case resource == Services:
				nudged := fmt.Appendf(nil, `{"metadata":{"annotations":{"e2e.kubetorch.com/nudged":%q}}}`, o.GetResourceVersion())
				_, err = api.Patch(ctx, o.GetName(), types.MergePatchType, nudged, metav1.PatchOptions{})
			case owner != nil && owner.APIVersion == "serving.knative.dev/v1" && !there[owner.UID]:
				err = api.Delete(ctx, o.GetName(), metav1.DeleteOptions{})
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
