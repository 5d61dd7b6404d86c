package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/bench/comparison/install"
	"github.com/kubetorch/webhook/bench/reviews"
)

var (
	services   = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// Service is the Service of a case, as a client creates it.
func Service(c reviews.Case, namespace, name string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(c.Object); err != nil {
		return nil, err
	}
	annotations := o.GetAnnotations()
	delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
	labels := o.GetLabels()
	o.Object["metadata"] = map[string]any{}
	o.SetNamespace(namespace)
	o.SetName(name)
	o.SetLabels(labels)
	o.SetAnnotations(annotations)
	delete(o.Object, "status")
	return o, nil
}

// Create creates the Services of a case with the numbers from first to last, shared by the
// clients, and gives the time that each request took.
func Create(ctx context.Context, clients []dynamic.Interface, c reviews.Case, namespace string, first, last int) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		next    atomic.Int64
		running sync.WaitGroup
	)
	next.Store(int64(first))
	took := make([]time.Duration, max(0, last-first))
	for _, client := range clients {
		running.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= last {
					return
				}
				o, err := Service(c, namespace, fmt.Sprintf("service-%d", i))
				if err == nil {
					begun := time.Now()
					_, err = client.Resource(services).Namespace(namespace).Create(ctx, o, metav1.CreateOptions{})
					took[i-first] = time.Since(begun)
				}
				if err != nil {
					cancel(fmt.Errorf("creating Service %d: %w", i, err))
				}
			}
		})
	}
	running.Wait()
	return took, context.Cause(ctx)
}

// Clear deletes all Services of a namespace, and waits until they are gone.
func Clear(ctx context.Context, client dynamic.Interface, namespace string) error {
	all := client.Resource(services).Namespace(namespace)
	return install.Await(ctx, "Services to be deleted", func(ctx context.Context) error {
		if err := all.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			return err
		}
		left, err := all.List(ctx, metav1.ListOptions{Limit: 1})
		if err == nil && len(left.Items) > 0 {
			err = fmt.Errorf("there are Services left")
		}
		return err
	})
}

// Namespace creates a namespace that may be there already.
func Namespace(ctx context.Context, client dynamic.Interface, name string) error {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}}
	_, err := client.Resource(namespaces).Create(ctx, o, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
