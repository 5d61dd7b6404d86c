package exactness

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// settle waits until every ledger of the round equals a recount, and what is free is less than what
// anyone waits for. Whoever waits and would fit asks again.
func (e *round) settle(t *testing.T) bool {
	slices.SortFunc(e.waiting, func(a, b workload) int { return cmp.Compare(a.each()*int64(a.pods), b.each()*int64(b.pods)) })
	last, same := "", 0
	for {
		done, now, objects := e.settled(t)
		if done {
			return true
		}
		if same++; now != last {
			last, same = now, 0
		}
		if same%15 == 14 {
			e.nudge()
		}
		if e.looks++; e.looks%100 == 0 {
			t.Logf("%s after %d looks: %d wait; %s; %s", e.budget, e.looks, len(e.waiting), now, objects)
		}
		if same == harness.Patience {
			t.Errorf("round %s never settled: %s; %s", e.budget, now, objects)
			return false
		}
		time.Sleep(harness.Tick)
	}
}

// asksAgain is after how many looks those ask again who would fit, before the ledgers are at rest.
const asksAgain = 5

// settled tells whether nobody waits in vain and every ledger is at rest and equal to a recount; if
// not, it does something about it, and describes the state, and apart from that the objects that are counted
// otherwise: these go on changing when controllers are asked to look again.
func (e *round) settled(t *testing.T) (done bool, state, differing string) {
	t.Helper()
	busy := e.tidy(t)
	objects := e.witness.current()
	left := room{of: map[string]int64{}}
	done = !busy
	for _, l := range e.limits {
		if l.part {
			continue
		}
		b := harness.Budget(t, client, l.budget)
		s := l.state(objects)
		want, now := s.recount(), map[string]int64{}
		for _, n := range b.Status.Namespaces {
			now[n.Name] = n.Used
		}
		for _, namespace := range l.namespaces {
			if now[namespace] != want[namespace] {
				done = false
				state += fmt.Sprintf("%s holds %d where a recount finds %d; ", namespace, now[namespace], want[namespace])
				differing += fmt.Sprintf("%s has %v; ", namespace, s.in(namespace))
			}
		}
		left.read(l, e.limits, b.Status.Available, now)
		state += fmt.Sprintf("%s: %s; ", l, harness.Held(b))
		done = done && harness.Counted(b) && b.Status.Overlap == 0 && b.Status.Reserved == 0 &&
			len(b.Status.Reservations)+len(b.Status.InFlight) == 0
	}
	if !done && e.looks%asksAgain != 0 {
		return false, state, differing
	}
	return e.retry(left, objects) && done, state, differing
}
