package app

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/review"
)

// neighbours reads what the verdict on a Deployment depends on from the API server, never
// from a cache: what Knative made a moment ago must be told from what looks like it.
type neighbours struct {
	reads
	// served is whether the cluster serves Knative Services.
	served func() bool
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
		if *read.into, err = n.one(ctx, read.resource, namespace, read.name); err != nil {
			return nil, err
		}
	}
	return c, nil
}
