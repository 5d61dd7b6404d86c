package controller

import (
	"context"
	"maps"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

const wait = time.Minute

// fake is the cluster: one budget, Deployments and the replicas' leases.
type fake struct {
	mu      sync.Mutex
	budget  *v1alpha1.GPUBudget
	objects map[string]int64 // GPUs by UID
	seen    int64            // the generation that the replicas go by
	rules   string
	// others are further replicas, and what they go by.
	others  []charge.Seen
	events  *record.FakeRecorder
	metrics *LedgerMetrics
	bases   *charge.Bases // nil: there are none
	earlier bool          // whether the replica is of a version that knows of no bases
	// beside are namespaces beside the one with the objects.
	beside map[string]map[string]string
	c      *Controller
}

func (f *fake) Cached(ctx context.Context, name string) (*v1alpha1.GPUBudget, error) {
	return f.Live(ctx, name)
}

func (f *fake) Live(context.Context, string) (*v1alpha1.GPUBudget, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.budget.DeepCopy(), nil
}

func (f *fake) List(context.Context) ([]v1alpha1.GPUBudget, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.budget == nil {
		return nil, nil
	}
	return []v1alpha1.GPUBudget{*f.budget.DeepCopy()}, nil
}

func (f *fake) Base(ctx context.Context, b *v1alpha1.GPUBudget) (*ledger.Base, error) {
	return f.bases.Of(ctx, b)
}

func (f *fake) Write(_ context.Context, b *v1alpha1.GPUBudget) (*v1alpha1.GPUBudget, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.budget.ResourceVersion != b.ResourceVersion {
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: "gpubudgets"}, b.Name, nil)
	}
	stored := f.budget.DeepCopy()
	stored.Status = *b.Status.DeepCopy()
	f.bump(stored)
	return stored, nil
}

func (f *fake) bump(b *v1alpha1.GPUBudget) {
	n, _ := strconv.Atoi(b.ResourceVersion)
	b.ResourceVersion = strconv.Itoa(n + 1)
	f.budget = b
}

// change changes the cluster, and lets the controller see it.
func (f *fake) change(do func()) {
	f.mu.Lock()
	do()
	f.mu.Unlock()
	f.c.Changed()
	time.Sleep(2 * soon)
	synctest.Wait()
}

func (f *fake) inventory(_ context.Context, count func(*cluster.Objects)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := &cluster.Objects{Namespaces: map[string]map[string]string{"a": {}}}
	maps.Copy(o.Namespaces, f.beside)
	for uid, gpus := range f.objects {
		o.Deployments = append(o.Deployments, cluster.Of(manifest.Object{"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": manifest.Object{"name": uid, "namespace": "a", "uid": uid},
			"spec": manifest.Object{"replicas": int64(1), "template": manifest.Object{"spec": manifest.Object{"containers": []any{
				manifest.Object{"resources": manifest.Object{"limits": manifest.Object{"nvidia.com/gpu": gpus}}}}}}}}))
	}
	count(o)
	return nil
}

// charge is an admission.
func (f *fake) charge(t *testing.T, uid string, gpus int64) {
	t.Helper()
	b := f.budget.DeepCopy()
	book, err := ledger.Read(&b.Status)
	require.NoError(t, err)
	require.True(t, book.Charge(charge.Limits(b), strconv.FormatInt(time.Now().UnixNano(), 36),
		ledger.Charge{Key: ledger.ForUID(types.UID(uid)), Namespace: "a", Amount: ledger.Amount{GPUs: gpus}}).Fits)
	book.Write(&b.Status, *b.Spec.Max)
	f.bump(b)
}

func (f *fake) condition(kind string) (status metav1.ConditionStatus, reason string) {
	if c := meta.FindStatusCondition(f.budget.Status.Conditions, kind); c != nil {
		return c.Status, c.Reason
	}
	return "", ""
}

func (f *fake) assertCounted(t *testing.T, status metav1.ConditionStatus, reason string) {
	t.Helper()
	s, r := f.condition(v1alpha1.ConditionCounted)
	assert.Equal(t, status, s)
	assert.Equal(t, reason, r)
}

// start runs a controller in a synctest bubble.
func start(t *testing.T, maximum int64) *fake {
	t.Helper()
	policies, kn := policy.Compile(nil), knative.Default()
	f := &fake{objects: map[string]int64{}, rules: policy.Rules(policies, kn), events: record.NewFakeRecorder(100),
		budget: &v1alpha1.GPUBudget{ObjectMeta: metav1.ObjectMeta{Name: "cluster", UID: "u", Generation: 1, ResourceVersion: "1"}, Spec: v1alpha1.GPUBudgetSpec{Max: &maximum}}}
	var err error
	f.metrics, err = NewLedgerMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	f.c = New(CountOptions{
		Store: f, Inventory: f.inventory, Wait: wait, Events: f.events, Metrics: f.metrics, Log: logr.Discard(),
		World: func() (review.World, bool) {
			return review.World{Policies: policies, Knative: kn, Cluster: &review.Cluster{}}, true
		},
	})
	f.c.Replicas = func(context.Context) ([]charge.Seen, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		own := charge.Seen{Budgets: map[string]string{"cluster": policy.Version("u", f.seen)}, Rules: f.rules, Bases: !f.earlier}
		return append([]charge.Seen{own}, f.others...), nil
	}
	go func() { _ = f.c.Run(t.Context()) }()
	synctest.Wait()
	return f
}

// startCounted is a controller whose budget is counted.
func startCounted(t *testing.T, maximum int64, objects map[string]int64) *fake {
	f := start(t, maximum)
	f.change(func() { f.objects, f.seen = objects, 1 })
	time.Sleep(wait + time.Second)
	synctest.Wait()
	f.assertCounted(t, metav1.ConditionTrue, "Counted")
	return f
}

func TestANewBudgetIsCountedOnceEveryReplicaHasSeenItAndRequestsHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, 10)
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForReplicas")
		time.Sleep(10 * wait)
		synctest.Wait()
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForReplicas")

		f.change(func() { f.seen, f.objects["x"] = 1, 4 })
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForRequests")
		time.Sleep(wait / 2)
		f.change(func() { f.objects["late"] = 3 }) // admitted before the replica saw the budget
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForRequests")
		time.Sleep(wait)
		synctest.Wait()
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		assert.EqualValues(t, 7, f.budget.Status.Used)
		assert.EqualValues(t, 3, f.budget.Status.Available)
		assert.EqualValues(t, 2, f.budget.Status.Workloads)
		assert.EqualValues(t, 7, testutil.ToFloat64(f.metrics.gpus.WithLabelValues("cluster", "used")))
	})
}

// TestAccountsThatMayMakePodsInASelectedNamespaceAreToldOf: whoever may write there may act as them.
func TestAccountsThatMayMakePodsInASelectedNamespaceAreToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startCounted(t, 10, map[string]int64{"x": 1})
		assert.Nil(t, meta.FindStatusCondition(f.budget.Status.Conditions, v1alpha1.ConditionMakersApart), "no such namespace is there")
		f.change(func() { f.beside = map[string]map[string]string{"jobset-system": {}, "mpi-operator": {}} })
		c := meta.FindStatusCondition(f.budget.Status.Conditions, v1alpha1.ConditionMakersApart)
		require.NotNil(t, c)
		assert.Equal(t, metav1.ConditionFalse, c.Status)
		assert.Equal(t, v1alpha1.ReasonMakersSelected, c.Reason)
		assert.Equal(t, "trusted to make pods of operators' kinds, in namespaces that this selects: jobset-system/jobset-controller-manager, mpi-operator/mpi-operator; "+
			"whoever may write there may act as these, so let no tenant write there, or have the installation leave these namespaces out", c.Message)
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		f.change(func() { f.c.Excluded = []string{"jobset-system", "mpi-operator"} })
		assert.Nil(t, meta.FindStatusCondition(f.budget.Status.Conditions, v1alpha1.ConditionMakersApart), "the installation leaves them out")
	})
}

func TestReservationsBecomeUseAtOnceAndAreFreedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startCounted(t, 10, map[string]int64{"x": 4})
		f.change(func() { f.charge(t, "y", 3); f.objects["y"] = 3 })
		assert.EqualValues(t, 7, f.budget.Status.Used)
		assert.Empty(t, f.budget.Status.Reservations)

		f.change(func() { f.charge(t, "rejected", 2) })
		assert.EqualValues(t, 2, f.budget.Status.Reserved)
		f.change(func() { delete(f.objects, "x") })
		assert.EqualValues(t, 7, f.budget.Status.Used, "the deletion has just been seen")
		time.Sleep(wait / 2)
		f.change(func() { f.charge(t, "rejected", 2) }) // tried again
		time.Sleep(wait/2 + time.Second)
		synctest.Wait()
		assert.EqualValues(t, 3, f.budget.Status.Used)
		assert.EqualValues(t, 2, f.budget.Status.Reserved, "the second try may be stored yet")
		time.Sleep(wait)
		synctest.Wait()
		assert.Zero(t, f.budget.Status.Reserved)
		assert.EqualValues(t, 7, f.budget.Status.Available)
	})
}

// respec writes another spec.
func (f *fake) respec(edit func(spec *v1alpha1.GPUBudgetSpec)) {
	b := f.budget.DeepCopy()
	b.Generation++
	edit(&b.Spec)
	f.bump(b)
}

func TestABudgetThatCountsOtherClaimsIsCountedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startCounted(t, 10, map[string]int64{"x": 4})
		f.change(func() {
			f.respec(func(spec *v1alpha1.GPUBudgetSpec) { spec.Max, spec.GPUTypes = new(int64(3)), []string{"NVIDIA-*"} })
		})
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForReplicas")
		f.change(func() { f.seen = 2 })
		time.Sleep(wait + time.Second)
		synctest.Wait()
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		status, reason := f.condition(v1alpha1.ConditionWithin)
		assert.Equal(t, metav1.ConditionFalse, status)
		assert.Equal(t, "Exceeded", reason)
		assert.EqualValues(t, 4, f.budget.Status.Used, "what runs goes on running")
		var said []string
		for len(f.events.Events) > 0 {
			said = append(said, <-f.events.Events)
		}
		assert.Contains(t, said[len(said)-1], "4 GPUs are claimed and 3 allowed")
	})
}

func TestChangedLimitsHoldWithoutACountAndTheSmallerUntilEveryReplicaKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startCounted(t, 10, map[string]int64{"x": 4})
		f.change(func() { f.respec(func(spec *v1alpha1.GPUBudgetSpec) { spec.Max = new(int64(3)) }) })
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		assert.Equal(t, &v1alpha1.BudgetSummary{Max: "3", Used: "4", Reserved: "0", Available: "0", Holders: "a/x: 4"}, f.budget.Status.Summary)
		f.change(func() {
			f.respec(func(spec *v1alpha1.GPUBudgetSpec) { spec.Max, spec.Enforcement = new(int64(20)), v1alpha1.BudgetWarn })
		})
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		assert.Equal(t, "10", f.budget.Status.Summary.Max, "the last that every replica knows")
		assert.Equal(t, v1alpha1.BudgetDeny, charge.Enforcement(f.budget))
		f.change(func() { f.seen = 3 })
		assert.Equal(t, &v1alpha1.BudgetSummary{Max: "20", Used: "4", Reserved: "0", Available: "16", Holders: "a/x: 4"}, f.budget.Status.Summary)
		assert.Equal(t, v1alpha1.BudgetWarn, charge.Enforcement(f.budget))
	})
}

// Between two specs that count alike there may have been one that does not, under which
// claims rose that nobody counted.
func TestTwoChangesThatTheControllerMissedAreCountedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startCounted(t, 10, map[string]int64{"x": 4})
		f.change(func() {
			f.respec(func(spec *v1alpha1.GPUBudgetSpec) { spec.GPUTypes = []string{"NVIDIA-*"} })
			f.respec(func(spec *v1alpha1.GPUBudgetSpec) { spec.GPUTypes = nil })
		})
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForReplicas")
	})
}

func TestWhatABudgetThatWarnsLetsThroughWhileItIsCountedIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, 10)
		f.change(func() { f.respec(func(spec *v1alpha1.GPUBudgetSpec) { spec.Enforcement = v1alpha1.BudgetWarn }) })
		f.change(func() { f.seen = 2 })
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForRequests")
		left := time.Until(f.budget.Status.CountedBy.Time)
		assert.Greater(t, left, wait/2)
		assert.LessOrEqual(t, left, wait+soon)
		time.Sleep(wait - 3*soon)
		f.change(func() { // not stored yet when everything is listed
			b := f.budget.DeepCopy()
			book, err := ledger.Read(&b.Status)
			require.NoError(t, err)
			book.Take("t", ledger.Charge{Key: ledger.ForUID("late"), Namespace: "a", Kind: "Service", Name: "late", Amount: ledger.Amount{GPUs: 12}})
			charge.Show(b, book)
			f.bump(b)
		})
		time.Sleep(4 * soon)
		synctest.Wait()
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		assert.EqualValues(t, 12, f.budget.Status.Reserved)
		assert.Nil(t, f.budget.Status.CountedBy)
		f.change(func() { f.objects["late"] = 12 })
		assert.EqualValues(t, 12, f.budget.Status.Used)
		f.change(func() {
			f.respec(func(spec *v1alpha1.GPUBudgetSpec) { spec.Enforcement = "" })
			f.seen = 3
		})
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		book, err := ledger.Read(&f.budget.Status)
		require.NoError(t, err)
		assert.False(t, book.Try(charge.Limits(f.budget), ledger.Charge{Key: ledger.ForUID("more"), Namespace: "a", Amount: ledger.Amount{GPUs: 1}}).Fits, "it refuses from now on, and knows what is there")
	})
}

func TestADamagedLedgerIsCountedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startCounted(t, 10, map[string]int64{"x": 4})
		f.change(func() {
			b := f.budget.DeepCopy()
			b.Status.Namespaces[0].Claims = []byte("?")
			f.bump(b)
		})
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForRequests")
		time.Sleep(wait + time.Second)
		synctest.Wait()
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		assert.EqualValues(t, 4, f.budget.Status.Used)
	})
}

func TestALostLedgerIsCountedAnewAfterWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startCounted(t, 10, map[string]int64{"x": 4})
		f.change(func() {
			f.charge(t, "y", 3)
			b := f.budget.DeepCopy()
			b.Status = v1alpha1.GPUBudgetStatus{}
			f.bump(b)
		})
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForRequests")
		f.change(func() { f.objects["y"] = 3 }) // stored as late as it may be
		time.Sleep(wait + time.Second)
		synctest.Wait()
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		assert.EqualValues(t, 7, f.budget.Status.Used)
	})
}

func TestASettledLedgerIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startCounted(t, 10, map[string]int64{"x": 4})
		version := f.budget.ResourceVersion
		for range 5 {
			f.change(func() {})
		}
		assert.Equal(t, version, f.budget.ResourceVersion)
	})
}

func TestADeletedBudgetIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startCounted(t, 10, map[string]int64{"x": 4})
		f.change(func() { f.budget = nil })
		assert.Empty(t, f.c.budgets)
		assert.Zero(t, testutil.CollectAndCount(f.metrics.gpus))
	})
}

func TestASlowCountIsFollowedByABoundedRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const wait = 65 * time.Second
		store := &table{v1alpha1.GPUBudget{ObjectMeta: metav1.ObjectMeta{Name: "b", UID: "u", Generation: 1, ResourceVersion: "1"}, Spec: v1alpha1.GPUBudgetSpec{Max: new(int64(100))}}}
		var listed []time.Time
		slow := 30 * time.Second // as while the API server stands still
		c := New(CountOptions{Store: store, Wait: wait, Log: logr.Discard(),
			Inventory: func(_ context.Context, count func(*cluster.Objects)) error {
				listed = append(listed, time.Now())
				time.Sleep(slow)
				slow = 0
				count(&cluster.Objects{})
				return nil
			},
			Replicas: func(context.Context) ([]charge.Seen, error) { return nil, nil },
			World: func() (review.World, bool) {
				return review.World{Policies: policy.Compile(nil), Knative: knative.Default()}, true
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = c.Run(ctx) }()
		time.Sleep(31 * time.Second)
		c.Changed()
		time.Sleep(2 * wait)
		stop()
		synctest.Wait()
		require.Greater(t, len(listed), 2)
		assert.Equal(t, 30*time.Second+wait, listed[1].Sub(listed[0]))
		assert.LessOrEqual(t, listed[2].Sub(listed[1]), time.Second, "after a quick one there is hardly any")
	})
}

// TestOtherRulesOfCountingAreCountedAnewAndSaidSo: what an old count went by, here as after a change of
// policies or of DeviceClasses, says nothing of what is claimed now.
func TestOtherRulesOfCountingAreCountedAnewAndSaidSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := startCounted(t, 10, map[string]int64{"x": 4})
		f.change(func() {
			b := f.budget.DeepCopy()
			b.Status.Rules = "earlier"
			f.bump(b)
		})
		f.assertCounted(t, metav1.ConditionFalse, "WaitingForRequests")
		c := meta.FindStatusCondition(f.budget.Status.Conditions, v1alpha1.ConditionCounted)
		assert.Contains(t, c.Message, "policies, DeviceClasses or Knative's scale defaults make the same objects ask for something else; requests that were admitted before")
		time.Sleep(wait + time.Second)
		synctest.Wait()
		f.assertCounted(t, metav1.ConditionTrue, "Counted")
		assert.NotEqual(t, "earlier", f.budget.Status.Rules)
	})
}
