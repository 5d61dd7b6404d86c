package charge

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
)

// memoryStore stores with compare-and-swap, as the API server does, and takes its time.
type memoryStore struct {
	mu      sync.Mutex
	budgets map[string]*v1alpha1.GPUBudget
	cached  map[string]*v1alpha1.GPUBudget // nil: as stored
	latency time.Duration
	reads   int
	writes  int
	failing error
	// base reads that of a budget; nil where none has one.
	base func(*v1alpha1.GPUBudget) (*ledger.Base, error)
	// raise is called before a write is looked at: another replica's.
	raise func()
}

func newStore(budgets ...*v1alpha1.GPUBudget) *memoryStore {
	s := &memoryStore{budgets: map[string]*v1alpha1.GPUBudget{}}
	for _, b := range budgets {
		s.budgets[b.Name] = b
	}
	return s
}

func (s *memoryStore) Cached(_ context.Context, name string) (*v1alpha1.GPUBudget, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.cached[name]; b != nil {
		return b, nil
	}
	return s.budgets[name], nil
}

func (s *memoryStore) Live(_ context.Context, name string) (*v1alpha1.GPUBudget, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.budgets[name], s.failing
}

func (s *memoryStore) Base(_ context.Context, b *v1alpha1.GPUBudget) (*ledger.Base, error) {
	if s.base != nil {
		return s.base(b)
	}
	return nil, nil
}

func (s *memoryStore) Write(_ context.Context, b *v1alpha1.GPUBudget) (*v1alpha1.GPUBudget, error) {
	time.Sleep(s.latency)
	if s.raise != nil {
		s.raise()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return nil, s.failing
	}
	now := s.budgets[b.Name]
	if now.ResourceVersion != b.ResourceVersion {
		return nil, apierrors.NewConflict(resource.GroupResource(), b.Name, errors.New("changed"))
	}
	s.writes++
	stored := b.DeepCopy()
	stored.ResourceVersion = next(now.ResourceVersion)
	s.budgets[b.Name] = stored
	return stored, nil
}

func next(version string) string {
	n, _ := strconv.Atoi(version)
	return strconv.Itoa(n + 1)
}

func counted(name string, maximum int64) *v1alpha1.GPUBudget {
	return &v1alpha1.GPUBudget{
		ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 1, ResourceVersion: "1"},
		Spec:       v1alpha1.GPUBudgetSpec{Max: &maximum},
		Status: v1alpha1.GPUBudgetStatus{Rules: "r", Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionCounted, Status: metav1.ConditionTrue, ObservedGeneration: 1}}},
	}
}

func demand(budget, object string, gpus int64) Demand {
	return Demand{Budget: budget, Version: "/1", Rules: "r", Charges: []ledger.Charge{
		{Key: ledger.ForUID(types.UID(object)), Namespace: "a", Kind: "Service", Name: object, Amount: ledger.Amount{GPUs: gpus}}}}
}

func taken(t *testing.T, s *memoryStore, name string) int64 {
	t.Helper()
	b := s.budgets[name]
	return b.Status.Used + b.Status.Reserved
}

func TestThousandsAtOnceFillABudgetExactly(t *testing.T) {
	const replicas, requests, maximum = 3, 2000, 777
	s := newStore(counted("cluster", maximum))
	s.latency = time.Millisecond
	registry := prometheus.NewRegistry()
	metrics, err := NewWriteMetrics(registry)
	require.NoError(t, err)
	var chargers []*Charger
	for range replicas {
		chargers = append(chargers, NewCharger(s, metrics))
	}
	var admitted, busy sync.Map
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			gpus := int64(i%7 + 1)
			a := chargers[i%replicas].Charge(t.Context(), []Demand{demand("cluster", fmt.Sprint("o", i), gpus)}, false)[0]
			switch {
			case a.Fits:
				admitted.Store(i, gpus)
			case a.Retry != "":
				busy.Store(i, true)
			}
		})
	}
	wg.Wait()
	var sum int64
	admitted.Range(func(_, gpus any) bool { sum += gpus.(int64); return true })
	assert.Equal(t, taken(t, s, "cluster"), sum, "the ledger holds what was admitted")
	assert.LessOrEqual(t, sum, int64(maximum))
	unanswered := 0
	busy.Range(func(any, any) bool { unanswered++; return true })
	if unanswered == 0 {
		assert.EqualValues(t, maximum, sum, "claims of one GPU were waiting")
	}
	charges := testutil.ToFloat64(metrics.charges.WithLabelValues("cluster"))
	assert.Greater(t, charges, 3*float64(s.writes), "requests that wait together share a write")
}

func TestNobodyIsRefusedForAnOldCache(t *testing.T) {
	s := newStore(counted("cluster", 10))
	full := s.budgets["cluster"].DeepCopy()
	book, err := ledger.Read(&full.Status)
	require.NoError(t, err)
	require.True(t, book.Charge(ledger.Limits{Max: 10}, "t", demand("cluster", "old", 10).Charges...).Fits)
	book.Write(&full.Status, 10)
	s.cached = map[string]*v1alpha1.GPUBudget{"cluster": full}
	s.budgets["cluster"].ResourceVersion = "2"

	a := NewCharger(s, nil).Charge(t.Context(), []Demand{demand("cluster", "new", 4)}, false)[0]
	assert.True(t, a.Fits)
	assert.EqualValues(t, 6, a.Free)
	assert.EqualValues(t, 4, taken(t, s, "cluster"))
}

func TestAFullBudgetRefusesWithoutAWrite(t *testing.T) {
	s := newStore(counted("cluster", 3))
	a := NewCharger(s, nil).Charge(t.Context(), []Demand{demand("cluster", "new", 4)}, false)[0]
	assert.Equal(t, Answer{Outcome: ledger.Outcome{Raised: 4, Free: 3, Of: 3}}, a)
	assert.Zero(t, s.writes)
	assert.Equal(t, 1, s.reads, "the refusal is of what is stored")
}

func TestBudgetsAreChargedTogetherOrNotAtAll(t *testing.T) {
	s := newStore(counted("a", 10), counted("b", 3))
	c := NewCharger(s, nil)
	answers := c.Charge(t.Context(), []Demand{demand("a", "x", 4), demand("b", "x", 4)}, false)
	assert.False(t, answers[len(answers)-1].Fits)
	assert.Zero(t, taken(t, s, "a"), "the first one has room, the second has not")
	answers = c.Charge(t.Context(), []Demand{demand("b", "x", 3), demand("a", "x", 3)}, false)
	require.Len(t, answers, 2)
	assert.EqualValues(t, 3, taken(t, s, "a"))
	assert.EqualValues(t, 3, taken(t, s, "b"))
}

// large takes no larger ledger.
type large struct{ *memoryStore }

func (large) Write(context.Context, *v1alpha1.GPUBudget) (*v1alpha1.GPUBudget, error) {
	return nil, fmt.Errorf("%w: so large", ErrTooLarge)
}

func TestALedgerThatIsTooLargeRefusesAndSaysSo(t *testing.T) {
	s := newStore(counted("cluster", 10))
	c := NewCharger(large{s}, nil)
	for range 2 {
		a := c.Charge(t.Context(), []Demand{demand("cluster", "x", 1)}, false)[0]
		assert.Equal(t, Answer{Retry: ErrTooLarge.Error() + ": so large"}, a)
		assert.Zero(t, taken(t, s, "cluster"))
	}
	a := c.Charge(t.Context(), []Demand{demand("cluster", "x", 1)}, true)[0]
	assert.True(t, a.Fits, "a dry run writes nothing")
}

func TestABudgetThatIsGoneAsksForNothing(t *testing.T) {
	a := NewCharger(newStore(), nil).Charge(t.Context(), []Demand{demand("cluster", "x", 1)}, false)[0]
	assert.True(t, a.Fits)
}

func TestMemory(t *testing.T) {
	a, b := counted("a", 10), counted("b", 4)
	m := NewMemory([]v1alpha1.GPUBudget{*a, *b})
	charge := func(object string, gpus int64, budgets ...string) bool {
		var demands []Demand
		for _, name := range budgets {
			demands = append(demands, demand(name, object, gpus))
		}
		answers := m.Charge(t.Context(), demands, false)
		return answers[len(answers)-1].Fits
	}
	assert.True(t, charge("x", 4, "a", "b"))
	assert.False(t, charge("y", 1, "a", "b"), "b is full")
	assert.EqualValues(t, 4, m.Status("a").Used, "and a is not charged")
	assert.True(t, charge("x", 2, "a", "b"), "a claim that falls frees")
	assert.True(t, charge("y", 1, "a", "b"))
	m.Release("a", demand("a", "x", 0).Charges[0].Key)
	assert.EqualValues(t, 1, m.Status("a").Used)
	assert.EqualValues(t, 3, m.Status("b").Available)
	assert.True(t, m.Charge(t.Context(), []Demand{demand("a", "z", 9)}, true)[0].Fits)
	assert.EqualValues(t, 1, m.Status("a").Used, "a dry run changes nothing")
}

// Who looks is told what is free and what the entries hold: from what is known, and nothing is written.
func TestALookChargesNothing(t *testing.T) {
	store := newStore(counted("b", 10))
	c := NewCharger(store, nil)
	charged := demand("b", "one", 4)
	require.True(t, c.Charge(t.Context(), []Demand{charged}, false)[0].Fits)
	reads, writes := store.reads, store.writes

	look := demand("b", "one", 100)
	look.Look = true
	look.Charges = append(look.Charges, demand("b", "two", 100).Charges...)
	answers := c.Charge(t.Context(), []Demand{look}, true)
	require.Len(t, answers, 1)
	assert.Equal(t, []int64{4, 0}, answers[0].Held)
	assert.Equal(t, []any{true, int64(6), int64(10)}, []any{answers[0].Fits, answers[0].Free, answers[0].Of})
	assert.Equal(t, [2]int{reads, writes}, [2]int{store.reads, store.writes})
	assert.EqualValues(t, 4, taken(t, store, "b"))
}
