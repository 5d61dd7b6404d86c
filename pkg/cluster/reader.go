package cluster

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Reader reads objects as they are stored now, never from a cache: one that lags behind would show a bound
// as kept that is not.
type Reader interface {
	// Get is one object; nil if there is none of the name.
	Get(ctx context.Context, kind schema.GroupKind, namespace, name string) (manifest.Object, error)
	// List are the objects of a kind whose labels a selector takes; none if the cluster has no such kind.
	List(ctx context.Context, kind schema.GroupKind, namespace string, selector labels.Selector) ([]manifest.Object, error)
}

const (
	// readsAtOnce bounds the requests that one Named makes at the same time, and
	// readsByName how many objects it reads one at a time: of more, all are listed.
	readsAtOnce, readsByName = 8, 32
)

// Named are the objects of a kind that have one of the names, by name.
func Named(ctx context.Context, r Reader, kind schema.GroupKind, namespace string, names []string) (map[string]manifest.Object, error) {
	objects := make([]manifest.Object, len(names))
	if len(names) > readsByName {
		all, err := r.List(ctx, kind, namespace, labels.Everything())
		if err != nil {
			return nil, err
		}
		objects = all
	} else {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(readsAtOnce)
		for i, name := range names {
			group.Go(func() (err error) {
				objects[i], err = r.Get(ctx, kind, namespace, name)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
	}
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	found := make(map[string]manifest.Object, len(names))
	for _, o := range objects {
		if name := manifest.Text(o, "metadata", "name"); wanted[name] {
			found[name] = o
		}
	}
	return found, nil
}

// NewReader is the Reader of an API server. mapper knows in which version it serves operators' kinds; it may
// be nil. lists reads lists, of which is kept what verdicts look at.
func NewReader(client dynamic.Interface, mapper meta.RESTMapper, lists NamespacedSource) Reader {
	return reader{client, mapper, lists}
}

type reader struct {
	client dynamic.Interface
	mapper meta.RESTMapper
	lists  NamespacedSource
}

// resource is how the API server serves a kind; false for one of an operator's that it does not serve.
func (r reader) resource(kind schema.GroupKind) (schema.GroupVersionResource, bool, error) {
	resource, err := ResourceOf(kind)
	if err == nil || r.mapper == nil {
		return resource, true, err
	}
	mapping, err := r.mapper.RESTMapping(kind)
	switch {
	case meta.IsNoMatchError(err):
		return resource, false, nil
	case err != nil:
		return resource, false, fmt.Errorf("finding how %s is served: %w", kind, err)
	}
	return mapping.Resource, true, nil
}

func (r reader) Get(ctx context.Context, kind schema.GroupKind, namespace, name string) (manifest.Object, error) {
	resource, served, err := r.resource(kind)
	if err != nil || !served {
		return nil, err
	}
	o, err := r.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading %s %s/%s: %w", resource.GroupResource(), namespace, name, err)
	}
	return stating(o.Object, kind, resource), nil
}

func (r reader) List(ctx context.Context, kind schema.GroupKind, namespace string, selector labels.Selector) ([]manifest.Object, error) {
	resource, served, err := r.resource(kind)
	if err != nil || !served {
		return nil, err
	}
	if !selector.Empty() && selector.String() == "" {
		return nil, nil // one that takes nothing reads like one that takes everything
	}
	of, most := keptOf(kind, resource)
	all, err := pruned(ctx, narrowed{r.lists, namespace, selector.String()}, resource, of, most)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil // the cluster has no such kind
	case err != nil:
		return nil, fmt.Errorf("reading namespace %s: %w", namespace, err)
	}
	for _, o := range all {
		stating(o, kind, resource)
	}
	return all, nil
}

// stating states the kind in an object, which lists may leave out.
func stating(o manifest.Object, kind schema.GroupKind, resource schema.GroupVersionResource) manifest.Object {
	if manifest.Text(o, "kind") == "" {
		o["apiVersion"], o["kind"] = resource.GroupVersion().String(), kind.Kind
	}
	return o
}

// ResourceOf is how the API server serves a kind that verdicts depend on.
func ResourceOf(kind schema.GroupKind) (schema.GroupVersionResource, error) {
	if resource, ok := workload.ResourceOf(kind); ok {
		return resource, nil
	}
	return schema.GroupVersionResource{}, fmt.Errorf("objects of kind %s are not read", kind)
}
