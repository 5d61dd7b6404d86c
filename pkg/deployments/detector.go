package deployments

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// KnativeCRD is the definition whose presence tells that Knative is installed.
const KnativeCRD = "services.serving.knative.dev"

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// Detector knows whether the cluster serves Knative Services. Every replica runs it.
type Detector struct {
	informer cache.SharedIndexInformer
	served   atomic.Bool

	mu      sync.Mutex
	changed []func()
}

// NewDetector watches the one definition that tells. Nothing happens before Start.
func NewDetector(client dynamic.Interface) (*Detector, error) {
	p := &Detector{}
	p.informer = dynamicinformer.NewFilteredDynamicInformer(client, definitions, "", 0, cache.Indexers{}, func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, KnativeCRD).String()
	}).Informer()
	if err := p.informer.SetTransform(conditionsOnly); err != nil {
		return nil, err
	}
	look := func(any) { p.look() }
	_, err := p.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: look, UpdateFunc: func(_, now any) { look(now) }, DeleteFunc: look,
	})
	return p, err
}

// conditionsOnly drops the schemas, which are most of a definition.
func conditionsOnly(o any) (any, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return o, nil // a tombstone
	}
	lean := &unstructured.Unstructured{Object: manifest.Object{"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(),
		"status": manifest.Object{"conditions": manifest.At(u.Object, "status", "conditions")}}}
	lean.SetName(u.GetName())
	lean.SetUID(u.GetUID())
	lean.SetResourceVersion(u.GetResourceVersion())
	lean.SetDeletionTimestamp(u.GetDeletionTimestamp())
	return lean, nil
}

// look compares what the watch has now with what was known.
func (p *Detector) look() {
	served := false
	for _, o := range p.informer.GetStore().List() {
		if u, ok := o.(*unstructured.Unstructured); ok && u.GetDeletionTimestamp() == nil && established(u.Object) {
			served = true
		}
	}
	if p.served.Swap(served) == served {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.changed {
		f()
	}
}

func established(definition manifest.Object) bool {
	for _, c := range manifest.Objects(definition, "status", "conditions") {
		if manifest.Text(c, "type") == "Established" {
			return manifest.Text(c, "status") == "True"
		}
	}
	return false
}

// Served tells whether Knative Services can be made.
func (p *Detector) Served() bool { return p.served.Load() }

// OnChange has a function called after every change. The function must not block.
func (p *Detector) OnChange(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed = append(p.changed, f)
}

// Synced is nil once it is known whether Knative is installed.
func (p *Detector) Synced() error {
	if !p.informer.HasSynced() {
		return errors.New("waiting for CustomResourceDefinition " + KnativeCRD)
	}
	return nil
}

// NeedLeaderElection tells a manager that every replica watches.
func (*Detector) NeedLeaderElection() bool { return false }

// Start watches until the context ends.
func (p *Detector) Start(ctx context.Context) error {
	p.informer.RunWithContext(ctx)
	return nil
}
