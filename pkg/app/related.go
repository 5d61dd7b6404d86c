package app

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/cache"

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
	// pointing has the lists of what only warnings depend on.
	pointing *recentLists
}

func newRelatedReader(reader cluster.Reader, served func() bool) *relatedReader {
	return &relatedReader{reader, served, &recentLists{reader: reader, kept: cache.NewLRUExpireCache(mostLists)}}
}

const (
	// recently is how long a list is used again: requests at the same time share it.
	recently = time.Second
	// mostLists is how many are kept.
	mostLists = 256
)

// recentLists are lists of namespaces that are no older than recently.
type recentLists struct {
	reader cluster.Reader
	kept   *cache.LRUExpireCache
	asking singleflight.Group
}

// list is what there was of a kind a moment ago; nil where it cannot be had.
func (l *recentLists) list(ctx context.Context, kind schema.GroupKind, namespace string) []manifest.Object {
	key := kind.String() + "/" + namespace
	if kept, ok := l.kept.Get(key); ok {
		return kept.([]manifest.Object)
	}
	listed, err, _ := l.asking.Do(key, func() (any, error) {
		objects, err := l.reader.List(ctx, kind, namespace, labels.Everything())
		if err == nil {
			l.kept.Add(key, objects, recently)
		}
		return objects, err
	})
	if err != nil {
		return nil
	}
	return listed.([]manifest.Object)
}

func (n *relatedReader) of(ctx context.Context, namespace string, wanted review.Lookups) (*review.Cluster, error) {
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
// decide anything, so only they have to be read, as they are now: of the other kinds, which a cluster may not
// have, those count that can be had, as they were a moment ago.
func (n *relatedReader) around(ctx context.Context, namespace string, kinds []schema.GroupKind) ([]manifest.Object, error) {
	lists := make([][]manifest.Object, len(kinds))
	var failed error
	var wg sync.WaitGroup
	for i, kind := range kinds {
		wg.Go(func() {
			if kind != review.CoreServiceKind {
				lists[i] = n.pointing.list(ctx, kind, namespace)
				return
			}
			lists[i], failed = n.List(ctx, kind, namespace, labels.Everything())
		})
	}
	wg.Wait()
	return slices.Concat(lists...), failed
}
