package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/pkg/workload"
)

// DeviceClassResource are the classes of devices that dynamic resource allocation gives out.
var DeviceClassResource = workload.MustResource(workload.DeviceClassKind)

// DeviceClasses lists the cluster's DeviceClasses; none where they are not served.
func DeviceClasses(ctx context.Context, client dynamic.Interface) ([]workload.DeviceClass, error) {
	list, err := client.Resource(DeviceClassResource).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing DeviceClasses: %w", err)
	}
	classes := make([]workload.DeviceClass, len(list.Items))
	for i := range list.Items {
		classes[i] = workload.ReadDeviceClass(list.Items[i].Object)
	}
	return classes, nil
}
