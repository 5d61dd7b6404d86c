package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/bench/comparison/install"
)

// kind is a kind of object that is created, with one GPU each.
type kind struct {
	name     string
	resource schema.GroupVersionResource
	manifest string
}

const podSpec = `{"containers":[{"name":"main","image":"registry.example.com/ml/train:1.4.2","args":["-m","train"],` +
	`"env":[{"name":"MODEL","value":"llama-3-8b"}],"resources":{"requests":{"cpu":"4","memory":"16Gi"},` +
	`"limits":{"memory":"16Gi","nvidia.com/gpu":"1"}}}],"restartPolicy":"Never"}`

var kinds = []kind{
	{"Service", schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"},
		`{"apiVersion":"serving.knative.dev/v1","kind":"Service","metadata":{"labels":{"kubetorch.com/autoscale":"true"}},` +
			`"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"1"}},"spec":{"containers":[` +
			`{"image":"registry.example.com/ml/inference:1.4.2","env":[{"name":"MODEL","value":"llama-3-8b"}],` +
			`"resources":{"requests":{"cpu":"4","memory":"16Gi"},"limits":{"memory":"16Gi","nvidia.com/gpu":"1"}}}]}}}}`},
	{"Job", schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"},
		`{"apiVersion":"batch/v1","kind":"Job","spec":{"template":{"spec":` + podSpec + `}}}`},
	{"Pod", schema.GroupVersionResource{Version: "v1", Resource: "pods"},
		`{"apiVersion":"v1","kind":"Pod","spec":` + podSpec + `}`},
}

// object is the object of a kind with a name.
func (k kind) object(namespace, name string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON([]byte(k.manifest)); err != nil {
		return nil, err
	}
	o.SetNamespace(namespace)
	o.SetName(name)
	return o, nil
}

// create creates objects with the numbers from first to last, shared by the clients, and gives
// the time that each request took.
func (k kind) create(ctx context.Context, clients []dynamic.Interface, namespace string, first, last int) ([]time.Duration, error) {
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
				o, err := k.object(namespace, fmt.Sprintf("o-%d", i))
				if err == nil {
					begun := time.Now()
					_, err = client.Resource(k.resource).Namespace(namespace).Create(ctx, o, metav1.CreateOptions{})
					took[i-first] = time.Since(begun)
				}
				if err != nil {
					cancel(fmt.Errorf("creating %s %d in %s: %w", k.name, i, namespace, err))
				}
			}
		})
	}
	running.Wait()
	return took, context.Cause(ctx)
}

// clear deletes the objects of a namespace, and waits until they are gone.
func (k kind) clear(ctx context.Context, client dynamic.Interface, namespace string) error {
	all := client.Resource(k.resource).Namespace(namespace)
	now, background := int64(0), metav1.DeletePropagationBackground
	return install.Await(ctx, "objects to be deleted", func(ctx context.Context) error {
		o := metav1.DeleteOptions{GracePeriodSeconds: &now, PropagationPolicy: &background}
		if err := all.DeleteCollection(ctx, o, metav1.ListOptions{}); err != nil {
			return err
		}
		left, err := all.List(ctx, metav1.ListOptions{Limit: 1})
		if err == nil && len(left.Items) > 0 {
			err = fmt.Errorf("there are objects left")
		}
		return err
	})
}
