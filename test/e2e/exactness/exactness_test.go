package budgets

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// requests is how many of them a round has at the same time.
const requests = 300

// TestTheClaimsOfManyUsersNeverExceedABudget has many users ask for GPUs at the same time,
// round after round, each in a namespace with a budget of its own, while replicas of the
// webhook are killed and another webhook rejects some of what ours admitted. What is stored
// is added up independently all the time, and so are the GPUs of the pods that controllers make
// of it: under Strict these never exceed the budget either, under Allow by its overlap at most.
func TestTheClaimsOfManyUsersNeverExceedABudget(t *testing.T) {
	disturb := disturbances.Disturbing(t)
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-rounds %d -seed %d", *rounds, *seed)
	r := rand.New(rand.NewPCG(*seed, 0))
	begun := time.Now()

	label := map[string]string{"e2e.kubetorch.com/rejecter": "exactness"}
	other := startRejecter(t, "exactness", label)
	all := make([]*round, *rounds)
	most := map[string]int64{}
	for i := range all {
		all[i] = newRound(t, r, label)
		most[all[i].namespace] = all[i].most
	}
	for _, each := range all {
		awaitCounted(t, each.budget)
	}
	accountant, overlaps := follow(t, most), followOverlaps(t)
	pods, err := harness.FollowPods(t.Context(), client)
	require.NoError(t, err)

	end := disturb()
	other.percent.Store(15)
	stop := killReplicas(t, r)
	stormed := time.Now()
	for i, each := range all {
		each.storm(*seed+uint64(i)+1, requests, *concurrent)
		select {
		case <-accountant.exceeded:
			t.Fatal("more is claimed than allowed")
		default:
		}
		if testing.Verbose() {
			fmt.Printf("round %d, budget of %d, %.1fs: %v (%s)\n", i+1, each.most, time.Since(stormed).Seconds(), &each.tally, each.detail())
		}
	}
	took := time.Since(stormed)
	kills := stop()
	other.percent.Store(0)
	end()

	settling := time.Now()
	settle(t, all)
	peaks := accountant.peaks()
	var sum tally
	full, held := 0, int64(0)
	for _, each := range all {
		assert.LessOrEqual(t, peaks[each.namespace], each.most, "the claims stored in %s at any time", each.namespace)
		room := each.most
		if !each.strict {
			room += overlaps.of(each.budget)
		}
		assert.LessOrEqual(t, pods.Most(t, each.namespace), room, "the GPUs of live pods in %s at any time; %s", each.namespace, each.budget)
		held += pods.Most(t, each.namespace)
		for _, err := range each.unexpected {
			t.Errorf("an answer that no client should get: %v", err)
		}
		sum.add(&each.tally)
		if peaks[each.namespace] == each.most {
			full++
		}
	}
	require.Positive(t, other.rejected.Load())
	require.Positive(t, kills)
	require.Positive(t, held, "pods were made")
	t.Logf("%v; replicas killed %d times; %d of %d budgets were used to the last GPU, pods held %d GPUs of %d at most",
		&sum, kills, full, len(all), held, total(most))
	t.Logf("%d rounds in %.1fs, settled after %.1fs, %.1fs in all", len(all), took.Seconds(), time.Since(settling).Seconds(), time.Since(begun).Seconds())
}

// round is one budget and its users.
type round struct {
	users
	budget string
	most   int64
	strict bool
}

func total(most map[string]int64) (sum int64) {
	for _, n := range most {
		sum += n
	}
	return sum
}

func newRound(t *testing.T, r *rand.Rand, labels map[string]string) *round {
	t.Helper()
	e := &round{most: 50 + r.Int64N(1000)}
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	u.SetGenerateName("exactness-")
	u.SetLabels(labels)
	made, err := harness.Read(func() (*unstructured.Unstructured, error) {
		return client.Resource(namespaces).Create(t.Context(), u, metav1.CreateOptions{})
	})
	require.NoError(t, err)
	e.namespace, e.budget = made.GetName(), made.GetName()
	spec := fmt.Sprintf("  max: %d\n", e.most)
	switch r.IntN(4) {
	case 0:
		spec += "  rollout: Strict\n"
		e.strict = true
	case 1:
		spec = fmt.Sprintf("  max: %d\n  maxPerNamespace: %d\n", e.most, e.most+1)
	}
	applyBudget(t, e.budget, named(e.namespace), spec)
	t.Cleanup(func() {
		_ = client.Resource(budgets).Delete(context.Background(), e.budget, metav1.DeleteOptions{})
		_ = client.Resource(namespaces).Delete(context.Background(), e.namespace, metav1.DeleteOptions{})
	})
	return e
}

// killReplicas kills replicas of the webhook and starts them again, until it is stopped. It
// tells how many were killed.
func killReplicas(t *testing.T, r *rand.Rand) (stop func() int64) {
	var kills atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Duration(200+r.IntN(1500)) * time.Millisecond):
			}
			victims := r.Perm(len(hook.Replicas))[:1+r.IntN(2)]
			var again sync.WaitGroup
			for _, i := range victims {
				victim, pause := hook.Replicas[i], time.Duration(r.IntN(500))*time.Millisecond
				again.Go(func() {
					if err := kill(victim); err != nil {
						t.Errorf("killing %s: %v", victim.Process().Name(), err)
						return
					}
					kills.Add(1)
					time.Sleep(pause)
					if err := victim.Restart(context.Background()); err != nil {
						t.Errorf("starting a replica again: %v", err)
					}
				})
			}
			again.Wait()
		}
	})
	return func() int64 {
		cancel()
		running.Wait()
		return kills.Load()
	}
}

// kill ends a replica without a warning.
func kill(r *controlplane.Replica) error {
	if err := r.Process().Signal(os.Kill); err != nil {
		return err
	}
	<-r.Process().Done()
	return nil
}

// settle waits until every ledger equals a recount, and what is free is less than what
// anyone waits for. Whoever waits and would fit asks again.
func settle(t *testing.T, all []*round) {
	t.Helper()
	const together = 8
	next := make(chan *round, len(all))
	for _, each := range all {
		next <- each
	}
	close(next)
	var settling sync.WaitGroup
	for range together {
		settling.Go(func() {
			for e := range next {
				e.settle(t)
			}
		})
	}
	settling.Wait()
}

func (e *round) settle(t *testing.T) {
	slices.SortFunc(e.waiting, func(a, b workload) int { return int(a.claim() - b.claim()) })
	last, same := "", 0
	for !e.settled(t) {
		now := held(budget(t, e.budget))
		if same++; now != last {
			last, same = now, 0
		}
		if same < harness.Patience {
			time.Sleep(tick)
			continue
		}
		smallest := int64(0)
		if len(e.waiting) > 0 {
			smallest = e.waiting[0].claim()
		}
		t.Errorf("%s never settled: %d stored, the smallest claim that waits is %d: %s", e.namespace, listed(t, e.namespace), smallest, held(budget(t, e.budget)))
		return
	}
}

// settled tells whether nobody waits in vain; if not, it does something about it.
func (e *round) settled(t *testing.T) bool {
	t.Helper()
	err := collect(t.Context(), e.namespace)
	_, isAnswer := err.(apierrors.APIStatus)
	if apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || (err != nil && !isAnswer) {
		return false // looked at again: the API server gives up early here
	} else if err != nil {
		t.Errorf("deleting replaced revisions: %v", err)
		return true
	}
	b := budget(t, e.budget)
	if len(e.waiting) == 0 || e.waiting[0].claim() > b.Status.Available {
		return settled(b, listed(t, e.namespace))
	}
	for len(e.waiting) > 0 {
		next := e.waiting[0]
		err := operation(func(ctx context.Context) error {
			_, err := client.Resource(next.resource()).Namespace(e.namespace).Create(ctx, next.object(fmt.Sprintf("late-%d", len(e.waiting))), metav1.CreateOptions{})
			return err
		})
		if e.answered(err); err != nil && !apierrors.IsAlreadyExists(err) {
			break
		}
		e.admitted.Add(1)
		e.waiting = e.waiting[1:]
	}
	return false
}

// collect deletes revisions that were replaced, as happens to them once the next one runs:
// nothing runs here.
func collect(ctx context.Context, namespace string) error {
	configurations, err := client.Resource(configurations).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	latest := map[string]string{}
	for _, c := range configurations.Items {
		if seen, _, _ := unstructured.NestedInt64(c.Object, "status", "observedGeneration"); seen == c.GetGeneration() {
			latest[c.GetName()], _, _ = unstructured.NestedString(c.Object, "status", "latestCreatedRevisionName")
		}
	}
	list, err := client.Resource(revisions).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, r := range list.Items {
		if keep := latest[r.GetLabels()["serving.knative.dev/configuration"]]; keep != "" && keep != r.GetName() && r.GetDeletionTimestamp() == nil {
			_ = client.Resource(revisions).Namespace(namespace).Delete(ctx, r.GetName(), metav1.DeleteOptions{})
		}
	}
	return nil
}

func (t *tally) add(other *tally) {
	t.admitted.Add(other.admitted.Load())
	t.refused.Add(other.refused.Load())
	t.rejected.Add(other.rejected.Load())
	t.troubled.Add(other.troubled.Load())
	t.updated.Add(other.updated.Load())
	t.deleted.Add(other.deleted.Load())
	t.dryRuns.Add(other.dryRuns.Load())
}
