// A ledger that is wiped or damaged is waited for like that of a new budget.

package controller

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// table is an API server with one budget.
type table struct{ stored v1alpha1.GPUBudget }

func (s *table) Live(context.Context, string) (*v1alpha1.GPUBudget, error) {
	return s.stored.DeepCopy(), nil
}

func (s *table) Cached(ctx context.Context, name string) (*v1alpha1.GPUBudget, error) {
	return s.Live(ctx, name)
}

func (s *table) List(context.Context) ([]v1alpha1.GPUBudget, error) {
	return []v1alpha1.GPUBudget{*s.stored.DeepCopy()}, nil
}

func (s *table) Base(context.Context, *v1alpha1.GPUBudget) (*ledger.Base, error) { return nil, nil }

func (s *table) Write(_ context.Context, b *v1alpha1.GPUBudget) (*v1alpha1.GPUBudget, error) {
	if b.ResourceVersion != s.stored.ResourceVersion {
		return nil, apierrors.NewConflict(schema.GroupResource{}, b.Name, nil)
	}
	version, _ := strconv.Atoi(b.ResourceVersion)
	s.stored = *b.DeepCopy()
	s.stored.ResourceVersion = strconv.Itoa(version + 1)
	return s.stored.DeepCopy(), nil
}

func TestALedgerThatIsLostIsWaitedForLikeANewOne(t *testing.T) {
	const wait = 65 * time.Second
	for name, test := range map[string]struct {
		damage func(*v1alpha1.GPUBudgetStatus)
		// reserved is what can be read of what was in flight: it is kept.
		reserved int64
	}{
		"everything is wiped":         {damage: func(s *v1alpha1.GPUBudgetStatus) { *s = v1alpha1.GPUBudgetStatus{} }},
		"the claims are wiped":        {damage: func(s *v1alpha1.GPUBudgetStatus) { s.Namespaces = nil }, reserved: 90},
		"the reservations are wiped":  {damage: func(s *v1alpha1.GPUBudgetStatus) { s.Reservations = nil }},
		"a reservation is unreadable": {damage: func(s *v1alpha1.GPUBudgetStatus) { s.Reservations[0].Key = "x" }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &table{v1alpha1.GPUBudget{ObjectMeta: metav1.ObjectMeta{Name: "b", UID: "u", Generation: 1, ResourceVersion: "1"}, Spec: v1alpha1.GPUBudgetSpec{Max: new(int64(100))}}}
				set, kn := policy.Compile(nil), knative.Default()
				rules := policy.Rules(set, kn)
				service := manifest.Object{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": manifest.Object{"name": "a", "namespace": "ns", "uid": "00000000-0000-0000-0000-000000000001"},
					"spec": manifest.Object{"template": manifest.Object{"metadata": manifest.Object{"annotations": manifest.Object{"autoscaling.knative.dev/max-scale": "4"}},
						"spec": manifest.Object{"containers": []any{manifest.Object{"resources": manifest.Object{"limits": manifest.Object{"nvidia.com/gpu": "2"}}}}}}}}
				c := New(CountOptions{Store: store, Wait: wait, Log: logr.Discard(),
					Inventory: func(_ context.Context, count func(*cluster.Objects)) error {
						count(&cluster.Objects{Services: cluster.AllOf([]manifest.Object{service}), Namespaces: map[string]map[string]string{"ns": {}}})
						return nil
					},
					Replicas: func(context.Context) ([]charge.Seen, error) {
						return []charge.Seen{{Budgets: map[string]string{"b": policy.Version("u", 1)}, Rules: rules}}, nil
					},
					World: func() (review.World, bool) {
						return review.World{Policies: set, Knative: kn, Cluster: &review.Cluster{Knative: true}}, true
					},
				})
				c.budgets = map[string]*followed{}
				counts := func() bool {
					_, err := c.round(t.Context())
					require.NoError(t, err)
					return charge.Counted(&store.stored, rules)
				}
				for range 2 {
					require.False(t, counts())
				}
				time.Sleep(wait)
				require.True(t, counts())
				require.EqualValues(t, 8, store.stored.Status.Used)
				time.Sleep(10 * wait)
				require.True(t, counts())

				// An admission is under way whose object is not stored yet.
				b, err := ledger.Read(&store.stored.Status)
				require.NoError(t, err)
				require.True(t, b.Charge(ledger.Limits{Max: 100}, "t", ledger.Charge{Key: ledger.ForUID("00000000-0000-0000-0000-000000000002"), Namespace: "ns", Amount: ledger.Amount{GPUs: 90}}).Fits)
				b.Write(&store.stored.Status, 100)
				test.damage(&store.stored.Status)

				for range 2 { // once to say that nothing may rise, and from then on it is waited
					assert.False(t, counts(), "counted again although an admission may be under way")
				}
				time.Sleep(wait - time.Second)
				assert.False(t, counts())
				time.Sleep(time.Second)
				assert.True(t, counts())
				assert.EqualValues(t, 8, store.stored.Status.Used)
				assert.EqualValues(t, test.reserved, store.stored.Status.Reserved)
			})
		})
	}
}
