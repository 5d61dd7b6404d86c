package deployments

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// ReconcilerOptions are what a controller works with.
type ReconcilerOptions struct {
	Client   dynamic.Interface
	Metadata metadata.Interface
	Detector *Detector
	// Expand says what a Deployment is to become.
	Expand Expander
	Events record.EventRecorder
	// Excluded are the namespaces that admission leaves alone.
	Excluded []string
	Log      logr.Logger
}

// Reconciler makes Knative Services of all labelled Deployments.
type Reconciler struct {
	ReconcilerOptions

	mu      sync.Mutex
	current *term
}

// workers is how many Deployments are worked on at the same time.
const workers = 8

// Backoff of a Deployment whose step failed.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = time.Minute
)

// New prepares a controller. Nothing happens before Run.
func New(o ReconcilerOptions) *Reconciler {
	c := &Reconciler{ReconcilerOptions: o}
	o.Detector.OnChange(c.LookAtAll)
	return c
}

// LookAtAll has every Deployment looked at again, after a change of policies or of
// Knative. It never blocks.
func (c *Reconciler) LookAtAll() {
	c.mu.Lock()
	t := c.current
	c.mu.Unlock()
	if t != nil {
		go t.lookAtAll()
	}
}

// term is one run of the controller, while it leads.
type term struct {
	*Reconciler
	queue       workqueue.TypedRateLimitingInterface[types.NamespacedName]
	deployments cache.SharedIndexInformer
	services    *services
}

// Run works until the context ends.
func (c *Reconciler) Run(ctx context.Context) error {
	t := &term{Reconciler: c, queue: workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstRetry, lastRetry))}
	defer t.queue.ShutDown()
	t.services = newServices(c.Metadata, t.serviceChanged, c.Log)
	var err error
	if t.deployments, err = watchMetadata(c.Metadata, deployments, t.deploymentChanged); err != nil {
		return err
	}
	c.mu.Lock()
	c.current = t
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.current = nil
		c.mu.Unlock()
	}()

	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running.Go(func() { t.deployments.RunWithContext(ctx) })
	running.Go(func() { t.services.run(ctx) })
	t.services.set(c.Detector.Served())
	if !cache.WaitForCacheSync(ctx.Done(), t.deployments.HasSynced) {
		return nil // asked to stop
	}
	r := &reconciler{client: c.Client, expand: c.Expand, served: c.Detector.Served, owned: t.services.owned, events: c.Events}
	for range workers {
		running.Go(func() {
			for t.work(log.IntoContext(ctx, c.Log), r) {
			}
		})
	}
	<-ctx.Done()
	t.queue.ShutDown() // ends the workers
	return nil
}

// work takes one Deployment from the queue; false once there will be none.
func (t *term) work(ctx context.Context, r *reconciler) bool {
	key, shutdown := t.queue.Get()
	if shutdown {
		return false
	}
	defer t.queue.Done(key)
	again, err := r.reconcile(ctx, key)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		t.Log.Info("trying again", "deployment", key, "error", err.Error())
		t.queue.AddRateLimited(key)
	default:
		t.queue.Forget(key)
		if again > 0 {
			t.queue.AddAfter(key, again)
		}
	}
	return true
}

// lookAtAll puts every Deployment that matters in the queue, and follows Knative.
func (t *term) lookAtAll() {
	t.services.set(t.Detector.Served())
	for _, o := range t.deployments.GetStore().List() {
		if m, ok := o.(*metav1.PartialObjectMetadata); ok && concerned(m) {
			t.enqueue(m.Namespace, m.Name)
		}
	}
}

func (t *term) enqueue(namespace, name string) {
	if !slices.Contains(t.Excluded, namespace) {
		t.queue.Add(types.NamespacedName{Namespace: namespace, Name: name})
	}
}

// deploymentChanged is called with a Deployment before and after a change.
func (t *term) deploymentChanged(old, now *metav1.PartialObjectMetadata) {
	for _, m := range []*metav1.PartialObjectMetadata{old, now} {
		if m != nil && (concerned(m) || len(t.services.owned(m.Namespace, string(m.UID))) > 0) {
			t.enqueue(m.Namespace, m.Name)
			return
		}
	}
}

// serviceChanged is called with a Knative Service before and after a change.
func (t *term) serviceChanged(old, now *metav1.PartialObjectMetadata) {
	for _, m := range []*metav1.PartialObjectMetadata{old, now} {
		if m == nil {
			continue
		}
		if owner := metav1.GetControllerOf(m); owner != nil && owner.Kind == handover.DeploymentKind {
			t.enqueue(m.Namespace, owner.Name)
		} else {
			t.enqueueNamed(m.Namespace, m.Name)
		}
	}
}

// enqueueNamed is for a Knative Service that is somebody else's: the Deployment that it
// is in the way of has its name, as a rule.
func (t *term) enqueueNamed(namespace, name string) {
	o, exists, err := t.deployments.GetStore().GetByKey(namespace + "/" + name)
	if m, ok := o.(*metav1.PartialObjectMetadata); err == nil && exists && ok && concerned(m) {
		t.enqueue(namespace, name)
	}
}

// concerned tells whether a Deployment matters, by what was kept of its metadata.
func concerned(m *metav1.PartialObjectMetadata) bool {
	texts := func(m map[string]string) manifest.Object {
		o := make(manifest.Object, len(m))
		for k, v := range m {
			o[k] = v
		}
		return o
	}
	return handover.Concerned(manifest.Object{"metadata": manifest.Object{"labels": texts(m.Labels), "annotations": texts(m.Annotations)}})
}

// watchMetadata is an informer for the metadata of all objects of a resource.
func watchMetadata(client metadata.Interface, resource schema.GroupVersionResource, changed func(old, now *metav1.PartialObjectMetadata)) (cache.SharedIndexInformer, error) {
	informer := metadatainformer.NewFilteredMetadataInformer(client, resource, "", 0, cache.Indexers{byOwner: ownerIndex}, nil).Informer()
	if err := informer.SetTransform(lean); err != nil {
		return nil, fmt.Errorf("watching %s: %w", resource.Resource, err)
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { changed(nil, asMetadata(o)) },
		UpdateFunc: func(old, now any) {
			if old, now := asMetadata(old), asMetadata(now); old == nil || now == nil || old.ResourceVersion != now.ResourceVersion {
				changed(old, now)
			}
		},
		DeleteFunc: func(o any) { changed(asMetadata(o), nil) },
	}); err != nil {
		return nil, fmt.Errorf("watching %s: %w", resource.Resource, err)
	}
	return informer, nil
}

func asMetadata(o any) *metav1.PartialObjectMetadata {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	m, _ := o.(*metav1.PartialObjectMetadata)
	return m
}
