// A child leaves the owner that was charged for it, a superseded revision is woken, and
// revisions of others are named in traffic.

package budgets

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestNothingLeavesItsOwnersClaimUncharged(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 20\n")
	require.NoError(t, create(t, namespace, service("a", 2, 4)))
	harness.Eventually(t, "the Revision and its PodAutoscaler", func() bool {
		return exists(revisions, namespace, "a-00001") && exists(autoscalers, namespace, "a-00001")
	})
	awaitUsed(t, name, 8)

	// Knative takes the owner away only with its labels.
	const orphan = `"metadata":{"ownerReferences":null,"labels":null`
	assert.ErrorContains(t, patch(t, configurations, namespace, "a", `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"11"}}}}}`),
		"in budget "+name, "a template beyond its Service's")
	assert.ErrorContains(t, patch(t, configurations, namespace, "a", `{`+orphan+`},"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"7"}}}}}`),
		"12 of 20 are free", "and as a Configuration of nobody's")
	require.NoError(t, patch(t, configurations, namespace, "a", `{`+orphan+`}}`))
	assert.ErrorContains(t, create(t, namespace, service("b", 5, 1)), "4 of 20 are free", "it is charged by itself")
	for kind, resource := range map[string]string{"Revision": `{` + orphan + `}}`, "PodAutoscaler": `{` + orphan + `,"annotations":{"autoscaling.knative.dev/max-scale":"4"}}}`} {
		gvr := revisions
		if kind == "PodAutoscaler" {
			gvr = autoscalers
		}
		assert.ErrorContains(t, patch(t, gvr, namespace, "a-00001", resource), "4 of 20 are free", kind)
	}
	awaitUsed(t, name, 16)
}

func TestASupersededRevisionIsNotWokenUncharged(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 20\n")
	require.NoError(t, create(t, namespace, service("a", 2, 4)))
	require.NoError(t, cluster.MakeReady(t.Context(), namespace, "a"))
	require.NoError(t, patch(t, services, namespace, "a", maxScale(1)))
	require.NoError(t, cluster.MakeReady(t.Context(), namespace, "a"))
	var conditions []string
	for kind, status := range map[string]string{"Active": "False", "Ready": "False", "SKSReady": "True", "ScaleTargetInitialized": "True"} {
		conditions = append(conditions, fmt.Sprintf(`{"type":%q,"status":%q,"reason":"NoTraffic","lastTransitionTime":"2026-01-01T00:00:00Z"}`, kind, status))
	}
	idle := `{"status":{"desiredScale":0,"actualScale":0,"conditions":[` + strings.Join(conditions, ",") + `]}}`
	require.NoError(t, patch(t, autoscalers, namespace, "a-00001", idle, "status"))
	require.NoError(t, patch(t, deployments, namespace, "a-00001-deployment", `{"spec":{"replicas":0}}`, "scale"))
	awaitUsed(t, name, 2)
	require.NoError(t, create(t, namespace, service("b", 2, 8)))

	const free = "2 of 20 are free"
	assert.ErrorContains(t, patch(t, revisions, namespace, "a-00001", `{"metadata":{"labels":{"serving.knative.dev/routingState":"active"}}}`), free, "marked as routed")
	assert.ErrorContains(t, patch(t, revisions, namespace, "a-00001", `{"metadata":{"annotations":{"autoscaling.knative.dev/min-scale":"3"}}}`), free, "given pods of its own")
	assert.ErrorContains(t, patch(t, services, namespace, "a", `{"spec":{"traffic":[{"latestRevision":true,"percent":100},{"revisionName":"a-00001","tag":"old"}]}}`), free, "tagged by its Service")
	route := object(t, `{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: other}, spec: {traffic: [{revisionName: a-00001, percent: 100}]}}`)
	err := makeChild(t, routes, namespace, route)
	assert.ErrorContains(t, err, free, "named by a Route")
	awaitUsed(t, name, 18)
}

// What a Service's traffic names of others is counted where it belongs, so leaving it out
// again makes no room.
func TestRevisionsOfOthersAreNoRoomForOnesOwn(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 20\n")
	require.NoError(t, create(t, namespace, service("theirs", 8, 1)))
	require.NoError(t, create(t, namespace, service("mine", 2, 2)))
	harness.Eventually(t, "the Revision", func() bool { return exists(revisions, namespace, "theirs-00001") })
	awaitUsed(t, name, 12)
	require.NoError(t, patch(t, services, namespace, "mine", `{"spec":{"traffic":[{"latestRevision":true,"percent":100},{"revisionName":"theirs-00001","tag":"x"}]}}`))
	awaitUsed(t, name, 12)
	require.NoError(t, create(t, namespace, service("rest", 8, 1)))
	assert.ErrorContains(t, patch(t, services, namespace, "mine", `{"spec":{"traffic":[{"latestRevision":true,"percent":100}],"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"6"}}}}}`),
		"0 of 20 are free in budget "+name)
	awaitUsed(t, name, 20)
}
