package charge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
)

func TestABudgetThatOnlyTellsTakesWhatDoesNotFitAndCountsIt(t *testing.T) {
	for _, e := range []v1alpha1.BudgetEnforcement{v1alpha1.BudgetWarn, v1alpha1.BudgetAudit} {
		t.Run(string(e), func(t *testing.T) {
			b := counted("cluster", 10)
			b.Spec.Enforcement = e
			b.Status.Holders = []v1alpha1.Holder{{Namespace: "a", Kind: "Service", Name: "old", GPUs: 8}}
			s := newStore(b)
			c := NewCharger(s, nil)
			require.True(t, c.Charge(t.Context(), []Demand{demand("cluster", "fits", 8)}, false)[0].Fits)

			dry := c.Charge(t.Context(), []Demand{demand("cluster", "beyond", 5)}, true)[0]
			assert.True(t, dry.Admits())
			assert.EqualValues(t, 8, taken(t, s, "cluster"), "a dry run takes nothing")
			a := c.Charge(t.Context(), []Demand{demand("cluster", "beyond", 5)}, false)[0]
			assert.Equal(t, Answer{
				Outcome: ledger.Outcome{Raised: 5, Free: 2, Of: 10, Reserved: 8}, Despite: e, All: 8, Own: 8, Holders: b.Status.Holders,
			}, a)
			assert.EqualValues(t, 13, taken(t, s, "cluster"))
			assert.Equal(t, &v1alpha1.BudgetSummary{Max: "10", Used: "0", Reserved: "13", Available: "0", Holders: "a/old: 8"}, s.budgets["cluster"].Status.Summary)

			unbounded := c.Charge(t.Context(), []Demand{demand("cluster", "unbounded", 1<<60)}, false)[0]
			assert.True(t, unbounded.Admits())
			assert.Equal(t, "unbounded", s.budgets["cluster"].Status.Summary.Reserved)
		})
	}
}

func TestABudgetThatOnlyTellsKeepsNobodyWaitingWhileItIsCounted(t *testing.T) {
	b := counted("cluster", 10)
	b.Spec.Enforcement, b.Status.Conditions = v1alpha1.BudgetWarn, nil
	s := newStore(b)
	a := NewCharger(s, nil).Charge(t.Context(), []Demand{demand("cluster", "x", 4)}, false)[0]
	assert.True(t, a.Fits)
	assert.EqualValues(t, 4, s.budgets["cluster"].Status.Reserved, "it is kept for the count")
}

func TestTheStricterOfTwoBudgetsDecides(t *testing.T) {
	gentle, strict := counted("a", 1), counted("b", 1)
	gentle.Spec.Enforcement = v1alpha1.BudgetWarn
	s := newStore(gentle, strict)
	answers := NewCharger(s, nil).Charge(t.Context(), []Demand{demand("a", "x", 4), demand("b", "x", 4)}, false)
	assert.False(t, answers[len(answers)-1].Admits())
	assert.Zero(t, taken(t, s, "a"), "all or none are charged")
}

func TestLimitsInForce(t *testing.T) {
	limit := func(generation, most int64, each *int64, e v1alpha1.BudgetEnforcement) *v1alpha1.BudgetLimits {
		return &v1alpha1.BudgetLimits{Generation: generation, Max: most, MaxPerNamespace: each, Enforcement: e}
	}
	for name, c := range map[string]struct {
		spec    v1alpha1.GPUBudgetSpec
		before  *v1alpha1.BudgetLimits
		want    ledger.Limits
		enforce v1alpha1.BudgetEnforcement
	}{
		"none known yet":                      {v1alpha1.GPUBudgetSpec{Max: new(int64(8))}, nil, ledger.Limits{Max: 8}, v1alpha1.BudgetDeny},
		"of this generation":                  {v1alpha1.GPUBudgetSpec{Max: new(int64(8)), Enforcement: "Warn"}, limit(2, 4, nil, "Deny"), ledger.Limits{Max: 8}, v1alpha1.BudgetWarn},
		"raised":                              {v1alpha1.GPUBudgetSpec{Max: new(int64(8))}, limit(1, 4, nil, ""), ledger.Limits{Max: 4}, v1alpha1.BudgetDeny},
		"lowered":                             {v1alpha1.GPUBudgetSpec{Max: new(int64(2))}, limit(1, 4, nil, ""), ledger.Limits{Max: 2}, v1alpha1.BudgetDeny},
		"a namespace's share that goes":       {v1alpha1.GPUBudgetSpec{Max: new(int64(8))}, limit(1, 8, new(int64(3)), ""), ledger.Limits{Max: 8, MaxPerNamespace: new(int64(3))}, v1alpha1.BudgetDeny},
		"a namespace's share that is new":     {v1alpha1.GPUBudgetSpec{Max: new(int64(8)), MaxPerNamespace: new(int64(3))}, limit(1, 8, nil, ""), ledger.Limits{Max: 8, MaxPerNamespace: new(int64(3))}, v1alpha1.BudgetDeny},
		"no longer refuses":                   {v1alpha1.GPUBudgetSpec{Max: new(int64(8)), Enforcement: "Audit"}, limit(1, 8, nil, "Deny"), ledger.Limits{Max: 8}, v1alpha1.BudgetDeny},
		"refuses from now on":                 {v1alpha1.GPUBudgetSpec{Max: new(int64(8))}, limit(1, 8, nil, "Audit"), ledger.Limits{Max: 8}, v1alpha1.BudgetDeny},
		"warns where it audited":              {v1alpha1.GPUBudgetSpec{Max: new(int64(8)), Enforcement: "Warn"}, limit(1, 8, nil, "Audit"), ledger.Limits{Max: 8}, v1alpha1.BudgetWarn},
		"one that this version does not know": {v1alpha1.GPUBudgetSpec{Max: new(int64(8)), Enforcement: "Warn"}, limit(1, 8, nil, "Later"), ledger.Limits{Max: 8}, "Later"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &v1alpha1.GPUBudget{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: c.spec, Status: v1alpha1.GPUBudgetStatus{Limits: c.before}}
			assert.Equal(t, c.want, Limits(b))
			assert.Equal(t, c.enforce, Enforcement(b))
		})
	}
}

func TestHowLongCountingTakes(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		by   *metav1.Time
		want int32
	}{
		"nobody has said":       {nil, 0},
		"a minute":              {&metav1.Time{Time: now.Add(time.Minute)}, 61},
		"over by now":           {&metav1.Time{Time: now.Add(-time.Hour)}, 1},
		"a clock that is ahead": {&metav1.Time{Time: now.Add(time.Hour)}, 300},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, counting(&v1alpha1.GPUBudget{Status: v1alpha1.GPUBudgetStatus{CountedBy: c.by}}, now))
		})
	}
	assert.Equal(t, "its claims are being counted, for about 48 s more", Wait(retryCounting, 48))
	assert.Equal(t, "it has just been changed", Wait(retryChanged, 1))
	assert.Equal(t, "its claims are being counted", Wait(retryCounting, 0), "for how long is not known")
}

// TestHowLongCountingANamespaceTakes: from when a replica knows of it on, no longer than it takes at most.
func TestHowLongCountingANamespaceTakes(t *testing.T) {
	b := counted("cluster", 10)
	b.Status.Namespaces = []v1alpha1.NamespaceClaims{{Name: "listed"}}
	book, err := ledger.Read(&b.Status)
	require.NoError(t, err)
	begun := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	w := &worker{namespaceWait: 65 * time.Second}
	for _, c := range []struct {
		namespace string
		after     time.Duration
		want      int32
	}{{"a", 0, 66}, {"b", 20 * time.Second, 66}, {"a", 20 * time.Second, 46}, {"a", 64500 * time.Millisecond, 1}, {"a", time.Hour, 1}} {
		assert.Equal(t, c.want, w.countingIn(c.namespace, book, begun.Add(c.after)), c)
	}
	w.uncounted["listed"] = begun
	assert.EqualValues(t, 66, w.countingIn("c", book, begun))
	assert.NotContains(t, w.uncounted, "listed", "it was counted")
	assert.Zero(t, (&worker{}).countingIn("a", book, begun), "nobody said how long it takes")
}
