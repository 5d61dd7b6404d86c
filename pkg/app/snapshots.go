package app

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// retryReading is how long to wait after something could not be read.
const retryReading = 2 * time.Second

// snapshots makes a new snapshot after every change of policies or of Knative's
// configuration. Requests never wait for it: they use the latest one.
type snapshots struct {
	handler *requestHandler
	// synced is nil once both can be read completely.
	synced func() error
	// readPolicies reads them as they are stored.
	readPolicies func(context.Context) ([]manifest.Object, error)
	readKnative  func() (*knative.Config, error)
	// readClasses are the DeviceClasses that the cluster has; nil has none.
	readClasses func() []workload.DeviceClass
	// operators are the kinds whose operators make pods; nil for those that the program comes with.
	operators *workload.Operators
	// excluded are the namespaces whose objects are not counted, as the installation states them.
	excluded []string
	// readBudgets reads them as they are stored.
	readBudgets func(context.Context) ([]manifest.Object, error)
	// replaced is called after a new snapshot is in use, if it is not nil.
	replaced func()
	metrics  *snapshotMetrics
	log      logr.Logger

	policiesChanged, budgetsChanged, knativeChanged, classesChanged atomic.Bool
	wake                                                            chan struct{}

	// draft has the latest good state of both parts.
	draft snapshot

	mu      sync.Mutex
	problem error
}

func newSnapshots(e *requestHandler, metrics *snapshotMetrics, log logr.Logger) *snapshots {
	s := &snapshots{handler: e, metrics: metrics, log: log, wake: make(chan struct{}, 1)}
	s.policiesChanged.Store(true)
	s.budgetsChanged.Store(true)
	s.knativeChanged.Store(true)
	s.classesChanged.Store(true)
	e.missing = s.missing
	return s
}

// changedPolicies and changedKnative tell that the next snapshot differs. They never
// block.
func (s *snapshots) changedPolicies() { s.policiesChanged.Store(true); s.poke() }
func (s *snapshots) changedBudgets()  { s.budgetsChanged.Store(true); s.poke() }
func (s *snapshots) changedKnative()  { s.knativeChanged.Store(true); s.poke() }
func (s *snapshots) changedClasses()  { s.classesChanged.Store(true); s.poke() }

func (s *snapshots) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // already awake
	}
}

// missing says why there is no snapshot.
func (s *snapshots) missing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}

// NeedLeaderElection tells the manager that every replica decides.
func (*snapshots) NeedLeaderElection() bool { return false }

// Start makes snapshots until the context ends.
func (s *snapshots) Start(ctx context.Context) error {
	for {
		err := s.refresh(ctx)
		s.mu.Lock()
		s.problem = err
		s.mu.Unlock()
		var retry <-chan time.Time
		if err != nil {
			retry = time.After(retryReading)
			if s.synced() != nil {
				retry = time.After(retryReading / 20) // the first lists are under way
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-retry:
		}
	}
}

// refresh replaces the parts that changed. With an error the parts in use stay.
func (s *snapshots) refresh(ctx context.Context) error {
	if err := s.synced(); err != nil {
		return err
	}
	if s.policiesChanged.Swap(false) {
		if err := s.refreshPolicies(ctx); err != nil {
			s.policiesChanged.Store(true) // tried again, changed or not
			return err
		}
		s.classesChanged.Store(true)
	}
	if s.classesChanged.Swap(false) && s.readClasses != nil {
		// What claims a resource name decides what counts as a GPU.
		s.draft.policies = s.draft.policies.WithClasses(s.readClasses())
	}
	if s.budgetsChanged.Swap(false) {
		if err := s.refreshBudgets(ctx); err != nil {
			s.budgetsChanged.Store(true)
			return err
		}
	}
	if s.knativeChanged.Swap(false) {
		if err := s.refreshKnative(); err != nil {
			return err
		}
	}
	if s.draft.knative == nil {
		return s.missing() // still invalid, nothing changed
	}
	next := s.draft
	s.handler.current.Store(&next)
	if s.replaced != nil {
		s.replaced()
	}
	return nil
}

func (s *snapshots) refreshPolicies(ctx context.Context) error {
	policies, err := s.readPolicies(ctx)
	if err != nil {
		return fmt.Errorf("reading the policies: %w", err)
	}
	s.draft.policies = policy.CompileStored(policies)
	if s.operators != nil {
		s.draft.policies = s.draft.policies.WithOperators(*s.operators)
	}
	s.draft.policies = s.draft.policies.Excluding(s.excluded)
	s.metrics.policiesAre(s.draft.policies)
	s.metrics.adopted(partPolicies)
	logPolicies(s.log, s.draft.policies)
	return nil
}

func (s *snapshots) refreshBudgets(ctx context.Context) error {
	stored, err := s.readBudgets(ctx)
	if err != nil {
		return fmt.Errorf("reading the budgets: %w", err)
	}
	s.draft.budgets = policy.CompileStoredBudgets(stored)
	s.metrics.adopted(partBudgets)
	for _, name := range s.draft.budgets.Invalid() {
		s.log.Error(nil, "invalid GPUBudget: no claim of GPUs may rise until it is mended", "budget", name)
	}
	s.log.Info("using new budgets", "count", len(stored))
	return nil
}

func (s *snapshots) refreshKnative() error {
	config, err := s.readKnative()
	s.metrics.knativeIs(err == nil)
	switch {
	case err == nil:
		s.draft.knative = config
		s.log.Info("using new Knative configuration", "hpa", config.HPAInstalled())
	case s.draft.knative != nil:
		// Knative itself goes on with its last good state too.
		s.log.Error(err, "invalid Knative configuration, keeping the last good one")
	default:
		// Nothing to fall back to. The next change of a ConfigMap tries again.
		s.log.Error(err, "invalid Knative configuration, not ready until it is repaired")
		return fmt.Errorf("reading Knative's configuration: %w", err)
	}
	return nil
}
