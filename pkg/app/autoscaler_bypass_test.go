// An autoscaler asks for pods that nobody was charged for: made at the same time as its target, or changed
// while it waits for a finalizer.

package app

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/review"
)

// An autoscaler and its target may be written at the same time, and neither request shows the other. What
// nobody was charged for is charged when the target is scaled, by whomever.
func TestAnAutoscalerThatNobodyWasChargedForScalesNothingBeyondABudget(t *testing.T) {
	for kind, target := range map[string]string{
		"deployments":  of("apps/v1", "Deployment", "web", "replicas: 1", 2),
		"statefulsets": of("apps/v1", "StatefulSet", "web", "replicas: 1", 2),
		"replicasets":  of("apps/v1", "ReplicaSet", "web", "replicas: 1", 2),
	} {
		t.Run(kind, func(t *testing.T) {
			e, ledgers := standalone()
			ask := func(s step) string {
				answer := e.validate(t.Context(), requestOf(t, s))
				if answer.Allowed {
					return ""
				}
				return answer.Result.Message
			}
			require.Empty(t, ask(step{object: target}))
			kinds := map[string]string{"deployments": "Deployment", "statefulsets": "StatefulSet", "replicasets": "ReplicaSet"}
			unseen, answer := review.Read(requestOf(t, step{object: hpa("h", "{apiVersion: apps/v1, kind: "+kinds[kind]+", name: web}", 6)}))
			require.Nil(t, answer)
			e.remembered.keep(unseen)

			scaler := account("horizontal-pod-autoscaler")
			up := step{user: scaler, subresource: kind + "/scale", object: scaleTo("web", 6), old: scaleTo("web", 1)}
			assert.Contains(t, ask(up), "asks for 12 GPUs (2 x 6 pods); 8 of 10 are free in budget b")
			up.user = "eve"
			assert.Contains(t, ask(up), "asks for 12 GPUs (2 x 6 pods)")
			assert.EqualValues(t, 2, ledgers.Status("b").Used)
			assert.Empty(t, ask(step{user: "eve", subresource: kind + "/scale", object: scaleTo("web", 0), old: scaleTo("web", 1)}), "what falls")
		})
	}
}

// The controller of HorizontalPodAutoscalers goes on with one that waits for a finalizer.
func TestAnAutoscalerThatIsBeingDeletedIsChargedLikeOthers(t *testing.T) {
	e, _ := standalone()
	target := "{apiVersion: apps/v1, kind: StatefulSet, name: set}"
	ending := func(most int) string {
		return strings.Replace(hpa("h", target, most), "name: h,", "name: h, deletionTimestamp: x, finalizers: [a/b],", 1)
	}
	require.True(t, e.validate(t.Context(), requestOf(t, step{object: of("apps/v1", "StatefulSet", "set", "replicas: 2", 2)})).Allowed)
	require.True(t, e.validate(t.Context(), requestOf(t, step{object: hpa("h", target, 2)})).Allowed)
	answer := e.validate(t.Context(), requestOf(t, step{object: ending(6), old: ending(2)}))
	require.False(t, answer.Allowed)
	assert.Contains(t, answer.Result.Message, "asks for 12 GPUs (2 x 6 pods)")
}
