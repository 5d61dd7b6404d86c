// A ledger that others write all the time, or that cannot be asked, admits nothing: the client is
// told to retry.

package charge

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
)

func TestALedgerThatCannotAnswerHoldsUpOnlyWhatDependsOnIt(t *testing.T) {
	uncounted := counted("a", 10)
	uncounted.Status.Conditions = nil
	s := newStore(uncounted, counted("b", 10))
	optional := demand("a", "x", 4)
	optional.Optional = true
	answers := NewCharger(s, nil).Charge(t.Context(), []Demand{optional, demand("b", "x", 4)}, false)
	assert.Equal(t, []Answer{{Retry: retryCounting}, {Outcome: ledger.Outcome{Fits: true, Raised: 4, Free: 6, Of: 10}}}, answers)
	assert.EqualValues(t, 4, taken(t, s, "b"), "the other budget is charged")
	answers = NewCharger(s, nil).Charge(t.Context(), []Demand{demand("a", "y", 4), demand("b", "y", 4)}, false)
	assert.Equal(t, []Answer{{Retry: retryCounting}}, answers)
	assert.EqualValues(t, 4, taken(t, s, "b"))
}

func TestWhatCannotBeDecidedNowIsToBeTriedAgain(t *testing.T) {
	damaged := counted("cluster", 10)
	damaged.Status.Namespaces = []v1alpha1.NamespaceClaims{{Name: "a", Claims: []byte("x")}}
	changed := counted("cluster", 10)
	changed.Generation = 2
	uncounted := counted("cluster", 10)
	uncounted.Status.Conditions = nil
	soonCounted := counted("cluster", 10)
	soonCounted.Status.Conditions = nil
	soonCounted.Status.CountedBy = &metav1.Time{Time: time.Now().Add(30*time.Second + 500*time.Millisecond)}
	for name, test := range map[string]struct {
		budget *v1alpha1.GPUBudget
		change func(*Demand)
		want   string
		after  int32
	}{
		"a ledger that is being counted":           {budget: uncounted, want: retryCounting},
		"a ledger that is counted in a while":      {budget: soonCounted, want: retryCounting, after: 31},
		"a ledger that cannot be read":             {budget: damaged, want: retryUnread},
		"a budget that the replica does not know":  {budget: changed, want: retryChanged, after: 1},
		"a ledger that was counted by other rules": {budget: counted("cluster", 10), change: func(d *Demand) { d.Rules = "s" }, want: retryCounting},
		"a namespace that has just been labelled":  {budget: counted("cluster", 10), change: func(d *Demand) { d.Selective = true }, want: retryNamespace},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(test.budget)
			d := demand("cluster", "x", 1)
			if test.change != nil {
				test.change(&d)
			}
			a := NewCharger(s, nil).Charge(t.Context(), []Demand{d}, false)[0]
			assert.Equal(t, Answer{Retry: test.want, After: test.after}, a)
			assert.Zero(t, s.writes)
		})
	}
}

func TestAStormOfConflictsEndsInARetriableRefusal(t *testing.T) {
	s := newStore(counted("cluster", 10))
	tries := 0
	s.raise = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		tries++
		b := s.budgets["cluster"].DeepCopy()
		b.ResourceVersion = next(b.ResourceVersion)
		s.budgets["cluster"] = b
	}
	a := NewCharger(s, nil).Charge(t.Context(), []Demand{demand("cluster", "x", 1)}, false)[0]
	assert.Equal(t, Answer{Retry: retryBusy}, a)
	assert.Equal(t, maxWrites+1, tries, "it is bounded")
	assert.Zero(t, taken(t, s, "cluster"))
}

func TestAnAPIServerThatFailsAdmitsNothing(t *testing.T) {
	s := newStore(counted("cluster", 10))
	s.failing = errors.New("no etcd leader")
	a := NewCharger(s, nil).Charge(t.Context(), []Demand{demand("cluster", "x", 1)}, false)[0]
	assert.False(t, a.Fits)
	assert.Contains(t, a.Retry, "no etcd leader")
}

func TestARequestThatEndedIsNotWaitedFor(t *testing.T) {
	s := newStore(counted("cluster", 10))
	s.latency = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begun := time.Now()
	a := NewCharger(s, nil).Charge(ctx, []Demand{demand("cluster", "x", 1)}, false)[0]
	assert.Equal(t, Answer{Retry: retryBusy}, a)
	assert.Less(t, time.Since(begun), 30*time.Second)
}
