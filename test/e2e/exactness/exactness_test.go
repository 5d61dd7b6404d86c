package exactness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

const (
	// workloads is how many of them a round has at the same time, and alone those of a round by itself, which is
	// one test among others.
	workloads, alone = 300, 180
	// spread is over how many namespaces.
	spread = 10
)

// rejecterLabel is the label of namespaces in which another webhook rejects some of what ours admitted.
const rejecterLabel = "e2e.kubetorch.com/rejecter"

// TestManyUsersNeverExceedABudget has many users ask for GPUs at the same time, round after round,
// in ten namespaces under budgets of their own, as every kind that makes pods, while replicas of the
// webhook are killed and another webhook rejects some of what ours admitted. What is stored is added
// up independently all the time, and so are the GPUs of live pods: under Strict neither ever exceeds
// a budget, under Allow by its overlap at most. In the end each ledger holds what a recount finds.
func TestManyUsersNeverExceedABudget(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-rounds %d -seed %d", *rounds, *seed)
	r := rand.New(rand.NewPCG(*seed, 0))

	_, err := client.Resource(harness.Policies).Create(t.Context(), harness.Object(t, countedAs), metav1.CreateOptions{})
	require.NoError(t, err)
	impersonating := cluster.RESTConfig()
	impersonating.WarningHandler = rest.NoWarnings{}
	impersonating.Impersonate.UserName = "system:serviceaccount:knative-serving:controller"
	impersonating.Impersonate.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:knative-serving"}
	asKnative, err = dynamic.NewForConfig(impersonating)
	require.NoError(t, err)
	c := &course{
		t: t, r: r, begun: time.Now(), seen: follow(t), found: make(counts, len(lookedFor)),
		other: harness.StartRejecter(t, client, "exactness", map[string]string{rejecterLabel: "exactness"}, rejected...),
	}
	t.Cleanup(func() { t.Logf("-rounds %d -seed %d: %s", *rounds, *seed, c) }) // behind what else is said
	c.run(*rounds)
	require.Positive(t, c.other.Rejected.Load())
	require.Positive(t, c.kills)
	if c.done >= enough {
		c.found.occurred(t)
		require.Positive(t, classChanges.Load())
	}
}

// round is some namespaces under a budget, and their users.
type round struct {
	users
	number int
	budget string
	// limits are the budget, its parts and a budget of one type, if there is one.
	limits []*limit
	// tidied is how often what goes on for ever was ended.
	tidied int
	// looked is how often controllers were asked to look again.
	looked int
	// looks is how often it was looked at while it settled.
	looks int
	// late is how many asked again.
	late int
}

func newRound(t *testing.T, r *rand.Rand, number int, seen *witnesses) *round {
	t.Helper()
	name := fmt.Sprintf("round-%d", number)
	e := &round{number: number, budget: name, users: users{
		witness: &witness{now: map[types.UID]*record{}, admins: map[string]bool{}}}}
	seen.of.Store("/"+name, e.witness)
	seen.of.Store("/"+name+"-typed", e.witness)
	for i := range spread {
		labels := map[string]string{rejecterLabel: "exactness", "e2e.kubetorch.com/round": name}
		if i%3 == 0 {
			labels[adminLabel] = "true"
		}
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
		u.SetGenerateName("exactness-")
		u.SetLabels(labels)
		made, err := harness.Read(func() (*unstructured.Unstructured, error) {
			return client.Resource(harness.Namespaces).Create(t.Context(), u, metav1.CreateOptions{})
		})
		require.NoError(t, err)
		e.witness.allow(made.GetName(), i%3 == 0)
		seen.of.Store(made.GetName(), e.witness)
		e.namespaces = append(e.namespaces, made.GetName())
	}
	labels := "{e2e.kubetorch.com/round: " + name + "}"
	whole := &limit{budget: name, namespaces: e.namespaces, max: 200 + r.Int64N(2500)}
	spec := fmt.Sprintf("  max: %d\n", whole.max)
	e.limits = append(e.limits, whole)
	if r.IntN(2) == 0 {
		spec += "  rollout: Strict\n"
		whole.strict = true
	}
	if r.IntN(3) == 0 {
		each := max(20, whole.max/4)
		spec += fmt.Sprintf("  maxPerNamespace: %d\n", each)
		for i := range e.namespaces {
			e.limits = append(e.limits, &limit{
				budget: name, namespaces: e.namespaces[i : i+1], max: each, strict: whole.strict, part: true,
			})
		}
	}
	harness.ApplyBudget(t, client, name, labels, spec)
	if r.IntN(2) == 0 {
		typed := &limit{budget: name + "-typed", namespaces: e.namespaces, product: h100, max: 20 + whole.max/2, strict: true}
		e.limits = append(e.limits, typed)
		spec := fmt.Sprintf("  max: %d\n  gpuTypes: [%s]\n  rollout: Strict\n", typed.max, typed.product)
		harness.ApplyBudget(t, client, typed.budget, labels, spec)
	}
	return e
}

// budgets are the names of the round's.
func (e *round) budgets() (names []string) {
	for _, l := range e.limits {
		if !l.part {
			names = append(names, l.budget)
		}
	}
	return names
}

// await waits until the budgets are counted, and pods can be made.
func (e *round) await(t *testing.T) {
	t.Helper()
	for _, name := range e.budgets() {
		harness.AwaitCounted(t, client, name)
	}
	accounts := schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	for _, namespace := range e.namespaces {
		harness.Eventually(t, "the account of pods in "+namespace, func() bool {
			_, err := client.Resource(accounts).Namespace(namespace).Get(context.Background(), "default", metav1.GetOptions{})
			return err == nil
		})
	}
}

// holds asserts the promise of every limit of the round.
func (e *round) holds(t *testing.T) bool {
	t.Helper()
	held := true
	history := e.witness.history()
	for _, l := range e.limits {
		s := l.replay(history)
		l.peaks = s.peaks
		room := l.max
		if !l.strict {
			room += s.overlap
		}
		held = assert.LessOrEqual(t, s.claims, 7*l.max,
			"sevenths of GPUs that stored objects claim at any time; %s; at %s", l, s.claimsAt) && held
		held = assert.LessOrEqual(t, s.live, 7*room,
			"sevenths of GPUs of live pods at any time; %s, overlap %d; at %s", l, s.overlap, s.liveAt) && held
		held = assert.Zero(t, s.beyond,
			"sevenths of GPUs of live pods that the ledger did not hold at any time; %s; at %s", l, s.beyondAt) && held
	}
	return held
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
					if err := harness.Kill(victim); err != nil {
						t.Errorf("killing %s: %v", victim.Process().Name(), err)
						return
					}
					kills.Add(1)
					time.Sleep(pause)
					if err := restart(victim); err != nil {
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

// restart starts a replica again, and once more, as a kubelet does, if it ended because the API server of a busy
// machine had no time for it.
func restart(replica *controlplane.Replica) (err error) {
	for range 5 {
		if err = replica.Restart(context.Background()); err == nil || !controlplane.CutOff(err) {
			break
		}
	}
	return err
}
