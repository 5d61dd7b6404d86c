package harness

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
)

// Pods follows all pods and adds up, by namespace, the GPUs of those that have not ended:
// pending and terminating ones hold theirs. It is the witness beside the ledger, and its
// arithmetic is its own.
type Pods struct {
	mu   sync.Mutex
	held map[types.UID]int64
	// live and most are sums by namespace, now and at any time.
	live, most map[string]int64
	failure    error
}

// FollowPods follows all pods from now on, until the context ends.
func FollowPods(ctx context.Context, client dynamic.Interface) (*Pods, error) {
	p := &Pods{held: map[types.UID]int64{}, live: map[string]int64{}, most: map[string]int64{}}
	list, err := Read(func() (*unstructured.UnstructuredList, error) {
		return client.Resource(PodResource).List(ctx, metav1.ListOptions{})
	})
	if err != nil {
		return nil, err
	}
	for i := range list.Items {
		p.see(watch.Event{Type: watch.Added, Object: &list.Items[i]})
	}
	// The API server ends a watch whenever it likes; this one goes on where that was.
	w, err := toolswatch.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return client.Resource(PodResource).Watch(ctx, o)
		},
	})
	if err != nil {
		return nil, err
	}
	go func() {
		defer w.Stop()
		for event := range w.ResultChan() {
			p.see(event)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if ctx.Err() == nil && p.failure == nil {
			p.failure = fmt.Errorf("the watch of pods ended")
		}
	}()
	return p, nil
}

func (p *Pods) see(event watch.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, ok := event.Object.(*unstructured.Unstructured)
	if !ok || event.Type == watch.Error {
		p.failure = fmt.Errorf("the watch of pods failed: %v", event.Object)
		return
	}
	gpus := int64(0)
	if event.Type != watch.Deleted {
		gpus = PodGPUs(u)
	}
	namespace := u.GetNamespace()
	p.live[namespace] += gpus - p.held[u.GetUID()]
	p.most[namespace] = max(p.most[namespace], p.live[namespace])
	p.held[u.GetUID()] = gpus
}

// Live is how many GPUs the pods of a namespace hold now, as far as the watch has seen.
func (p *Pods) Live(t testing.TB, namespace string) int64 { return p.read(t, p.live, namespace) }

// Most is how many they held at any time.
func (p *Pods) Most(t testing.TB, namespace string) int64 { return p.read(t, p.most, namespace) }

func (p *Pods) read(t testing.TB, sums map[string]int64, namespace string) int64 {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.NoError(t, p.failure)
	return sums[namespace]
}

// PodGPUs is how many GPUs a pod holds that has not ended.
func PodGPUs(u *unstructured.Unstructured) int64 {
	if phase, _, _ := unstructured.NestedString(u.Object, "status", "phase"); phase == "Succeeded" || phase == "Failed" {
		return 0
	}
	sum := int64(0)
	containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "containers")
	for _, c := range containers {
		sum += containerGPUs(c)
	}
	beside, most := int64(0), int64(0)
	inits, _, _ := unstructured.NestedSlice(u.Object, "spec", "initContainers")
	for _, c := range inits {
		gpus := containerGPUs(c)
		if policy, _, _ := unstructured.NestedString(c.(map[string]any), "restartPolicy"); policy == "Always" {
			beside += gpus
			most = max(most, beside)
			continue
		}
		most = max(most, beside+gpus)
	}
	return max(sum+beside, most)
}

func containerGPUs(container any) (most int64) {
	for _, part := range []string{"limits", "requests"} {
		text, found, _ := unstructured.NestedString(container.(map[string]any), "resources", part, "nvidia.com/gpu")
		if quantity, err := resource.ParseQuantity(text); found && err == nil {
			most = max(most, quantity.Value())
		}
	}
	return most
}
