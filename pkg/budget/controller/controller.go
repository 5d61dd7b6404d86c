package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

const (
	// every is how often everything is counted although nothing seems to have changed.
	every = 5 * time.Minute
	// soon is when to look again after somebody else wrote, or for replicas that have not
	// seen a budget yet.
	soon = 500 * time.Millisecond
	// settle is how long to wait after a change for the ones that come with it.
	settle = 300 * time.Millisecond
	// share bounds the time that counting takes: after a round of a second, rest for 10,
	// but never for longer than Wait.
	share = 10
)

// LedgerStore keeps the budgets.
type LedgerStore interface {
	charge.Store
	// List reads all budgets uncached. Those that cannot be decoded are left out.
	List(ctx context.Context) ([]v1alpha1.GPUBudget, error)
}

// BaseStore makes the bases of ledgers, and deletes those that are of no more use.
type BaseStore interface {
	Make(ctx context.Context, b *v1alpha1.GPUBudget, parts [][]byte) (*ledger.Base, error)
	Sweep(ctx context.Context, b *v1alpha1.GPUBudget, wait time.Duration) (left int, err error)
}

// CountOptions of a controller.
type CountOptions struct {
	Store LedgerStore
	// Bases is nil where every ledger stands in its budget's status.
	Bases BaseStore
	// Inventory reads all objects uncached, and has them counted before it returns.
	Inventory func(ctx context.Context, count func(*cluster.Objects)) error
	// Replicas are what all webhook replicas go by.
	Replicas func(context.Context) ([]charge.Seen, error)
	// World is what verdicts are based on, without the labels of namespaces; ok is false
	// as long as it is not known.
	World func() (w review.World, ok bool)
	// NotRegistered says why admissions are not sent to the webhook as they should be; empty
	// if they are. Nil is for tests that do not look at it.
	NotRegistered func() string
	// Excluded are the namespaces that admission leaves alone: nothing there is counted.
	Excluded []string
	// Wait is longer than the API server lets a request run.
	Wait    time.Duration
	Events  record.EventRecorder
	Metrics *LedgerMetrics
	Log     logr.Logger
}

// Controller counts, in one replica at a time.
type Controller struct {
	CountOptions
	wake    chan struct{}
	budgets map[string]*followed
}

// followed is what is remembered of a budget from round to round.
type followed struct {
	uid     types.UID
	tracker ledger.Tracker
	// swept is whether there are no bases but the one that the status names.
	swept bool
	// agreed is when every replica went by this generation and these rules, and the ledger, settled
	// that often, let nothing rise.
	agreed      time.Time
	generation  int64
	rules       string
	settlements int64
}

// New makes a controller.
func New(o CountOptions) *Controller {
	return &Controller{CountOptions: o, wake: make(chan struct{}, 1)}
}

// Changed tells that something may claim more or less than before. It never blocks.
func (c *Controller) Changed() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run counts until the context ends.
func (c *Controller) Run(ctx context.Context) error {
	c.budgets = map[string]*followed{}
	defer c.Metrics.forget()
	for {
		begun := time.Now()
		next, err := c.round(ctx)
		if err != nil && ctx.Err() == nil {
			c.Log.Error(err, "counting failed, trying again")
			next = 4 * soon
		}
		if next == 0 || next > every {
			next = every
		}
		rest := time.NewTimer(c.rest(time.Since(begun)))
		again := time.NewTimer(next)
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		case <-c.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-rest.C:
		}
		again.Stop()
	}
}

// rest is how long to wait after a round. Without a bound, a round that the API server kept
// waiting for seconds would keep what is freed from everybody for minutes.
func (c *Controller) rest(took time.Duration) time.Duration {
	return max(settle, min(share*took, c.Wait))
}

// round counts everything once and brings every ledger up to date. next is when to look
// again if nothing changes; 0 is any time.
func (c *Controller) round(ctx context.Context) (next time.Duration, err error) {
	w, ok := c.World()
	if !ok {
		return soon, nil
	}
	replicas, err := c.Replicas(ctx)
	if err != nil {
		return 0, err
	}
	agreed := time.Now()
	stored, err := c.Store.List(ctx)
	if err != nil {
		return 0, err
	}
	c.forget(stored)
	if len(stored) == 0 {
		return 0, nil
	}
	listed := time.Now()
	r := &round{Controller: c, replicas: replicas, agreed: agreed, listed: listed, rules: policy.Rules(w.Policies, w.Knative), operators: w.Policies.Operators()}
	err = c.Inventory(ctx, func(objects *cluster.Objects) {
		r.namespaces = objects.Namespaces
		w.NamespaceLabels = func(name string) (map[string]string, bool) {
			labels, known := r.namespaces[name]
			return labels, known
		}
		r.all = usage.Without(usage.All(w, objects), c.Excluded)
	})
	if err != nil {
		return 0, err
	}
	var failed error // of one budget; the others go on
	for i := range stored {
		in, err := r.budget(ctx, &stored[i])
		switch {
		case apierrors.IsConflict(err):
			in = soon // an admission was faster
		case apierrors.IsNotFound(err):
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("writing the ledger of budget %s: %w", stored[i].Name, err))
		}
		if in > 0 && (next == 0 || in < next) {
			next = in
		}
	}
	return next, failed
}

// forget drops what is remembered of budgets that are gone.
func (c *Controller) forget(stored []v1alpha1.GPUBudget) {
	there := map[string]types.UID{}
	for i := range stored {
		there[stored[i].Name] = stored[i].UID
	}
	for name, f := range c.budgets {
		if there[name] != f.uid {
			delete(c.budgets, name)
			c.Metrics.gone(name)
		}
	}
}

func (c *Controller) follow(b *v1alpha1.GPUBudget) *followed {
	f := c.budgets[b.Name]
	if f == nil {
		f = &followed{uid: b.UID}
		c.budgets[b.Name] = f
	}
	return f
}

// event tells of a change of a condition.
func (c *Controller) event(b *v1alpha1.GPUBudget, problem bool, reason, message string) {
	kind := corev1.EventTypeNormal
	if problem {
		kind = corev1.EventTypeWarning
	}
	if c.Events != nil {
		c.Events.Event(b, kind, reason, message)
	}
}
