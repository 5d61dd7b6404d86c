// Several revisions of one workload run at the same time: in its traffic, under a tag, while
// a rollout runs.

package budgets

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

func TestTrafficOverTwoRevisionsCountsBoth(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 14\n")
	require.NoError(t, create(t, namespace, service("a", 2, 3)))
	require.NoError(t, cluster.MakeReady(t.Context(), namespace, "a"))
	awaitUsed(t, name, 6)
	split := func(pods int) string {
		return fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"%d"}}},
			"traffic":[{"revisionName":"a-00001","percent":90},{"latestRevision":true,"percent":10}]}}`, pods)
	}
	assert.ErrorContains(t, patch(t, services, namespace, "a", split(5)), "in budget "+name)
	require.NoError(t, patch(t, services, namespace, "a", split(4)))
	require.NoError(t, cluster.MakeReady(t.Context(), namespace, "a"))
	awaitUsed(t, name, 14)
	assert.ErrorContains(t, create(t, namespace, service("b", 1, 1)), "0 of 14 are free")

	// A tag keeps a revision as a share of the traffic does.
	require.NoError(t, patch(t, services, namespace, "a", `{"spec":{"traffic":[{"revisionName":"a-00001","tag":"old","percent":0},{"latestRevision":true,"percent":100}]}}`))
	require.Never(t, func() bool { return budget(t, name).Status.Used != 14 }, 3*requestTimeout, 10*tick)
	require.NoError(t, patch(t, services, namespace, "a", `{"spec":{"traffic":[{"latestRevision":true,"percent":100}]}}`))
	require.NoError(t, cluster.MakeReady(t.Context(), namespace, "a"))
	collectUntil(t, namespace, name, 8)
}

func TestARolloutOverlapsUnlessTheBudgetIsStrict(t *testing.T) {
	t.Parallel()
	for rollout, refused := range map[string]bool{"Allow": false, "Strict": true} {
		t.Run(rollout, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace(t)
			name := newBudget(t, namespace, "  max: 16\n  rollout: "+rollout+"\n")
			require.NoError(t, create(t, namespace, service("a", 2, 5)))
			require.NoError(t, cluster.MakeReady(t.Context(), namespace, "a"))
			awaitUsed(t, name, 10)
			err := patch(t, services, namespace, "a", `{"spec":{"template":{"metadata":{"annotations":{"e2e.kubetorch.com/version":"2"}}}}}`)
			if refused {
				require.ErrorContains(t, err, "rollout: Strict")
				require.NoError(t, patch(t, services, namespace, "a", `{"metadata":{"annotations":{"e2e.kubetorch.com/note":"x"}}}`), "that is no rollout")
				awaitUsed(t, name, 10)
				return
			}
			require.NoError(t, err)
			awaitLedger(t, "the overlap in the ledger", name, func(s *v1alpha1.GPUBudgetStatus) bool {
				return s.Used == 10 && s.Overlap == 10 && s.Available == 0
			})
			assert.Error(t, create(t, namespace, service("b", 1, 1)), "what the old pods hold is nobody else's")
			collectUntil(t, namespace, name, 10)
			assert.NoError(t, create(t, namespace, service("b", 6, 1)))
		})
	}
}
