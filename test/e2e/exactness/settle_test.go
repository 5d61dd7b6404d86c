package exactness

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// settle waits until every ledger equals a recount, and what is free is less than what
// anyone waits for. Whoever waits and would fit asks again.
func settle(t *testing.T, all []*round) {
	t.Helper()
	const together = 8
	next := make(chan *round, len(all))
	for _, each := range all {
		next <- each
	}
	close(next)
	var settling sync.WaitGroup
	for range together {
		settling.Go(func() {
			for e := range next {
				e.settle(t)
			}
		})
	}
	settling.Wait()
}

func (e *round) settle(t *testing.T) {
	slices.SortFunc(e.waiting, func(a, b workload) int { return int(a.claim() - b.claim()) })
	last, same, looks := "", 0, 0
	for {
		done, now := e.settled(t)
		if done {
			return
		}
		if same++; now != last {
			last, same = now, 0
		}
		if same%50 == 49 {
			e.nudge()
		}
		if looks++; looks%100 == 0 {
			t.Logf("%s after %d looks: %d wait; %s", e.budget, looks, len(e.waiting), now)
		}
		if same == harness.Patience {
			t.Errorf("round %s never settled: %s", e.budget, now)
			return
		}
		time.Sleep(harness.Tick)
	}
}

// nudge changes something that nobody looks at in all Deployments and Knative Services: a controller whose
// requests failed again and again, while replicas were killed and another webhook rejected some, waits for long
// before it tries again, or for a change.
func (e *round) nudge() {
	e.looked++
	changed := fmt.Appendf(nil, `{"metadata":{"annotations":{"e2e.kubetorch.com/looked":"%d"}}}`, e.looked)
	var all []*record
	e.witness.each(e.namespaces, func(r *record) {
		if !r.deleting && (r.kind == "Deployment" || r.kind == "Service") {
			all = append(all, r)
		}
	})
	for _, r := range all {
		resource := deployments
		if r.kind == "Service" {
			resource = services
		}
		_, _ = client.Resource(resource).Namespace(r.namespace).
			Patch(context.Background(), r.name, types.MergePatchType, changed, metav1.PatchOptions{})
	}
}

// settled tells whether nobody waits in vain and every ledger is at rest and equal to a recount; if
// not, it does something about it, and describes the state.
func (e *round) settled(t *testing.T) (done bool, state string) {
	t.Helper()
	busy := e.tidy(t)
	history := e.witness.history(e.namespaces, e.budgets())
	free := map[string]int64{}
	done = !busy
	for _, l := range e.limits {
		b := harness.Budget(t, client, l.budget)
		if l.part {
			continue
		}
		free[l.product] = b.Status.Available
		s := l.replay(history)
		want, now := s.recount(), map[string]int64{}
		for _, n := range b.Status.Namespaces {
			now[n.Name] = n.Used
		}
		for _, namespace := range l.namespaces {
			if now[namespace] != want[namespace] {
				done = false
				state += fmt.Sprintf("%s holds %d where a recount finds %d of %v; ",
					namespace, now[namespace], want[namespace], s.in(namespace))
			}
		}
		state += fmt.Sprintf("%s: %s; ", l, harness.Held(b))
		done = done && harness.Counted(b) && b.Status.Overlap == 0 && b.Status.Reserved == 0 &&
			len(b.Status.Reservations)+len(b.Status.InFlight) == 0
	}
	return done && e.retry(free), state
}

// retry has those ask again who wait and would fit, and tells whether there were none.
func (e *round) retry(free map[string]int64) bool {
	none := true
	var waiting []workload
	for i, w := range e.waiting {
		typed, limited := free[h100]
		namespace, name := e.namespaces[e.late%len(e.namespaces)], fmt.Sprintf("late-%d", e.late)
		claim, of := w.claim(), w.of(h100)
		if w.ofTemplate != "" {
			template := e.witness.template(namespace, w.ofTemplate)
			if template == nil {
				waiting = append(waiting, w)
				continue
			}
			claim, of = whole(template.each*int64(w.pods)), template.counts(h100)
		}
		limited = limited && of
		if claim > free[""] || (limited && claim > typed) {
			waiting = append(waiting, w)
			continue
		}
		e.late++
		err := e.operation(func(ctx context.Context) error {
			api := client.Resource(w.resource()).Namespace(namespace)
			_, err := api.Create(ctx, w.object(name, false), metav1.CreateOptions{})
			return err
		})
		e.answered(err)
		switch {
		case err == nil:
			none = false
			e.admitted.Add(1)
			free[""] -= claim
			if limited {
				free[h100] -= claim
			}
		case apierrors.IsForbidden(err) && len(e.limits) > 2: // of its namespace there may be less
			waiting = append(waiting, w)
		default:
			e.waiting = append(waiting, e.waiting[i:]...)
			return false
		}
	}
	e.waiting = waiting
	return none
}

// tidy ends what would go on for ever without nodes that run pods and an autoscaler: revisions that
// were replaced, pods that take their time, and CronJobs. It tells whether there was any.
func (e *round) tidy(t *testing.T) (busy bool) {
	t.Helper()
	ctx := context.Background()
	now := int64(0)
	var lingering []*record
	e.witness.each(e.namespaces, func(r *record) {
		if r.kind == "Pod" && r.deleting {
			lingering = append(lingering, r)
		}
	})
	for _, r := range lingering {
		_ = client.Resource(pods).Namespace(r.namespace).Delete(ctx, r.name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	}
	if e.tidied == 0 {
		for _, namespace := range e.namespaces {
			crons, err := harness.Read(func() (*unstructured.UnstructuredList, error) {
				return client.Resource(cronJobs).Namespace(namespace).List(ctx, metav1.ListOptions{})
			})
			if err != nil {
				t.Errorf("listing CronJobs: %v", err)
				return false
			}
			for _, c := range crons.Items {
				_, err := client.Resource(cronJobs).Namespace(namespace).Patch(ctx, c.GetName(), types.MergePatchType,
					[]byte(`{"spec":{"suspend":true}}`), metav1.PatchOptions{})
				busy = busy || err != nil
			}
		}
	}
	if e.tidied%10 == 0 {
		busy = e.scaleBack() || busy
		for _, namespace := range e.namespaces {
			busy = harness.Collect(ctx, client, namespace) != nil || busy
		}
	}
	if !busy {
		e.tidied++
	}
	return busy || len(lingering) > 0
}

// scaleBack has no revision ask for more pods than its Service allows, as Knative's autoscaler sees to every two
// seconds: until then what it asks for is charged by itself. It tells whether there was any.
func (e *round) scaleBack() (any bool) {
	most := map[string]int64{}
	var made []*record
	e.witness.each(e.namespaces, func(r *record) {
		switch {
		case r.kind == "Service":
			most[r.namespace+"/"+r.name] = r.size
		case r.kind == "Deployment" && r.controllerKind == "Revision":
			made = append(made, r)
		}
	})
	for _, r := range made {
		match := revisionPods.FindStringSubmatch(r.name)
		if match == nil {
			continue
		}
		if most, there := most[r.namespace+"/"+match[1]]; there && r.size > most {
			any = true
			_, _ = asKnative.Resource(deployments).Namespace(r.namespace).Patch(context.Background(), r.name, types.MergePatchType,
				fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, most), metav1.PatchOptions{})
		}
	}
	return any
}

var revisionPods = regexp.MustCompile(`^(.+)-[0-9]{5}-deployment$`)

// isOfService tells whether a Deployment's name is that of a revision of a Service.
func isOfService(deployment, service string) bool {
	match := revisionPods.FindStringSubmatch(deployment)
	return match != nil && match[1] == service
}
