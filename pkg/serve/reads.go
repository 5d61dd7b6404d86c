package serve

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// namespaces reads labels of namespaces.
type namespaces struct {
	// cached is asked first, live about a namespace that the cache does not have: it
	// may have been made a moment ago.
	cached, live client.Reader
}

func (n namespaces) labels(ctx context.Context, name string) (map[string]string, bool, error) {
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	key := types.NamespacedName{Name: name}
	err := n.cached.Get(ctx, key, found)
	if apierrors.IsNotFound(err) {
		err = n.live.Get(ctx, key, found)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nameOnly(ctx, name)
	case err != nil:
		return nil, false, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	return found.Labels, true, nil
}

var revisionResource = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "revisions"}

// revisionsAtOnce bounds the requests that one admission makes at the same time.
const revisionsAtOnce = 8

// revisions reads revisions from the API server, never from a cache: a cache that
// lags behind would show a bound as kept that is not.
type revisions struct{ client dynamic.Interface }

func (r revisions) named(ctx context.Context, namespace string, names []string) (map[string]map[string]any, error) {
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		failed error
		found  = make(map[string]map[string]any, len(names))
		places = make(chan struct{}, revisionsAtOnce)
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, name := range names {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			o, err := r.client.Resource(revisionResource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				found[name] = o.Object
			case apierrors.IsNotFound(err): // nothing runs under that name
			case failed == nil:
				failed = fmt.Errorf("reading revision %s/%s: %w", namespace, name, err)
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
