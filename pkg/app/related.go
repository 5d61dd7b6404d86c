package app

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// relatedReader reads what the verdict on a Deployment depends on: what Knative made a moment ago must be told
// from what looks like it.
type relatedReader struct {
	cluster.Reader
	// served is whether the cluster serves Knative Services.
	served func() bool
}

func (n relatedReader) of(ctx context.Context, namespace string, wanted review.Lookups) (*review.Cluster, error) {
	c := &review.Cluster{Knative: n.served()}
	for _, read := range []struct {
		kind schema.GroupKind
		name string
		into *manifest.Object
	}{
		{review.ServiceKind, wanted.Service, &c.Service},
		{review.CoreServiceKind, wanted.CoreService, &c.CoreService},
		{review.RevisionKind, wanted.Revision, &c.Revision},
		{review.DeploymentKind, wanted.Deployment, &c.Deployment},
	} {
		if read.name == "" || (!c.Knative && read.kind.Group == review.ServiceKind.Group) {
			continue
		}
		var err error
		if *read.into, err = n.Get(ctx, read.kind, namespace, read.name); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// around lists the objects of a namespace that may point at a Deployment. Only core Services
// decide anything, so only they have to be read: of the other kinds, which a cluster may not
// have, those count that can be had.
func (n relatedReader) around(ctx context.Context, namespace string, kinds []schema.GroupKind) ([]manifest.Object, error) {
	lists := make([][]manifest.Object, len(kinds))
	var failed error
	var wg sync.WaitGroup
	for i, kind := range kinds {
		wg.Go(func() {
			var err error
			if lists[i], err = n.List(ctx, kind, namespace, labels.Everything()); kind == review.CoreServiceKind {
				failed = err
			}
		})
	}
	wg.Wait()
	return slices.Concat(lists...), failed
}
