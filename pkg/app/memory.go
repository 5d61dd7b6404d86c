package app

import (
	"cmp"
	"context"
	"sync"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// memory is a cluster.Reader of what was admitted, for where there is no cluster.
type memory struct {
	mu      sync.Mutex
	objects map[schema.GroupKind]map[objectPlace]manifest.Object
}

func newMemory() *memory {
	return &memory{objects: map[schema.GroupKind]map[objectPlace]manifest.Object{}}
}

// objectPlace is where an object of a kind is.
type objectPlace struct{ namespace, name string }

func (m *memory) Get(_ context.Context, kind schema.GroupKind, namespace, name string) (manifest.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.objects[kind][objectPlace{namespace, name}], nil
}

func (m *memory) List(_ context.Context, kind schema.GroupKind, namespace string, selector labels.Selector) ([]manifest.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []manifest.Object
	for at, o := range m.objects[kind] {
		if at.namespace == namespace && selector.Matches(labels.Set(manifest.Texts(o, "metadata", "labels"))) {
			found = append(found, o)
		}
	}
	return found, nil
}

// keep remembers what a request stores.
func (m *memory) keep(r *review.Request) {
	kind, o := r.Kind(), r.Object()
	_, ok := workload.KindFor(kind)
	if !ok && kind != workload.HorizontalPodAutoscalerKind && kind != workload.ResourceClaimTemplateKind && !r.IsOperated() {
		return
	}
	at := objectPlace{r.Namespace(), manifest.Text(o, "metadata", "name")}
	if at.name == "" {
		return // it gets its name later, and nobody asks for it by another
	}
	if metadata := manifest.Map(o, "metadata"); manifest.Text(metadata, "namespace") == "" {
		metadata["namespace"] = at.namespace
	}
	if manifest.Text(o, "kind") == "" {
		resource, _ := cluster.ResourceOf(kind)
		o["apiVersion"], o["kind"] = resource.GroupVersion().String(), kind.Kind
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.objects[kind] == nil {
		m.objects[kind] = map[objectPlace]manifest.Object{}
	}
	m.objects[kind][at] = o
}

// put remembers objects of a kind from files; without a namespace they are in the default one.
func (m *memory) put(kind schema.GroupKind, objects []manifest.Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range objects {
		at := objectPlace{cmp.Or(manifest.Text(o, "metadata", "namespace"), corev1.NamespaceDefault), manifest.Text(o, "metadata", "name")}
		if m.objects[kind] == nil {
			m.objects[kind] = map[objectPlace]manifest.Object{}
		}
		m.objects[kind][at] = stated(o, at.namespace)
	}
}

// forget is for an object that is deleted.
func (m *memory) forget(request *admissionv1.AdmissionRequest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects[schema.GroupKind{Group: request.Kind.Group, Kind: request.Kind.Kind}], objectPlace{request.Namespace, request.Name})
}
