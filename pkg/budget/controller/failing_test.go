package controller

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// shelf is an API server with several budgets, some of whose status it does not write.
type shelf struct {
	stored  []v1alpha1.GPUBudget
	refuses map[string]error
}

func (s *shelf) at(name string) *v1alpha1.GPUBudget {
	for i := range s.stored {
		if s.stored[i].Name == name {
			return &s.stored[i]
		}
	}
	return nil
}

func (s *shelf) Live(_ context.Context, name string) (*v1alpha1.GPUBudget, error) {
	return s.at(name).DeepCopy(), nil
}

func (s *shelf) Cached(ctx context.Context, name string) (*v1alpha1.GPUBudget, error) {
	return s.Live(ctx, name)
}

func (s *shelf) List(context.Context) ([]v1alpha1.GPUBudget, error) {
	var all []v1alpha1.GPUBudget
	for i := range s.stored {
		all = append(all, *s.stored[i].DeepCopy())
	}
	return all, nil
}

func (s *shelf) Base(context.Context, *v1alpha1.GPUBudget) (*ledger.Base, error) { return nil, nil }

func (s *shelf) Write(_ context.Context, b *v1alpha1.GPUBudget) (*v1alpha1.GPUBudget, error) {
	if err := s.refuses[b.Name]; err != nil {
		return nil, err
	}
	version, _ := strconv.Atoi(b.ResourceVersion)
	stored := s.at(b.Name)
	*stored = *b.DeepCopy()
	stored.ResourceVersion = strconv.Itoa(version + 1)
	return stored.DeepCopy(), nil
}

func TestABudgetThatCannotBeWrittenDoesNotHoldUpTheOthers(t *testing.T) {
	for name, failure := range map[string]error{
		"the API server fails":  apierrors.NewInternalError(assert.AnError),
		"it refuses the status": apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("GPUBudget").GroupKind(), "b", nil),
		"it does not answer":    context.DeadlineExceeded,
		"somebody is faster":    apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("gpubudgets").GroupResource(), "b", nil),
		"the budget is gone":    apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("gpubudgets").GroupResource(), "b"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				set, kn := policy.Compile(nil), knative.Default()
				rules := policy.Rules(set, kn)
				store, seen := &shelf{refuses: map[string]error{"b": failure}}, map[string]string{}
				for _, name := range []string{"a", "b", "c"} {
					uid := types.UID("uid-" + name)
					store.stored = append(store.stored, v1alpha1.GPUBudget{ObjectMeta: metav1.ObjectMeta{Name: name, UID: uid, Generation: 1, ResourceVersion: "1"}, Spec: v1alpha1.GPUBudgetSpec{Max: new(int64(100))}})
					seen[name] = policy.Version(string(uid), 1)
				}
				gpus := int64(3)
				c := New(CountOptions{Store: store, Wait: wait, Log: logr.Discard(),
					Inventory: func(_ context.Context, count func(*cluster.Objects)) error {
						deployment := manifest.Object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": manifest.Object{"name": "d", "namespace": "ns", "uid": "d"},
							"spec": manifest.Object{"template": manifest.Object{"spec": manifest.Object{"containers": []any{manifest.Object{"resources": manifest.Object{"limits": manifest.Object{"nvidia.com/gpu": gpus}}}}}}}}
						count(&cluster.Objects{Deployments: cluster.AllOf([]manifest.Object{deployment}), Namespaces: map[string]map[string]string{"ns": {}}})
						return nil
					},
					Replicas: func(context.Context) ([]charge.Seen, error) { return []charge.Seen{{Budgets: seen, Rules: rules}}, nil },
					World: func() (review.World, bool) {
						return review.World{Policies: set, Knative: kn, Cluster: &review.Cluster{}}, true
					},
				})
				used := func() map[string]int64 {
					all := map[string]int64{}
					for i := range store.stored {
						if b := &store.stored[i]; charge.Counted(b, rules) {
							all[b.Name] = b.Status.Used
						}
					}
					return all
				}
				ctx, stop := context.WithCancel(t.Context())
				go func() { _ = c.Run(ctx) }()
				time.Sleep(wait + 10*time.Second)
				assert.Equal(t, map[string]int64{"a": 3, "c": 3}, used())
				gpus = 5
				c.Changed()
				time.Sleep(10 * time.Second)
				assert.Equal(t, map[string]int64{"a": 5, "c": 5}, used(), "they are kept up to date")

				store.refuses = nil
				time.Sleep(every + wait + 10*time.Second)
				assert.Equal(t, map[string]int64{"a": 5, "b": 5, "c": 5}, used(), "and it is written as soon as that works")
				stop()
				synctest.Wait()
			})
		})
	}
}
