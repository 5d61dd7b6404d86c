package app

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// namespaces reads labels of namespaces.
type namespaces struct {
	// cached is asked first, live about a namespace that the cache does not have: it
	// may have been made a moment ago.
	cached, live client.Reader
}

func (n namespaces) labels(ctx context.Context, name string) (map[string]string, bool, error) {
	if name == "" {
		return nil, true, nil // an object of the cluster, such as a policy, is in no namespace
	}
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
