package app

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

var (
	deploymentResource    = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	serviceResource       = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}
	configurationResource = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "configurations"}
	revisionResource      = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "revisions"}
	routeResource         = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "routes"}
	autoscalerResource    = schema.GroupVersionResource{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Resource: "podautoscalers"}
	coreResource          = schema.GroupVersionResource{Version: "v1", Resource: "services"}
)

var resources = map[schema.GroupKind]schema.GroupVersionResource{
	review.ServiceKind:       serviceResource,
	review.ConfigurationKind: configurationResource,
	review.RevisionKind:      revisionResource,
	review.RouteKind:         routeResource,
	review.AutoscalerKind:    autoscalerResource,
	review.DeploymentKind:    deploymentResource,

	workload.HorizontalPodAutoscalerKind: {Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
	workload.ResourceClaimTemplateKind:   cluster.ResourceClaimTemplates,
}

const (
	// readsAtOnce bounds the requests that one admission makes at the same time, and
	// readsByName how many objects it reads one at a time: of more, all are listed.
	readsAtOnce, readsByName = 8, 32
	// pageSize is how many objects one answer to a list holds.
	pageSize = 250
)

// reads asks the API server, never a cache: a cache that lags behind would show a bound as
// kept that is not.
type reads struct{ client dynamic.Interface }

// named are the objects that have one of the names, by name.
func (r reads) named(ctx context.Context, resource schema.GroupVersionResource, namespace string, names []string) (map[string]map[string]any, error) {
	if len(names) > readsByName {
		return r.among(ctx, resource, namespace, names)
	}
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		failed error
		found  = make(map[string]map[string]any, len(names))
		places = make(chan struct{}, readsAtOnce)
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, name := range names {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			o, err := r.one(ctx, resource, namespace, name)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case o != nil:
				found[name] = o
			case err != nil && failed == nil:
				failed = err
				cancel() // the others cannot change the outcome
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return nil, failed
	}
	return found, nil
}

// one reads one object; nil where there is none.
func (r reads) one(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) (map[string]any, error) {
	o, err := r.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading %s %s/%s: %w", resource.GroupResource(), namespace, name, err)
	}
	return o.Object, nil
}

// among are the objects that have one of the names, out of all that there are.
func (r reads) among(ctx context.Context, resource schema.GroupVersionResource, namespace string, names []string) (map[string]map[string]any, error) {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	found := make(map[string]map[string]any, len(names))
	err := r.each(ctx, resource, namespace, func(name string, o map[string]any) {
		if wanted[name] {
			found[name] = o
		}
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// each calls f with every object of a namespace. It ends with ctx, which an admission
// gives as long as the API server waits.
func (r reads) each(ctx context.Context, resource schema.GroupVersionResource, namespace string, f func(name string, o map[string]any)) error {
	o := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := r.client.Resource(resource).Namespace(namespace).List(ctx, o)
		if apierrors.IsNotFound(err) {
			return nil // the cluster has no such kind
		}
		if err != nil {
			return fmt.Errorf("listing %s of namespace %s: %w", resource.GroupResource(), namespace, err)
		}
		for i := range page.Items {
			f(page.Items[i].GetName(), page.Items[i].Object)
		}
		if o.Continue = page.GetContinue(); o.Continue == "" {
			return nil
		}
	}
}

// live is a review.Live for one admission. What fails is remembered in failed, and there
// is no verdict then.
type live struct {
	reads
	ctx       context.Context
	namespace string
	failed    *error
}

func (l live) Named(kind schema.GroupKind, names ...string) map[string]map[string]any {
	found, err := l.named(l.ctx, resources[kind], l.namespace, names)
	*l.failed = errors.Join(*l.failed, err)
	return found
}

func (l live) All(kind schema.GroupKind) []map[string]any {
	var all []map[string]any
	err := l.each(l.ctx, resources[kind], l.namespace, func(_ string, o map[string]any) { all = append(all, o) })
	*l.failed = errors.Join(*l.failed, err)
	return all
}
