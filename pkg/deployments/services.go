package deployments

import (
	"context"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// services follows Knative Services while the cluster serves them.
type services struct {
	client  metadata.Interface
	changed func(old, now *metav1.PartialObjectMetadata)
	log     logr.Logger
	wanted  chan bool

	mu       sync.Mutex
	informer cache.SharedIndexInformer // nil while there is no Knative
}

func newServices(client metadata.Interface, changed func(old, now *metav1.PartialObjectMetadata), log logr.Logger) *services {
	return &services{client: client, changed: changed, log: log, wanted: make(chan bool, 1)}
}

// set tells whether there is anything to follow. The latest word counts.
func (s *services) set(served bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.wanted:
	default:
	}
	s.wanted <- served
}

// run starts and stops the watch until the context ends.
func (s *services) run(ctx context.Context) {
	stop := func() {}
	for following := false; ; {
		select {
		case <-ctx.Done():
			stop()
			return
		case served := <-s.wanted:
			if served == following {
				continue
			}
			following = served
			stop()
			stop = func() {}
			if served {
				stop = s.follow(ctx)
			}
		}
	}
}

// follow starts the watch. What it returns stops it.
func (s *services) follow(ctx context.Context) (stop func()) {
	informer, err := watchMetadata(s.client, knativeServices, s.changed)
	if err != nil {
		s.log.Error(err, "cannot follow Knative Services")
		return func() {}
	}
	s.use(informer)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); informer.RunWithContext(ctx) }()
	return func() {
		cancel()
		<-done
		s.use(nil)
	}
}

func (s *services) use(informer cache.SharedIndexInformer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.informer = informer
}

// owned lists the names of the Knative Services that a Deployment controls.
func (s *services) owned(namespace, uid string) []string {
	s.mu.Lock()
	informer := s.informer
	s.mu.Unlock()
	if informer == nil || uid == "" {
		return nil
	}
	found, err := informer.GetIndexer().ByIndex(byOwner, namespace+"/"+uid)
	if err != nil {
		return nil // the index is always there
	}
	var names []string
	for _, o := range found {
		if m := asMetadata(o); m != nil {
			names = append(names, m.Name)
		}
	}
	return names
}

// byOwner indexes objects by the UID of the Deployment that controls them.
const byOwner = "owner"

func ownerIndex(o any) ([]string, error) {
	m := asMetadata(o)
	if m == nil {
		return nil, nil
	}
	if owner := metav1.GetControllerOf(m); owner != nil && owner.Kind == handover.DeploymentKind {
		return []string{m.Namespace + "/" + string(owner.UID)}, nil
	}
	return nil, nil
}

// lean keeps what is used of an object's metadata.
func lean(o any) (any, error) {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return o, nil // a tombstone
	}
	ours := func(texts map[string]string) map[string]string {
		var kept map[string]string
		for key, text := range texts {
			if key == expand.RecordAnnotation || key == handover.AppliedAnnotation || !(strings.HasPrefix(key, "kubetorch.com/") || parameter.IsKey(key)) {
				continue // the two are long
			}
			if kept == nil {
				kept = map[string]string{}
			}
			kept[key] = text
		}
		return kept
	}
	return &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion,
		Labels: ours(m.Labels), Annotations: ours(m.Annotations), OwnerReferences: m.OwnerReferences,
	}}, nil
}
