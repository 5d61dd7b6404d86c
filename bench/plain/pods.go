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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/bench/comparison/install"
)

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// manifest is a pod of a web application: without devices, and without labels of the webhook.
const manifest = `{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"app.kubernetes.io/name":"shop","team":"web"}},"spec":{
"initContainers":[{"name":"migrate","image":"registry.example.com/web/shop:2.31.0","args":["migrate"]}],
"containers":[{"name":"shop","image":"registry.example.com/web/shop:2.31.0","args":["--port","8080"],
"env":[{"name":"DATABASE","value":"shop"},{"name":"LOG_LEVEL","value":"info"},{"name":"REGION","value":"eu-central"}],
"ports":[{"containerPort":8080}],"readinessProbe":{"httpGet":{"path":"/healthz","port":8080}},
"resources":{"requests":{"cpu":"100m","memory":"256Mi"},"limits":{"memory":"512Mi"}}},
{"name":"proxy","image":"registry.example.com/web/proxy:1.9.1","ports":[{"containerPort":15001}],
"resources":{"requests":{"cpu":"50m","memory":"64Mi"},"limits":{"memory":"128Mi"}}}],
"volumes":[{"name":"cache","emptyDir":{}}],"nodeSelector":{"kubernetes.io/os":"linux"}}}`

// plain is the pod with a number.
func plain(namespace string, i int) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON([]byte(manifest)); err != nil {
		return nil, err
	}
	o.SetNamespace(namespace)
	o.SetName(fmt.Sprintf("shop-%d", i))
	return o, nil
}

// each has the clients share the numbers from first to last.
func each(ctx context.Context, clients []dynamic.Interface, first, last int, do func(client dynamic.Interface, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		next    atomic.Int64
		running sync.WaitGroup
	)
	next.Store(int64(first))
	for _, client := range clients {
		running.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= last {
					return
				}
				if err := do(client, i); err != nil {
					cancel(fmt.Errorf("object %d: %w", i, err))
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// create creates plain pods with the numbers from first to last and gives the time that each
// request took.
func create(ctx context.Context, clients []dynamic.Interface, namespace string, first, last int) ([]time.Duration, error) {
	took := make([]time.Duration, max(0, last-first))
	return took, each(ctx, clients, first, last, func(client dynamic.Interface, i int) error {
		o, err := plain(namespace, i)
		if err != nil {
			return err
		}
		begun := time.Now()
		_, err = client.Resource(pods).Namespace(namespace).Create(ctx, o, metav1.CreateOptions{})
		took[i-first] = time.Since(begun)
		return err
	})
}

// start reports of pods that they run, as a kubelet does.
func start(ctx context.Context, clients []dynamic.Interface, namespace string, count int) error {
	running := []byte(`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`)
	return each(ctx, clients, 0, count, func(client dynamic.Interface, i int) error {
		_, err := client.Resource(pods).Namespace(namespace).
			Patch(ctx, fmt.Sprintf("shop-%d", i), types.MergePatchType, running, metav1.PatchOptions{}, "status")
		return err
	})
}

// clear deletes the pods of a namespace, and waits until they are gone.
func clear(ctx context.Context, client dynamic.Interface, namespace string) error {
	all := client.Resource(pods).Namespace(namespace)
	now := int64(0)
	return install.Await(ctx, "pods to be deleted", func(ctx context.Context) error {
		if err := all.DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{}); err != nil {
			return err
		}
		left, err := all.List(ctx, metav1.ListOptions{Limit: 1})
		if err == nil && len(left.Items) > 0 {
			err = fmt.Errorf("there are pods left")
		}
		return err
	})
}
