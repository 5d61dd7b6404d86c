package serve

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/pkg/review"
)

var (
	deploymentResource = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	serviceResource    = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}
	coreResource       = schema.GroupVersionResource{Version: "v1", Resource: "services"}
)

// neighbours reads what the verdict on a Deployment depends on from the API server, never
// from a cache: what Knative made a moment ago must be told from what looks like it.
type neighbours struct {
	client dynamic.Interface
	// served is whether the cluster serves Knative Services.
	served func() bool
}

func (n neighbours) deployment(ctx context.Context, namespace, name string) (map[string]any, error) {
	return n.get(ctx, deploymentResource, namespace, name)
}

func (n neighbours) of(ctx context.Context, namespace string, wanted review.Lookups) (*review.Cluster, error) {
	c := &review.Cluster{Knative: n.served()}
	for _, read := range []struct {
		resource schema.GroupVersionResource
		name     string
		into     *map[string]any
	}{
		{serviceResource, wanted.Service, &c.Service},
		{coreResource, wanted.CoreService, &c.CoreService},
		{revisionResource, wanted.Revision, &c.Revision},
		{deploymentResource, wanted.Deployment, &c.Deployment},
	} {
		if read.name == "" || (!c.Knative && read.resource.Group == serviceResource.Group) {
			continue
		}
		var err error
		if *read.into, err = n.get(ctx, read.resource, namespace, read.name); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// get reads one object; nil where there is none.
func (n neighbours) get(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) (map[string]any, error) {
	o, err := n.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading %s %s/%s: %w", resource.GroupResource(), namespace, name, err)
	}
	return o.Object, nil
}
