package dryrun

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// remembering reads everything once: the tries of one search ask for the same.
type remembering struct {
	cluster.Reader
	mu    sync.Mutex
	gets  map[[3]string]manifest.Object
	lists map[[3]string][]manifest.Object
}

// remembered is a Reader that reads everything once; nil stays nil.
func remembered(r cluster.Reader) cluster.Reader {
	if r == nil {
		return nil
	}
	return &remembering{Reader: r, gets: map[[3]string]manifest.Object{}, lists: map[[3]string][]manifest.Object{}}
}

// Get is one object; nil if there is none of the name.
func (r *remembering) Get(ctx context.Context, kind schema.GroupKind, namespace, name string) (manifest.Object, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [3]string{kind.String(), namespace, name}
	if o, read := r.gets[key]; read {
		return o, nil
	}
	o, err := r.Reader.Get(ctx, kind, namespace, name)
	if err == nil {
		r.gets[key] = o
	}
	return o, err
}

// List are the objects of a kind whose labels a selector takes.
func (r *remembering) List(ctx context.Context, kind schema.GroupKind, namespace string, selector labels.Selector) ([]manifest.Object, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [3]string{kind.String(), namespace, selector.String()}
	if o, read := r.lists[key]; read {
		return o, nil
	}
	o, err := r.Reader.List(ctx, kind, namespace, selector)
	if err == nil {
		r.lists[key] = o
	}
	return o, err
}
