package exactness

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// together is how many rounds settle at the same time, while the next one storms.
const together = 4

// settling has rounds settle whose storm is over.
type settling struct {
	t       *testing.T
	next    chan *round
	running sync.WaitGroup

	mu    sync.Mutex
	tally tally
	// full is how many budgets of all were used to the last GPU; the others are sums over them, in GPUs.
	full, budgets            int
	most, held, claims, live int64
}

// startSettling starts, for so many rounds at most.
func startSettling(t *testing.T, rounds int) *settling {
	s := &settling{t: t, next: make(chan *round, rounds)}
	for range together {
		s.running.Go(func() {
			for e := range s.next {
				s.one(e)
			}
		})
	}
	return s
}

// add has one more round settle.
func (s *settling) add(e *round) { s.next <- e }

// wait waits until all that were added have settled.
func (s *settling) wait() {
	close(s.next)
	s.running.Wait()
}

// one has a round settle, and asserts that it held all the time.
func (s *settling) one(e *round) {
	begun := time.Now()
	waited := len(e.waiting)
	if !e.settle(s.t) {
		return
	}
	e.holds(s.t)
	for _, err := range e.unexpected {
		s.t.Errorf("an answer that no client should get: %v", err)
	}
	s.t.Logf("%s settled in %.1fs and %d looks; of %d who waited %d wait still, after %d asked again",
		e.budget, time.Since(begun).Seconds(), e.looks, waited, len(e.waiting), e.late)
	s.sum(e)
	e.witness.close()
	e.clear(context.Background())
}

// sum adds up what became of a round.
func (s *settling) sum(e *round) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.add(&e.tally)
	for _, l := range e.limits {
		if l.part {
			continue
		}
		s.budgets++
		s.most, s.held = s.most+l.max, s.held+l.peaks.held
		s.claims, s.live = s.claims+whole(l.peaks.claims), s.live+whole(l.peaks.live)
		if l.peaks.held == l.max {
			s.full++
		}
	}
}

// summary tells how close the rounds came to their limits.
func (s *settling) summary() string {
	return fmt.Sprintf("%v; %d of %d budgets were used to the last GPU; "+
		"of %d GPUs ledgers held %d at most, objects claimed %d, and live pods had %d",
		&s.tally, s.full, s.budgets, s.most, s.held, s.claims, s.live)
}

// settle waits until every ledger of the round equals a recount, and what is free is less than what
// anyone waits for. Whoever waits and would fit asks again.
func (e *round) settle(t *testing.T) bool {
	slices.SortFunc(e.waiting, func(a, b workload) int { return int(a.claim() - b.claim()) })
	last, same := "", 0
	for {
		done, now := e.settled(t)
		if done {
			return true
		}
		if same++; now != last {
			last, same = now, 0
		}
		if same%20 == 19 {
			e.nudge()
		}
		if e.looks++; e.looks%100 == 0 {
			t.Logf("%s after %d looks: %d wait; %s", e.budget, e.looks, len(e.waiting), now)
		}
		if same == harness.Patience {
			t.Errorf("round %s never settled: %s", e.budget, now)
			return false
		}
		time.Sleep(harness.Tick)
	}
}

// settled tells whether nobody waits in vain and every ledger is at rest and equal to a recount; if
// not, it does something about it, and describes the state.
func (e *round) settled(t *testing.T) (done bool, state string) {
	t.Helper()
	busy := e.tidy(t)
	objects := e.witness.current()
	free := map[string]int64{}
	done = !busy
	for _, l := range e.limits {
		if l.part {
			continue
		}
		b := harness.Budget(t, client, l.budget)
		free[l.product] = b.Status.Available
		s := l.state(objects)
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
