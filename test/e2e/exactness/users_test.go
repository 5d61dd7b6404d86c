package budgets

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// kind is a way to ask for GPUs.
type kind int

const (
	plainService kind = iota
	labelledService
	plainDeployment
	labelledDeployment
	expandedDeployment
)

// workload asks for some pods with some GPUs each.
type workload struct {
	kind       kind
	gpus, pods int
}

func randomWorkload(r *rand.Rand) workload {
	kinds := []kind{plainService, plainService, plainService, labelledService, labelledService, plainDeployment, plainDeployment, labelledDeployment, labelledDeployment, expandedDeployment}
	return workload{kinds[r.IntN(len(kinds))], 1 + r.IntN(8), 1 + r.IntN(6)}
}

func (w workload) claim() int64 { return int64(w.gpus * w.pods) }

func (w workload) resource() schema.GroupVersionResource {
	if w.kind <= labelledService {
		return services
	}
	return deployments
}

// object of the workload; with the name empty it has a generated one.
func (w workload) object(name string) *unstructured.Unstructured {
	resources := map[string]any{"limits": map[string]any{"nvidia.com/gpu": fmt.Sprint(w.gpus)}}
	parameters := map[string]string{"compute.kubetorch.com/gpus": fmt.Sprint(w.gpus)}
	autoscaled := map[string]string{"compute.kubetorch.com/gpus": fmt.Sprint(w.gpus), "autoscale.kubetorch.com/max-scale": fmt.Sprint(w.pods)}
	var u *unstructured.Unstructured
	switch w.kind {
	case plainService, labelledService:
		u = service("", w.gpus, w.pods)
		if w.kind == labelledService {
			u = service("", w.gpus, w.pods)
			unstructured.RemoveNestedField(u.Object, "spec", "template", "metadata")
			_ = unstructured.SetNestedSlice(u.Object, []any{map[string]any{"image": "nginx:1"}}, "spec", "template", "spec", "containers")
			u.SetLabels(map[string]string{"kubetorch.com/autoscale": "true"})
			u.SetAnnotations(autoscaled)
		}
	default:
		container := map[string]any{"name": "app", "image": "nginx:1"}
		u = &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "spec": map[string]any{
			"replicas": int64(w.pods),
			"selector": map[string]any{"matchLabels": map[string]any{"app": "x"}},
			"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "x"}}, "spec": map[string]any{"containers": []any{container}}},
		}}}
		switch w.kind {
		case plainDeployment:
			container["resources"] = resources
		case labelledDeployment:
			u.SetLabels(map[string]string{"kubetorch.com/compute": "true"})
			u.SetAnnotations(parameters)
		case expandedDeployment:
			u.SetLabels(map[string]string{"kubetorch.com/autoscale": "true"})
			u.SetAnnotations(autoscaled)
		}
	}
	if u.SetName(name); name == "" {
		u.SetGenerateName("w-")
	}
	return u
}

// scaled is a merge patch that changes the number of pods.
func (w workload) scaled(pods int) []byte {
	switch w.kind {
	case plainService:
		return fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"%d"}}}}}`, pods)
	case plainDeployment, labelledDeployment:
		return fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, pods)
	default:
		return fmt.Appendf(nil, `{"metadata":{"annotations":{"autoscale.kubetorch.com/max-scale":"%d"}}}`, pods)
	}
}

// tally counts what became of requests.
type tally struct {
	admitted, refused, rejected, troubled, updated, deleted, dryRuns atomic.Int64

	troubles sync.Map // how often, by what it was
}

func (t *tally) String() string {
	return fmt.Sprintf("%d creates and %d updates admitted, %d deleted, %d dry runs, %d refused by a budget, %d rejected by another webhook, %d failed otherwise",
		t.admitted.Load(), t.updated.Load(), t.deleted.Load(), t.dryRuns.Load(), t.refused.Load(), t.rejected.Load(), t.troubled.Load())
}

// reasons are the failures that this test provokes.
var reasons = regexp.MustCompile("failed calling webhook|context deadline exceeded|connection refused|EOF|reset by peer|not known to the others yet|is busy|being counted|has just been changed|lost touch|Timeout|timed out|object has been modified|already exists|not found|no endpoints")

// detail tells what failed otherwise, and how often.
func (t *tally) detail() string {
	var words []string
	t.troubles.Range(func(what, n any) bool {
		words = append(words, fmt.Sprintf("%s: %d", what, n.(*atomic.Int64).Load()))
		return true
	})
	slices.Sort(words)
	return strings.Join(words, "; ")
}

// note counts an error, and tells whether it may be tried again at once.
func (t *tally) note(err error) (again bool) {
	switch {
	case strings.Contains(err.Error(), rejectedByAnother):
		t.rejected.Add(1)
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "in budget"):
		t.refused.Add(1)
	default:
		t.troubled.Add(1)
		what := reasons.FindString(err.Error())
		if what == "" {
			what = err.Error()
		}
		n, _ := t.troubles.LoadOrStore(what, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		return true
	}
	return false
}

// users are many who ask for GPUs in one namespace.
type users struct {
	tally
	namespace string

	mu      sync.Mutex
	waiting []workload // whose creation failed
	// unexpected are answers that no client should get.
	unexpected []error
}

// operation gives one request its time.
func operation(f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*requestTimeout)
	defer cancel()
	return f(ctx)
}

// storm has many users ask at the same time, until all of them had an answer.
func (u *users) storm(seed uint64, n, concurrent int) {
	start := make(chan struct{})
	places := make(chan struct{}, concurrent)
	var running sync.WaitGroup
	for i := range n {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		running.Go(func() {
			<-start
			places <- struct{}{}
			defer func() { <-places }()
			u.user(r, i)
		})
	}
	close(start)
	running.Wait()
}

// user makes one workload, in some way, and changes its mind about it.
func (u *users) user(r *rand.Rand, i int) {
	w := randomWorkload(r)
	api := client.Resource(w.resource()).Namespace(u.namespace)
	name := fmt.Sprintf("w-%d", i)
	how := r.IntN(100)
	if w.kind == expandedDeployment {
		how += 30 // a Knative Service is named after it, so it needs a name of its own
	}
	if how < 10 {
		u.dryRuns.Add(1)
		err := operation(func(ctx context.Context) error {
			_, err := api.Create(ctx, w.object(name), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		})
		u.answered(err)
		if r.IntN(2) == 0 {
			return
		}
	}
	var made *unstructured.Unstructured
	var err error
	for range 3 {
		err = operation(func(ctx context.Context) (err error) {
			switch {
			case how < 30:
				made, err = api.Create(ctx, w.object(""), metav1.CreateOptions{})
			case how < 55:
				made, err = api.Apply(ctx, name, w.object(name), metav1.ApplyOptions{FieldManager: "e2e", Force: true})
			default:
				if made, err = api.Create(ctx, w.object(name), metav1.CreateOptions{}); apierrors.IsAlreadyExists(err) {
					made, err = api.Get(ctx, name, metav1.GetOptions{}) // the answer before was lost
				}
			}
			return err
		})
		if err == nil || !u.answered(err) {
			break
		}
		time.Sleep(time.Duration(r.IntN(500)) * time.Millisecond)
	}
	if err != nil {
		u.mu.Lock()
		u.waiting = append(u.waiting, w)
		u.mu.Unlock()
		return
	}
	u.admitted.Add(1)
	for r.IntN(2) == 0 {
		o := metav1.PatchOptions{}
		dryRun := r.IntN(5) == 0
		if dryRun {
			o.DryRun = []string{metav1.DryRunAll}
		}
		err := operation(func(ctx context.Context) error {
			_, err := api.Patch(ctx, made.GetName(), types.MergePatchType, w.scaled(1+r.IntN(6)), o)
			return err
		})
		switch {
		case err != nil:
			u.answered(err)
		case dryRun:
			u.dryRuns.Add(1)
		default:
			u.updated.Add(1)
		}
	}
	if r.IntN(4) == 0 {
		o := metav1.DeleteOptions{}
		if r.IntN(2) == 0 {
			foreground := metav1.DeletePropagationForeground
			o.PropagationPolicy = &foreground
		}
		if err := operation(func(ctx context.Context) error { return api.Delete(ctx, made.GetName(), o) }); err == nil {
			u.deleted.Add(1)
		}
	}
}

// answered counts a failure, and keeps those that are nobody's fault but the webhook's.
func (u *users) answered(err error) (again bool) {
	if err == nil {
		return false
	}
	again = u.note(err)
	if status, ok := err.(apierrors.APIStatus); again && ok {
		switch code := status.Status().Code; code {
		case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusConflict, http.StatusNotFound:
		default:
			u.mu.Lock()
			u.unexpected = append(u.unexpected, err)
			u.mu.Unlock()
		}
	}
	return again
}
