package app

import (
	"context"
	"fmt"
	"maps"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/kubetorch/webhook/pkg/knative"
)

// knativeWatch follows how Knative is configured: its ConfigMaps, and whether the
// autoscaler of the class hpa is installed. Each object has a watch of its own,
// limited to its name, so that the rights to read these objects suffice. Objects, the
// namespace and all of Knative may be absent.
type knativeWatch struct {
	configMaps map[string]toolscache.SharedInformer
	hpa        toolscache.SharedInformer
}

// newKnativeWatch calls changed after every change. Nothing happens before Start.
func newKnativeWatch(client kubernetes.Interface, namespace string, changed func()) (*knativeWatch, error) {
	w := &knativeWatch{configMaps: map[string]toolscache.SharedInformer{}}
	var err error
	for _, name := range knative.ConfigMaps {
		if w.configMaps[name], err = watchOne(client.CoreV1().RESTClient(), "configmaps", namespace, name,
			&corev1.ConfigMap{}, changed); err != nil {
			return nil, err
		}
	}
	w.hpa, err = watchOne(client.AppsV1().RESTClient(), "deployments", namespace, knative.HPADeploymentName,
		&appsv1.Deployment{}, changed)
	return w, err
}

// watchOne is an informer for a single object.
func watchOne(client toolscache.Getter, resource, namespace, name string, example runtime.Object, changed func()) (toolscache.SharedInformer, error) {
	informer := toolscache.NewSharedInformer(
		toolscache.NewListWatchFromClient(client, resource, namespace, fields.OneTermEqualSelector(metav1.ObjectNameField, name)),
		example, 0)
	if err := informer.SetTransform(essence); err != nil {
		return nil, fmt.Errorf("watching %s %s/%s: %w", resource, namespace, name, err)
	}
	if _, err := informer.AddEventHandler(toEvents(changed)); err != nil {
		return nil, fmt.Errorf("watching %s %s/%s: %w", resource, namespace, name, err)
	}
	return informer, nil
}

// toEvents calls changed after every change that matters.
func toEvents(changed func()) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { changed() },
		UpdateFunc: func(old, now any) {
			if differ(old, now) {
				changed()
			}
		},
		DeleteFunc: func(any) { changed() },
	}
}

// differ tells whether an update is one of what is used of the object.
func differ(old, now any) bool {
	switch now := now.(type) {
	case *corev1.ConfigMap:
		old, ok := old.(*corev1.ConfigMap)
		return !ok || !maps.Equal(old.Data, now.Data) || !maps.Equal(old.Labels, now.Labels)
	case *appsv1.Deployment:
		return false // only its existence counts
	case *unstructured.Unstructured:
		// Storage can be changed without a new generation.
		old, ok := old.(*unstructured.Unstructured)
		return !ok || old.GetUID() != now.GetUID() || !reflect.DeepEqual(old.Object["spec"], now.Object["spec"])
	}
	return true
}

// essence keeps what is used of an object. Its resourceVersion stays, for the informer.
func essence(o any) (any, error) {
	switch o := o.(type) {
	case *corev1.ConfigMap:
		data := make(map[string]string, len(o.Data))
		for key, value := range o.Data {
			if key != "_example" { // Knative's own documentation, the largest part
				data[key] = value
			}
		}
		lean := &corev1.ConfigMap{ObjectMeta: identity(&o.ObjectMeta), Data: data}
		if version, ok := o.Labels[knative.VersionLabel]; ok {
			lean.Labels = map[string]string{knative.VersionLabel: version}
		}
		return lean, nil
	case *appsv1.Deployment:
		return &appsv1.Deployment{ObjectMeta: identity(&o.ObjectMeta)}, nil
	case *metav1.PartialObjectMetadata:
		lean := &metav1.PartialObjectMetadata{TypeMeta: o.TypeMeta, ObjectMeta: identity(&o.ObjectMeta)}
		lean.Labels = o.Labels
		return lean, nil
	}
	return o, nil // a tombstone
}

func identity(o *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, ResourceVersion: o.ResourceVersion}
}

// Start watches until the context ends.
func (w *knativeWatch) Start(ctx context.Context) error {
	var running []<-chan struct{}
	for _, informer := range append(w.all(), w.hpa) {
		done := make(chan struct{})
		go func() { defer close(done); informer.RunWithContext(ctx) }()
		running = append(running, done)
	}
	for _, done := range running {
		<-done
	}
	return nil
}

// NeedLeaderElection tells the manager that every replica watches.
func (*knativeWatch) NeedLeaderElection() bool { return false }

func (w *knativeWatch) all() (informers []toolscache.SharedInformer) {
	for _, informer := range w.configMaps {
		informers = append(informers, informer)
	}
	return informers
}

// synced is nil once everything was listed.
func (w *knativeWatch) synced() error {
	for name, informer := range w.configMaps {
		if !informer.HasSynced() {
			return fmt.Errorf("waiting for ConfigMap %s", name)
		}
	}
	if !w.hpa.HasSynced() {
		return fmt.Errorf("waiting for Deployment %s", knative.HPADeploymentName)
	}
	return nil
}

// read parses what the watches have now.
func (w *knativeWatch) read() (*knative.Config, error) {
	data, labels := map[string]map[string]string{}, map[string]string{}
	for name, informer := range w.configMaps {
		for _, o := range informer.GetStore().List() {
			if configMap, ok := o.(*corev1.ConfigMap); ok {
				data[name] = configMap.Data
				if name == knative.FeaturesConfig || len(labels) == 0 {
					labels = configMap.Labels
				}
			}
		}
	}
	config, err := knative.ParseConfig(data)
	if err != nil {
		return nil, err
	}
	return config.OfRelease(labels).WithHPA(len(w.hpa.GetStore().List()) > 0), nil
}
