package exactness

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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// tally counts what became of requests.
type tally struct {
	asked, admitted, refused, rejected, troubled, updated, deleted, orphaned, autoscaled, swapped, dryRuns atomic.Int64

	troubles sync.Map // how often, by what it was
}

func (t *tally) String() string {
	return fmt.Sprintf("%d requests: %d creates and %d updates admitted, %d deleted and %d orphaned, %d scaled by Knative's autoscaler, %d templates and claims made anew, %d dry runs, "+
		"%d refused by a budget, %d rejected by another webhook, %d failed otherwise",
		t.asked.Load(), t.admitted.Load(), t.updated.Load(), t.deleted.Load(), t.orphaned.Load(), t.autoscaled.Load(), t.swapped.Load(), t.dryRuns.Load(),
		t.refused.Load(), t.rejected.Load(), t.troubled.Load())
}

func (t *tally) add(other *tally) {
	for _, each := range [][2]*atomic.Int64{
		{&t.asked, &other.asked}, {&t.admitted, &other.admitted}, {&t.refused, &other.refused}, {&t.rejected, &other.rejected},
		{&t.troubled, &other.troubled}, {&t.updated, &other.updated}, {&t.deleted, &other.deleted}, {&t.orphaned, &other.orphaned},
		{&t.autoscaled, &other.autoscaled}, {&t.swapped, &other.swapped}, {&t.dryRuns, &other.dryRuns},
	} {
		each[0].Add(each[1].Load())
	}
}

// reasons are the failures that this test provokes.
var reasons = regexp.MustCompile("failed calling webhook|context deadline exceeded|connection refused|EOF|reset by peer|not known to the others yet|" +
	"is busy|being counted|has just been changed|lost touch|Timeout|timed out|object has been modified|already exists|not found|no endpoints|" +
	"field is immutable|being deleted|cannot be read|no such ResourceClaimTemplate")

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
	case strings.Contains(err.Error(), harness.RejectedByAnother):
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

// users are many who ask for GPUs in some namespaces.
type users struct {
	tally
	namespaces []string
	witness    *witness

	mu      sync.Mutex
	waiting []workload // whose creation failed
	// unexpected are answers that no client should get.
	unexpected []error
}

// operation gives one request its time.
func (u *users) operation(f func(ctx context.Context) error) error {
	u.asked.Add(1)
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
			s := &user{users: u, r: r, name: fmt.Sprintf("w-%d", i), namespace: u.namespaces[r.IntN(len(u.namespaces))]}
			s.w = randomWorkload(r, u.witness.allows(s.namespace))
			s.api = client.Resource(s.w.resource()).Namespace(s.namespace)
			s.act()
		})
	}
	close(start)
	running.Wait()
}

// user makes one workload, in some way, and changes its mind about it.
type user struct {
	*users
	r               *rand.Rand
	w               workload
	name, namespace string
	api             dynamic.ResourceInterface
}

func (u *user) act() {
	if !u.make() {
		return
	}
	for u.r.IntN(3) > 0 {
		time.Sleep(time.Duration(u.r.IntN(800)) * time.Millisecond) // controllers do something meanwhile
		switch n := u.r.IntN(12); {
		case u.w.podClaims() != nil && n < 5:
			u.swap()
		case n < 7:
			u.change()
		case n < 9:
			u.autoscale()
		case n < 10:
			u.scaleKnative()
		default:
			u.deletePod()
		}
	}
	if u.r.IntN(2) == 0 {
		u.remove()
	}
}

// make makes the workload, and tells whether it is there.
func (u *user) make() bool {
	how := u.r.IntN(100)
	if u.w.kind == expandedDeployment {
		how += 30 // a Knative Service is named after it, so it needs a name of its own
	}
	if how < 10 {
		u.dryRuns.Add(1)
		err := u.operation(func(ctx context.Context) error {
			_, err := u.api.Create(ctx, u.w.object(u.name, false), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		})
		u.answered(err)
		if u.r.IntN(2) == 0 {
			return false
		}
	}
	var made *unstructured.Unstructured
	var err error
	for range 3 {
		err = u.operation(func(ctx context.Context) (err error) {
			switch {
			case how < 25:
				made, err = u.api.Create(ctx, u.w.object(u.name, true), metav1.CreateOptions{})
			case how < 50:
				o := metav1.ApplyOptions{FieldManager: "e2e", Force: true}
				made, err = u.api.Apply(ctx, u.name, u.w.object(u.name, false), o)
			default:
				made, err = u.api.Create(ctx, u.w.object(u.name, false), metav1.CreateOptions{})
				if apierrors.IsAlreadyExists(err) {
					made, err = u.api.Get(ctx, u.name, metav1.GetOptions{}) // the answer before was lost
				}
			}
			return err
		})
		if err == nil || !u.answered(err) {
			break
		}
		time.Sleep(time.Duration(u.r.IntN(500)) * time.Millisecond)
	}
	if err != nil {
		if u.w.kind != daemonSet && u.w.kind != cronJob { // which are charged by what they make
			u.mu.Lock()
			u.waiting = append(u.waiting, u.w)
			u.mu.Unlock()
		}
		return false
	}
	u.admitted.Add(1)
	u.name = made.GetName()
	return true
}

// change changes the workload's size, or its pods.
func (u *user) change() {
	patch, kind, subresource := u.w.change(u.r)
	o := metav1.PatchOptions{}
	if u.r.IntN(6) == 0 {
		o.DryRun = []string{metav1.DryRunAll}
	}
	err := u.operation(func(ctx context.Context) error {
		_, err := u.api.Patch(ctx, u.name, kind, patch, o, subresource...)
		return err
	})
	switch {
	case err != nil:
		u.answered(err)
	case o.DryRun != nil:
		u.dryRuns.Add(1)
	default:
		u.updated.Add(1)
	}
}

// autoscale makes a HorizontalPodAutoscaler for the workload, changes it, or deletes it.
func (u *user) autoscale() {
	if !u.w.scales() {
		return
	}
	api := client.Resource(autoscalers).Namespace(u.namespace)
	if u.r.IntN(4) == 0 {
		_ = u.operation(func(ctx context.Context) error { return api.Delete(ctx, u.name, metav1.DeleteOptions{}) })
		return
	}
	autoscaler := u.w.autoscaler(u.r, u.name)
	err := u.operation(func(ctx context.Context) error {
		_, err := api.Apply(ctx, u.name, autoscaler, metav1.ApplyOptions{FieldManager: "e2e", Force: true})
		return err
	})
	if !u.answered(err) && err == nil {
		u.updated.Add(1)
	}
}

// scaleKnative scales a revision of the namespace to any size, as Knative's autoscaler does.
func (u *user) scaleKnative() {
	made := u.witness.madeByKnative(u.namespace)
	if len(made) == 0 {
		return
	}
	name := made[u.r.IntN(len(made))]
	merge := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, u.r.IntN(7))
	err := u.operation(func(ctx context.Context) error {
		_, err := asKnative.Resource(deployments).Namespace(u.namespace).
			Patch(ctx, name, types.MergePatchType, merge, metav1.PatchOptions{})
		return err
	})
	if !u.answered(err) && err == nil {
		u.updated.Add(1)
		u.autoscaled.Add(1)
	}
}

// deletePod deletes a pod of the namespace, which is made anew; it may take an hour.
func (u *user) deletePod() {
	names := u.witness.podsIn(u.namespace)
	if len(names) == 0 {
		return
	}
	grace := []int64{0, 5, 3600}[u.r.IntN(3)]
	err := u.operation(func(ctx context.Context) error {
		o := metav1.DeleteOptions{GracePeriodSeconds: &grace}
		return client.Resource(pods).Namespace(u.namespace).Delete(ctx, names[u.r.IntN(len(names))], o)
	})
	if err == nil {
		u.deleted.Add(1)
	}
}

// remove deletes the workload: in the foreground, the background, or without what it made. Then it
// may be made anew, and adopt that.
func (u *user) remove() {
	policies := []metav1.DeletionPropagation{
		metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan,
	}
	if u.w.resource() == services {
		policies = policies[:2] // Knative lets nobody take a Service from what it made
	}
	if u.w.kind == pod && u.w.templates != nil {
		policies = policies[:2] // its claim would have to fit beside it, or it waits for ever
	}
	policy := policies[u.r.IntN(len(policies))]
	err := u.operation(func(ctx context.Context) error {
		return u.api.Delete(ctx, u.name, metav1.DeleteOptions{PropagationPolicy: &policy})
	})
	if err != nil {
		return
	}
	if policy == metav1.DeletePropagationOrphan {
		u.orphaned.Add(1)
	}
	u.deleted.Add(1)
	if u.w.kind == expandedDeployment && policy == metav1.DeletePropagationOrphan {
		return // its name is taken by the Knative Service that stays
	}
	if u.r.IntN(2) == 0 {
		err := u.operation(func(ctx context.Context) error {
			_, err := u.api.Create(ctx, u.w.object(u.name, false), metav1.CreateOptions{})
			return err
		})
		if !u.answered(err) && err == nil {
			u.admitted.Add(1)
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
		case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
			http.StatusConflict, http.StatusNotFound:
		default:
			if strings.Contains(err.Error(), "field is immutable") {
				break // a Job that has begun
			}
			u.mu.Lock()
			u.unexpected = append(u.unexpected, err)
			u.mu.Unlock()
		}
	}
	return again
}
