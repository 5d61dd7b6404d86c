package app

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// resourceOf is how the API server serves a kind that verdicts depend on.
func resourceOf(kind schema.GroupKind) (schema.GroupVersionResource, error) {
	if resource, ok := resources[kind]; ok {
		return resource, nil
	}
	if k, ok := workload.KindFor(kind); ok {
		return k.GVR(), nil
	}
	return schema.GroupVersionResource{}, fmt.Errorf("objects of kind %s are not read", kind)
}

// liveReader is a review.Reader that asks the API server.
type liveReader struct {
	reads
	// mapper knows in which version operators' kinds are served.
	mapper meta.RESTMapper
	// lists reads those of what controllers make, of which there may be many.
	lists cluster.NamespacedSource
}

// resourceOf is how the API server serves a kind; false for one of an operator's that it does not serve.
func (r liveReader) resourceOf(kind schema.GroupKind) (schema.GroupVersionResource, bool, error) {
	resource, err := resourceOf(kind)
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

// pruned are the kinds of which verdicts need no more than counts do.
var pruned = []schema.GroupKind{workload.PodKind, workload.ReplicaSetKind, workload.DeploymentKind, workload.HorizontalPodAutoscalerKind}

func (r liveReader) Get(ctx context.Context, kind schema.GroupKind, namespace, name string) (manifest.Object, error) {
	resource, served, err := r.resourceOf(kind)
	if err != nil || !served {
		return nil, err
	}
	o, err := r.one(ctx, resource, namespace, name)
	if o != nil {
		named(o, kind, resource)
	}
	return o, err
}

func (r liveReader) List(ctx context.Context, kind schema.GroupKind, namespace string, selector labels.Selector) ([]manifest.Object, error) {
	resource, served, err := r.resourceOf(kind)
	if err != nil || !served {
		return nil, err
	}
	if !selector.Empty() && selector.String() == "" {
		return nil, nil // one that takes nothing reads like one that takes everything
	}
	if slices.Contains(pruned, kind) && r.lists != nil {
		all, err := cluster.Pruned(ctx, r.lists, resource, namespace, selector)
		if err != nil {
			return nil, fmt.Errorf("reading namespace %s: %w", namespace, err)
		}
		for _, o := range all {
			named(o, kind, resource)
		}
		return all, nil
	}
	options := metav1.ListOptions{Limit: pageSize, LabelSelector: selector.String()}
	var all []manifest.Object
	for {
		page, err := r.client.Resource(resource).Namespace(namespace).List(ctx, options)
		if apierrors.IsNotFound(err) {
			return nil, nil // the cluster has no such kind
		}
		if err != nil {
			return nil, fmt.Errorf("listing %s of namespace %s: %w", resource.GroupResource(), namespace, err)
		}
		for i := range page.Items {
			named(page.Items[i].Object, kind, resource)
			all = append(all, page.Items[i].Object)
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return all, nil
		}
	}
}

// named states the kind in an object, which lists may leave out.
func named(o manifest.Object, kind schema.GroupKind, resource schema.GroupVersionResource) {
	if manifest.Text(o, "kind") == "" {
		o["apiVersion"], o["kind"] = resource.GroupVersion().String(), kind.Kind
	}
}
