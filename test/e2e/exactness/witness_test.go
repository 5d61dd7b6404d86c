package budgets

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// stored is what an object claims as it is stored, by this package's own arithmetic.
// Deployments that Knative made are left out: their Services claim for them.
func stored(t require.TestingT, o *unstructured.Unstructured) int64 {
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		require.NoError(t, err, o.GetName())
		return n
	}
	if controller := metav1.GetControllerOf(o); controller != nil && controller.Kind == "Revision" {
		return 0
	}
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	require.Len(t, containers, 1, o.GetName())
	limit, _, _ := unstructured.NestedFieldNoCopy(containers[0].(map[string]any), "resources", "limits", "nvidia.com/gpu")
	if limit == nil {
		return 0
	}
	gpus := number(fmt.Sprint(limit))
	if o.GetKind() == "Service" {
		text, found, _ := unstructured.NestedString(o.Object, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale")
		require.True(t, found, o.GetName())
		return gpus * number(text)
	}
	replicas, found, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	require.True(t, found, o.GetName())
	return gpus * replicas
}

// listed is what all objects of a namespace claim now.
func listed(t require.TestingT, namespace string) (sum int64) {
	for _, resource := range claiming {
		list, err := harness.Read(func() (*unstructured.UnstructuredList, error) {
			return client.Resource(resource).Namespace(namespace).List(context.Background(), metav1.ListOptions{})
		})
		require.NoError(t, err)
		for i := range list.Items {
			sum += stored(t, &list.Items[i])
		}
	}
	return sum
}

// change is an event of a watch. Resource versions are numbers that grow over all objects.
type change struct {
	version   int64
	namespace string
	uid       types.UID
	claim     int64
}

// accountant adds up what stored objects claim, from a watch of all of them.
type accountant struct {
	t    *testing.T
	most map[string]int64 // by namespace

	mu      sync.Mutex
	changes []change
	sums    map[string]int64
	claims  map[types.UID]int64
	// exceeded is closed when more is claimed than the most.
	exceeded chan struct{}
}

// follow starts to watch, until the test ends.
func follow(t *testing.T, most map[string]int64) *accountant {
	t.Helper()
	a := &accountant{t: t, most: most, sums: map[string]int64{}, claims: map[types.UID]int64{}, exceeded: make(chan struct{})}
	watchAll(t, claiming, a.see)
	return a
}

// overlaps are the highest overlaps that budgets ever showed, by name.
type overlaps struct {
	mu   sync.Mutex
	most map[string]int64
}

// followOverlaps starts to watch all budgets, until the test ends.
func followOverlaps(t *testing.T) *overlaps {
	t.Helper()
	o := &overlaps{most: map[string]int64{}}
	watchAll(t, []schema.GroupVersionResource{budgets}, func(event watch.Event) {
		u := event.Object.(*unstructured.Unstructured)
		overlap, _, err := unstructured.NestedInt64(u.Object, "status", "overlap")
		if err != nil {
			t.Errorf("the overlap of budget %s: %v", u.GetName(), err)
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.most[u.GetName()] = max(o.most[u.GetName()], overlap)
	})
	return o
}

func (o *overlaps) of(budget string) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.most[budget]
}

// watchAll hands on what happens to objects of some resources from now on, until the test ends.
func watchAll(t *testing.T, resources []schema.GroupVersionResource, see func(watch.Event)) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, resource := range resources {
		list, err := harness.Read(func() (*unstructured.UnstructuredList, error) {
			return client.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
		})
		require.NoError(t, err)
		// The API server ends a watch whenever it likes; this one goes on where that was.
		w, err := toolswatch.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), &cache.ListWatch{
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return client.Resource(resource).Watch(ctx, o)
			},
		})
		require.NoError(t, err)
		running.Go(func() {
			defer w.Stop()
			for {
				select {
				case event, open := <-w.ResultChan():
					if !open || event.Type == watch.Error {
						if ctx.Err() == nil {
							t.Errorf("the watch of %s ended: %v", resource.Resource, event.Object)
						}
						return
					}
					see(event)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
}

func (a *accountant) see(event watch.Event) {
	o := event.Object.(*unstructured.Unstructured)
	most, ours := a.most[o.GetNamespace()]
	if !ours {
		return
	}
	version, err := strconv.ParseInt(o.GetResourceVersion(), 10, 64)
	if err != nil {
		a.t.Errorf("resource version of %s: %v", o.GetName(), err)
		return
	}
	c := change{version: version, namespace: o.GetNamespace(), uid: o.GetUID()}
	if event.Type != watch.Deleted {
		c.claim = stored(a.t, o)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changes = append(a.changes, c)
	a.sums[c.namespace] += c.claim - a.claims[c.uid]
	a.claims[c.uid] = c.claim
	if a.sums[c.namespace] > most {
		// The two watches may be a little apart: the order of storing decides.
		for namespace, peak := range a.replay() {
			if peak > a.most[namespace] {
				select {
				case <-a.exceeded:
				default:
					a.t.Errorf("%d GPUs are claimed in %s and %d allowed, after %s", peak, namespace, a.most[namespace], o.GetName())
					close(a.exceeded)
				}
			}
		}
	}
}

// peaks are the highest sums that there ever were, by namespace.
func (a *accountant) peaks() map[string]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.replay()
}

// replay goes through the changes in the order in which they were stored.
func (a *accountant) replay() map[string]int64 {
	slices.SortStableFunc(a.changes, func(x, y change) int { return cmp.Compare(x.version, y.version) })
	peaks, sums, claims := map[string]int64{}, map[string]int64{}, map[types.UID]int64{}
	for _, c := range a.changes {
		sums[c.namespace] += c.claim - claims[c.uid]
		claims[c.uid] = c.claim
		peaks[c.namespace] = max(peaks[c.namespace], sums[c.namespace])
	}
	return peaks
}
