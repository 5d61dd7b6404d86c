package charge

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
)

// Store keeps the ledgers of a cluster.
type Store interface {
	// Cached is a budget as it was a moment ago, Live as it is. Neither result is changed
	// by the caller. A budget that does not exist is nil.
	Cached(ctx context.Context, name string) (*v1alpha1.GPUBudget, error)
	Live(ctx context.Context, name string) (*v1alpha1.GPUBudget, error)
	// Base is that of a budget's ledger, as its status names it; nil if it names none. It is ErrNoBase
	// if it is not there any more.
	Base(ctx context.Context, b *v1alpha1.GPUBudget) (*ledger.Base, error)
	// Write stores a status if the budget still has the resource version that it has here,
	// and returns it as stored; else a Conflict error.
	Write(ctx context.Context, b *v1alpha1.GPUBudget) (*v1alpha1.GPUBudget, error)
}

// Charger charges the admissions of one webhook replica.
type Charger struct {
	// UnseenShare is how much of what a budget's settled claims leave free the reservations of one
	// namespace may hold that are not seen stored yet, in percent; 0 is any share. It is set
	// before the first charge.
	UnseenShare int64
	// NamespaceWait is how long it takes at most to count a namespace that a budget comes to select; 0 if that is not
	// known. It is set before the first charge.
	NamespaceWait time.Duration
	// Forward has the replica that writes the ledgers decide a demand; ok is false where it did not. It is set before
	// the first charge; nil where this replica decides all.
	Forward func(ctx context.Context, d *Demand) (a Answer, ok bool)

	store   Store
	metrics *WriteMetrics

	mu      sync.Mutex
	workers map[string]*worker
}

// NewCharger makes a charger. Metrics may be nil.
func NewCharger(store Store, metrics *WriteMetrics) *Charger {
	return &Charger{store: store, metrics: metrics, workers: map[string]*worker{}}
}

// Charge charges what one admission asks, to all of the budgets or, where one of them
// refuses, as far as it can be told before, to none. Nothing is written for a dry run. The
// answers are in the order of the demands, as far as they were asked.
//
// What is charged is given back by the controller if the object is never seen: an
// admission step behind this one may refuse it.
func (c *Charger) Charge(ctx context.Context, demands []Demand, dryRun bool) []Answer {
	ordered := slices.Clone(demands)
	slices.SortFunc(ordered, func(a, b Demand) int { return cmp.Compare(a.Budget, b.Budget) })
	// With several budgets, look before charging the first of them.
	if dryRun || len(ordered) > 1 {
		if answers, fits := c.all(ctx, ordered, true); dryRun || !fits {
			return answers
		}
	}
	answers, _ := c.all(ctx, ordered, false)
	return answers
}

func (c *Charger) all(ctx context.Context, demands []Demand, dryRun bool) (answers []Answer, fits bool) {
	for i := range demands {
		a, decided := Answer{}, false
		if !dryRun && c.Forward != nil {
			a, decided = c.Forward(ctx, &demands[i])
		}
		if !decided {
			a = c.decide(ctx, &demands[i], dryRun)
		}
		answers = append(answers, a)
		if !a.Admits() && (a.Retry == "" || !demands[i].Optional) {
			return answers, false
		}
	}
	return answers, true
}

// decide decides a demand in this replica.
func (c *Charger) decide(ctx context.Context, d *Demand, dryRun bool) Answer {
	return c.worker(d.Budget).do(ctx, &attempt{demand: d, dryRun: dryRun})
}

func (c *Charger) worker(name string) *worker {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.workers[name]
	if w == nil {
		w = &worker{name: name, store: c.store, metrics: c.metrics, share: c.UnseenShare, namespaceWait: c.NamespaceWait}
		c.workers[name] = w
	}
	return w
}
