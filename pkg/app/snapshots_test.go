package app

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// sources stand in for the cluster.
type sources struct {
	mu            sync.Mutex
	unsynced      error
	policies      []manifest.Object
	policiesError error
	policyReads   int
	budgets       []manifest.Object
	autoscaler    map[string]string
	knativeReads  int
}

func (f *sources) snapshots(t *testing.T, e *requestHandler) *snapshots {
	t.Helper()
	metrics, err := newSnapshotMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	s := newSnapshots(e, metrics, logr.Discard())
	s.synced = func() error { f.mu.Lock(); defer f.mu.Unlock(); return f.unsynced }
	s.readPolicies = func(context.Context) ([]manifest.Object, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.policyReads++
		return f.policies, f.policiesError
	}
	s.readBudgets = func(context.Context) ([]manifest.Object, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.budgets, nil
	}
	s.readKnative = func() (*knative.Config, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.knativeReads++
		return knative.ParseConfig(map[string]map[string]string{knative.AutoscalerConfig: f.autoscaler})
	}
	return s
}

// set changes the cluster.
func (f *sources) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// run starts it in the background of a synctest bubble.
func (f *sources) run(t *testing.T) (*requestHandler, *snapshots) {
	e := &requestHandler{}
	s := f.snapshots(t, e)
	go func() { _ = s.Start(t.Context()) }()
	synctest.Wait()
	return e, s
}

func TestSnapshotsReadOnlyWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &sources{}
		e, s := f.run(t)
		require.NoError(t, e.ready())
		first := e.current.Load()
		assert.Equal(t, [2]int{1, 1}, [2]int{f.policyReads, f.knativeReads})

		time.Sleep(time.Hour)
		assert.Equal(t, [2]int{1, 1}, [2]int{f.policyReads, f.knativeReads}, "nothing is read for nothing")

		f.set(func() { f.policies = []manifest.Object{{"metadata": manifest.Object{"name": "p"}}} })
		for range 100 {
			s.changedPolicies() // never blocks
		}
		synctest.Wait()
		second := e.current.Load()
		assert.NotSame(t, first.policies, second.policies)
		assert.Same(t, first.knative, second.knative)
		assert.LessOrEqual(t, f.policyReads, 3, "a burst is one change or two")
		assert.Equal(t, 1.0, testutil.ToFloat64(s.metrics.policies))

		s.changedKnative()
		synctest.Wait()
		third := e.current.Load()
		assert.Same(t, second.policies, third.policies)
		assert.NotSame(t, second.knative, third.knative)
	})
}

func TestSnapshotsWaitForTheFirstLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &sources{unsynced: errors.New("ComputePolicies have not been read yet")}
		e, _ := f.run(t)
		assert.EqualError(t, e.ready(), "ComputePolicies have not been read yet")
		assert.Zero(t, f.policyReads)
		f.set(func() { f.unsynced = nil })
		time.Sleep(retryReading)
		synctest.Wait()
		assert.NoError(t, e.ready())
	})
}

func TestSnapshotsKeepTheLastGoodKnativeConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &sources{autoscaler: map[string]string{"max-scale": "7"}}
		e, s := f.run(t)
		good := e.current.Load().knative
		require.NotNil(t, good)

		f.set(func() { f.autoscaler = map[string]string{"max-scale": "many"} })
		s.changedKnative()
		synctest.Wait()
		assert.Same(t, good, e.current.Load().knative)
		assert.NoError(t, e.ready())
		assert.Equal(t, 1.0, testutil.ToFloat64(s.metrics.knativeInvalid))

		f.set(func() { f.autoscaler = map[string]string{"max-scale": "8"} })
		s.changedKnative()
		synctest.Wait()
		assert.NotSame(t, good, e.current.Load().knative)
		assert.Zero(t, testutil.ToFloat64(s.metrics.knativeInvalid))
	})
}

func TestSnapshotsAreNotReadyWithoutAnyGoodKnativeConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &sources{autoscaler: map[string]string{"max-scale": "many"}}
		e, s := f.run(t)
		time.Sleep(time.Minute)
		assert.ErrorContains(t, e.ready(), "Knative's configuration: ConfigMap config-autoscaler")
		assert.Equal(t, 1, f.knativeReads, "only a change is worth another try")
		assert.Equal(t, 1, f.policyReads)

		f.set(func() { f.autoscaler = nil })
		s.changedKnative()
		synctest.Wait()
		require.NoError(t, e.ready())
		assert.NotNil(t, e.current.Load().policies, "what was read before is not lost")
	})
}

func TestSnapshotsTryAgainToReadPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &sources{policiesError: errors.New("no cache")}
		e, _ := f.run(t)
		assert.EqualError(t, e.ready(), "reading the policies: no cache")
		f.set(func() { f.policiesError = nil })
		time.Sleep(retryReading)
		synctest.Wait()
		assert.NoError(t, e.ready())
	})
}

func TestAPolicyThatDoesNotDecodeLeavesTheOthersInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stored := func(name string, spec any) manifest.Object {
			return manifest.Object{"metadata": manifest.Object{"name": name}, "spec": spec}
		}
		f := &sources{policies: []manifest.Object{
			stored("good", manifest.Object{"bounds": manifest.Object{"maxScale": manifest.Object{"max": int64(5), "enforcement": "Clamp"}, "minScale": manifest.Object{"max": int64(1)}}}),
			stored("mistaken", manifest.Object{"enforcement": "Sometimes"}),
			stored("mistyped", manifest.Object{"priority": "high", "gpuResources": []any{"acme.com/chip"}}),
			stored("silent", nil),
		}}
		e, s := f.run(t)
		require.NoError(t, e.ready(), "an invalid policy fails closed by itself")
		assert.Equal(t, map[string]field.ErrorList{
			"mistaken": {field.NotSupported(field.NewPath("spec", "enforcement"), v1alpha1.Enforcement("Sometimes"), []v1alpha1.Enforcement{"Deny", "Clamp", "Warn", "Audit"})},
			"mistyped": {field.TypeInvalid(field.NewPath("spec", "priority"), "high", "must be a whole number")},
		}, e.current.Load().policies.Invalid())
		assert.True(t, e.current.Load().policies.GPUResources().Match("acme.com/chip"), "what it calls a GPU is one")
		assert.NoError(t, testutil.CollectAndCompare(s.metrics.policyInfo, strings.NewReader(`# HELP kubetorch_webhook_policy_info Always 1; the labels say how a policy's bounds are enforced. A policy with bounds of several kinds has several rows.
# TYPE kubetorch_webhook_policy_info gauge
kubetorch_webhook_policy_info{enforcement="Clamp",policy="good"} 1
kubetorch_webhook_policy_info{enforcement="Deny",policy="good"} 1
kubetorch_webhook_policy_info{enforcement="Invalid",policy="mistaken"} 1
kubetorch_webhook_policy_info{enforcement="Invalid",policy="mistyped"} 1
kubetorch_webhook_policy_info{enforcement="None",policy="silent"} 1
`)))
		assert.Equal(t, 4.0, testutil.ToFloat64(s.metrics.policies))
		assert.Equal(t, 2.0, testutil.ToFloat64(s.metrics.policiesInvalid))
	})
}

func TestBudgetsAreUsedAsTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &sources{}
		e, s := f.run(t)
		require.NotNil(t, e.current.Load())
		assert.True(t, e.current.Load().budgets.None())

		f.set(func() {
			f.budgets = []manifest.Object{
				{"metadata": manifest.Object{"name": "cluster", "generation": int64(3)}, "spec": manifest.Object{"max": int64(8)}},
				{"metadata": manifest.Object{"name": "odd", "generation": int64(1)}, "spec": manifest.Object{"max": "many"}},
			}
		})
		s.changedBudgets()
		synctest.Wait()
		budgets := e.current.Load().budgets
		require.Len(t, budgets.All(), 1)
		assert.Equal(t, "cluster", budgets.All()[0].Name)
		assert.Equal(t, []string{"odd"}, budgets.Invalid())
		seen, ok := e.seen()
		assert.True(t, ok)
		assert.Equal(t, map[string]string{"cluster": "/3", "odd": "/1"}, seen.Budgets)
	})
}
