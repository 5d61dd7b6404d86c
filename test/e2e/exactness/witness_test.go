package exactness

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

var (
	services               = harness.Services
	deployments            = harness.Deployments
	pods                   = harness.PodResource
	budgets                = harness.Budgets
	replicaSets            = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	statefulSets           = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}
	daemonSets             = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}
	jobs                   = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	cronJobs               = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}
	replicationControllers = schema.GroupVersionResource{Version: "v1", Resource: "replicationcontrollers"}
	autoscalers            = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}

	// witnessed are the resources that claims and pods are added up from.
	witnessed = []schema.GroupVersionResource{
		services, deployments, replicaSets, replicationControllers, statefulSets, jobs, pods, autoscalers, budgets,
		resourceClaims, claimTemplates,
	}
	// rejected are those that the other webhook is asked about.
	rejected = []schema.GroupVersionResource{
		services, deployments, replicaSets, replicationControllers, statefulSets, jobs, pods, resourceClaims, claimTemplates,
	}
)

// asKnative asks in the name of Knative's controllers.
var asKnative dynamic.Interface

// record is what one object was at one time, by this package's own reading of its spec. Budgets are
// records too: what their ledgers held.
type record struct {
	// version is the resource version, a number that grows over all objects.
	version               int64
	kind, namespace, name string
	uid, controller       types.UID
	controllerKind        string
	gone, deleting, ended bool
	// each is how many sevenths of a GPU one of its pods has, and size the number of pods asked for.
	each, size int64
	// label and value are what its pods are pinned to.
	label, value string
	// entries are the claims of its pods that are made of templates; shares is whether they name a ResourceClaim.
	entries []entry
	shares  bool
	// entry is which of the claims of its pod a ResourceClaim was made for.
	entry string
	// looks is how many sevenths more a claim has that looks at devices in use; all is whether it asks for all
	// that there are.
	looks int64
	all   bool
	// target, least and most are those of an autoscaler.
	target      string
	least, most int64
	// held and overlap are of a ledger.
	held, overlap int64
}

// witness keeps what happened under the budgets of one round.
type witness struct {
	mu      sync.Mutex
	records []*record
	now     map[types.UID]*record
	// admins are the namespaces that allow claims that look at devices in use, which there count nothing.
	admins map[string]bool
	closed bool
}

func (w *witness) allow(namespace string, admins bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.admins[namespace] = admins
}

// allows tells whether a namespace has claims that look at devices in use.
func (w *witness) allows(namespace string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.admins[namespace]
}

func (w *witness) see(r *record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if !w.admins[r.namespace] {
		r.each += r.looks
	}
	w.records = append(w.records, r)
	if w.now[r.uid] = r; r.gone {
		delete(w.now, r.uid)
	}
}

// close forgets all, and looks at nothing more.
func (w *witness) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed, w.records, w.now = true, nil, nil
}

// witnesses are those of all rounds, by the names of their namespaces, and of their budgets behind a slash. What
// has none is not looked at.
type witnesses struct{ of sync.Map }

// follow starts to watch, until the test ends.
func follow(t *testing.T) *witnesses {
	t.Helper()
	all := &witnesses{}
	watchAll(t, witnessed, func(event watch.Event) {
		u := event.Object.(*unstructured.Unstructured)
		key := u.GetNamespace()
		if key == "" {
			key = "/" + u.GetName()
		}
		w, ok := all.of.Load(key)
		if !ok {
			return
		}
		r := read(t, u)
		r.gone = event.Type == watch.Deleted
		w.(*witness).see(r)
	})
	return all
}

// number is one of an object's numbers, or another where it has none.
func number(t *testing.T, u *unstructured.Unstructured, otherwise int64, path ...string) int64 {
	n, found, err := unstructured.NestedInt64(u.Object, path...)
	if err != nil {
		t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
	}
	if !found {
		return otherwise
	}
	return n
}

// read reads one object.
func read(t *testing.T, u *unstructured.Unstructured) *record {
	r := &record{kind: u.GetKind(), namespace: u.GetNamespace(), name: u.GetName(), uid: u.GetUID()}
	r.deleting = u.GetDeletionTimestamp() != nil
	var err error
	if r.version, err = strconv.ParseInt(u.GetResourceVersion(), 10, 64); err != nil {
		t.Errorf("resource version of %s: %v", r.name, err)
	}
	if owner := metav1.GetControllerOf(u); owner != nil {
		r.controller, r.controllerKind = owner.UID, owner.Kind
	}
	switch r.kind {
	case "GPUBudget":
		r.held = number(t, u, 0, "status", "used") + number(t, u, 0, "status", "reserved")
		r.overlap = number(t, u, 0, "status", "overlap")
		return r
	case "ResourceClaim":
		r.size, r.entry = 1, u.GetAnnotations()["resource.kubernetes.io/pod-claim-name"]
		spec, _, _ := unstructured.NestedMap(u.Object, "spec")
		r.readClaimSpec(spec)
		return r
	case "ResourceClaimTemplate":
		spec, _, _ := unstructured.NestedMap(u.Object, "spec", "spec")
		r.readClaimSpec(spec)
		return r
	case "HorizontalPodAutoscaler":
		kind, _, _ := unstructured.NestedString(u.Object, "spec", "scaleTargetRef", "kind")
		name, _, _ := unstructured.NestedString(u.Object, "spec", "scaleTargetRef", "name")
		r.target = targetOf(r.namespace, kind, name)
		r.least, r.most = number(t, u, 1, "spec", "minReplicas"), number(t, u, 0, "spec", "maxReplicas")
		return r
	}
	r.readPods(t, u)
	return r
}

// readPods reads how many pods an object asks for, and what these have.
func (r *record) readPods(t *testing.T, u *unstructured.Unstructured) {
	pod := []string{"spec", "template", "spec"}
	switch r.kind {
	case "Pod":
		pod = []string{"spec"}
		phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
		r.size, r.ended = 1, phase == "Succeeded" || phase == "Failed"
	case "Service":
		text, _, _ := unstructured.NestedString(u.Object,
			"spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale")
		var err error
		if r.size, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Errorf("Knative Service %s: max-scale %q", r.name, text)
		}
	case "Job":
		r.size = number(t, u, 1, "spec", "parallelism")
		if completions := number(t, u, -1, "spec", "completions"); completions >= 0 {
			r.size = min(r.size, completions-number(t, u, 0, "status", "succeeded"))
		}
		if suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); suspended || finished(u) {
			r.size = 0
		}
	default:
		r.size = number(t, u, 1, "spec", "replicas")
	}
	spec, _, _ := unstructured.NestedMap(u.Object, pod...)
	r.each = devices(spec)
	r.readClaims(spec)
	selector, _, _ := unstructured.NestedStringMap(spec, "nodeSelector")
	for _, label := range []string{productLabel, cloudLabel} {
		if value := selector[label]; value != "" {
			r.label, r.value = label, value
		}
	}
	if asksForCards(spec) {
		r.label, r.value = "", "" // a DeviceClass may give them from any node
	}
}

// asksForCards tells whether a pod asks for what a DeviceClass claims by a name of its own.
func asksForCards(spec map[string]any) bool {
	containers, _, _ := unstructured.NestedSlice(spec, "containers")
	return slices.ContainsFunc(containers, func(c any) bool {
		_, found, _ := unstructured.NestedFieldNoCopy(c.(map[string]any), "resources", "limits", card)
		return found
	})
}

// devices are the sevenths of GPUs that a pod with one container has.
func devices(spec map[string]any) (sum int64) {
	containers, _, _ := unstructured.NestedSlice(spec, "containers")
	for _, c := range containers {
		limits, _, _ := unstructured.NestedMap(c.(map[string]any), "resources", "limits")
		for name, each := range sevenths {
			if text, ok := limits[name].(string); ok {
				n, _ := strconv.ParseInt(text, 10, 64)
				sum += n * each
			}
		}
	}
	return sum
}

// finished tells whether a Job makes no more pods.
func finished(u *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		switch c := c.(map[string]any); c["type"] {
		case "Complete", "Failed", "SuccessCriteriaMet", "FailureTarget":
			if c["status"] == "True" {
				return true
			}
		}
	}
	return false
}

func targetOf(namespace, kind, name string) string { return namespace + "/" + kind + "/" + name }

func splitPin(pin string) (label, value string) {
	label, value, _ = strings.Cut(pin, "=")
	return label, value
}

// isOf tells whether a node's label is that of a type.
func isOf(label, value, product string) bool {
	return label == productLabel && value == product || label == cloudLabel && value == h100InCloud && product == h100
}

// counts tells whether it is counted for a type of GPUs; each is for an empty one.
func (r *record) counts(product string) bool {
	return product == "" || r.label == "" || isOf(r.label, r.value, product)
}

// watchAll hands on what happens to objects of some resources from now on, until the test ends.
func watchAll(t *testing.T, resources []schema.GroupVersionResource, see func(watch.Event)) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	// What watches say that end with the test would stand behind its result.
	ctx = logr.NewContext(ctx, funcr.New(func(_, text string) {
		if ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, text)
		}
	}, funcr.Options{}))
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

// each goes through the objects of some namespaces as they are now.
func (w *witness) each(namespaces []string, see func(*record)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.now {
		if slices.Contains(namespaces, r.namespace) {
			see(r)
		}
	}
}

// podsIn are the pods with GPUs of a namespace that are not being deleted.
func (w *witness) podsIn(namespace string) (names []string) {
	w.each([]string{namespace}, func(r *record) {
		if r.kind == "Pod" && !r.deleting {
			names = append(names, r.name)
		}
	})
	slices.Sort(names)
	return names
}

// madeByKnative are the Deployments of revisions.
func (w *witness) madeByKnative(namespace string) (names []string) {
	w.each([]string{namespace}, func(r *record) {
		if r.kind == "Deployment" && r.controllerKind == "Revision" {
			names = append(names, r.name)
		}
	})
	slices.Sort(names)
	return names
}

// history has all records, in the order in which they were stored.
func (w *witness) history() []*record {
	w.mu.Lock()
	records := slices.Clone(w.records)
	w.mu.Unlock()
	slices.SortStableFunc(records, func(a, b *record) int { return cmp.Compare(a.version, b.version) })
	return records
}

// current has the objects as they are now.
func (w *witness) current() []*record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.now))
}

func (r *record) String() string {
	state := ""
	switch {
	case r.gone:
		state = ", gone"
	case r.deleting:
		state = ", being deleted"
	case r.ended:
		state = ", ended"
	}
	for _, e := range r.entries {
		state += ", of template " + e.template
	}
	return fmt.Sprintf("%d: %s %s/%s%s: %d pods of %d/7 GPUs %s, controller %s, ledger %d+%d",
		r.version, r.kind, r.namespace, r.name, state, r.size, r.each, r.value, r.controllerKind, r.held, r.overlap)
}
