package cluster

import (
	"context"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// NamespacedSource is where lists of one namespace are read.
type NamespacedSource interface {
	// ReadIn is Source.Read for one namespace.
	ReadIn(ctx context.Context, kind Resource, namespace string, options metav1.ListOptions) (io.ReadCloser, error)
}

// mostPruned is how many bytes a verdict keeps of the objects of one kind in one namespace.
const mostPruned = 32 << 20

// Pruned are the objects of a kind in one namespace whose labels a selector takes, with what counts look at;
// of Pods those that ask for devices. One object at a time is read in full, so that what else objects hold,
// such as large annotations, takes no memory, however many there are. It is an error if what counts look at,
// labels among it, is more than a verdict may keep.
func Pruned(ctx context.Context, source NamespacedSource, kind Resource, namespace string, selector klabels.Selector) ([]manifest.Object, error) {
	return pruned(ctx, narrowed{source, namespace, selector.String()}, kind, nil, mostPruned)
}

// pruned reads as Pruned does, so many bytes at most; of keeps a kind that no count reads.
func pruned(ctx context.Context, source narrowed, kind Resource, of *kept, most int) ([]manifest.Object, error) {
	r := &reading{source: source, operatedKinds: map[Resource]*kept{kind: of}, most: most}
	items, err := r.items(ctx, kind, kind != Pods, func(*Item) bool { return true })
	if err != nil {
		return nil, err
	}
	objects := make([]manifest.Object, len(items))
	for i := range items {
		objects[i] = items[i].Object()
	}
	return objects, nil
}

// narrowed is a source of some objects of one namespace.
type narrowed struct {
	source              NamespacedSource
	namespace, selector string
}

func (n narrowed) Read(ctx context.Context, kind Resource, options metav1.ListOptions) (io.ReadCloser, error) {
	options.LabelSelector = n.selector
	return n.source.ReadIn(ctx, kind, n.namespace, options)
}
