package app

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/workload"
)

// unservedFor is how long to wait before asking again for an API that is not served.
const unservedFor = 2 * time.Minute

// classWatch follows the cluster's DeviceClasses. A cluster that does not serve them has none.
type classWatch struct {
	informer toolscache.SharedInformer
}

// newClassWatch calls changed after every change. Nothing happens before Start.
func newClassWatch(client dynamic.Interface, changed func()) (*classWatch, error) {
	api := client.Resource(cluster.DeviceClassResource)
	informer := toolscache.NewSharedInformer(&toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := api.List(ctx, options)
			if apierrors.IsNotFound(err) {
				return &unstructured.UnstructuredList{Object: map[string]any{"metadata": map[string]any{"resourceVersion": "0"}}}, nil
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			w, err := api.Watch(ctx, options)
			if apierrors.IsNotFound(err) && options.SendInitialEvents == nil {
				return later(ctx), nil
			}
			return w, err
		},
	}, &unstructured.Unstructured{}, 0)
	if err := informer.SetTransform(classEssence); err != nil {
		return nil, fmt.Errorf("watching DeviceClasses: %w", err)
	}
	if _, err := informer.AddEventHandler(toEvents(changed)); err != nil {
		return nil, fmt.Errorf("watching DeviceClasses: %w", err)
	}
	return &classWatch{informer}, nil
}

// later is a watch without events that ends, with the advice to list again, once it is time to
// ask again.
func later(ctx context.Context) watch.Interface {
	w := watch.NewFakeWithOptions(watch.FakeOptions{ChannelSize: 1})
	go func() {
		select {
		case <-ctx.Done():
		case <-time.After(unservedFor):
			w.Error(&metav1.Status{Status: metav1.StatusFailure, Code: 410, Reason: metav1.StatusReasonExpired})
		}
		w.Stop()
	}()
	return w
}

// classEssence keeps what is used of a DeviceClass.
func classEssence(o any) (any, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return o, nil // a tombstone
	}
	lean := &unstructured.Unstructured{Object: map[string]any{"apiVersion": u.GetAPIVersion(), "kind": u.GetKind()}}
	lean.SetName(u.GetName())
	lean.SetUID(u.GetUID())
	lean.SetResourceVersion(u.GetResourceVersion())
	lean.SetCreationTimestamp(u.GetCreationTimestamp())
	spec := map[string]any{}
	for _, key := range []string{"extendedResourceName", "selectors"} {
		if value, found, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", key); found {
			spec[key] = value
		}
	}
	if len(spec) > 0 {
		lean.Object["spec"] = spec
	}
	return lean, nil
}

// Start watches until the context ends.
func (w *classWatch) Start(ctx context.Context) error {
	w.informer.RunWithContext(ctx)
	return nil
}

// NeedLeaderElection tells the manager that every replica watches.
func (*classWatch) NeedLeaderElection() bool { return false }

// synced is nil once the classes were listed.
func (w *classWatch) synced() error {
	if !w.informer.HasSynced() {
		return fmt.Errorf("waiting for DeviceClasses")
	}
	return nil
}

// read are the classes that there are.
func (w *classWatch) read() []workload.DeviceClass {
	var classes []workload.DeviceClass
	for _, o := range w.informer.GetStore().List() {
		if u, ok := o.(*unstructured.Unstructured); ok {
			classes = append(classes, workload.ReadDeviceClass(u.Object))
		}
	}
	return classes
}
