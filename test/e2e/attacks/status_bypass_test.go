// A status that a tenant wrote lowers what is counted, or what an update is compared with.

package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A status that names a superseded revision is no claim that the Service had.
func TestTrafficInAStatusIsNoClaimThatWasThere(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, knativeService("a", 2, 4, ""))
	s.makeReady("a")
	s.awaitLive(8)
	require.NoError(t, s.patch(services, "a", `{spec: {template: `+revisionTemplate("", 2, 1, "")+`}}`))
	s.makeReady("a")
	s.idle("a-00001")
	s.awaitUsed(2)
	s.apply(s.tenant, deployment("b", 14, 1))
	s.awaitUsed(16)

	// Knative writes the status no more once the Route is not the Service's.
	require.NoError(t, s.patch(routes, "a", `{metadata: {ownerReferences: null, labels: null}}`))
	forged := s.patch(services, "a", `{status: {traffic: [{revisionName: a-00001, latestRevision: false, percent: 100}]}}`, "status")
	t.Logf("the forged status: %v", forged)
	err := s.patch(services, "a", `{spec: {traffic: [{revisionName: a-00001, tag: old, percent: 0}, {latestRevision: true, percent: 100}]}}`)
	s.refused(err, "8 more GPUs by an old revision")
	if err == nil {
		require.NoError(t, s.autoscale("a-00001", 4)) // as it is asked for
		s.maybeLive(16)
	}
	s.holds(0)

	s.remove(deployments, "b")
	s.awaitUsed(2)
	assert.NoError(t, s.patch(services, "a", `{spec: {traffic: [{revisionName: a-00001, tag: old, percent: 0}, {latestRevision: true, percent: 100}]}}`),
		"the old revision fits")
	s.awaitUsed(10)
}

// A status that says that nothing runs frees nothing of what runs.
func TestAStatusWithoutPodsFreesNoPods(t *testing.T) {
	t.Parallel()
	s := newScene(t, 36, "")
	s.apply(s.tenant, knativeService("a", 8, 2, ""))
	s.makeReady("a")
	s.awaitLive(16)
	require.NoError(t, s.patch(services, "a", `{spec: {template: `+revisionTemplate("", 1, 1, "")+`}}`))
	s.makeReady("a")
	s.awaitLive(17)
	const idle = `{status: {desiredScale: 0, actualScale: 0, conditions: [
		{type: Active, status: "False", reason: NoTraffic, lastTransitionTime: "2026-01-01T00:00:00Z"},
		{type: Ready, status: "False", reason: NoTraffic, lastTransitionTime: "2026-01-01T00:00:00Z"},
		{type: SKSReady, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"},
		{type: ScaleTargetInitialized, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]}}`
	t.Logf("the forged status of the PodAutoscaler: %v", s.patch(autoscalers, "a-00001", idle, "status"))
	t.Logf("the forged status of the Revision: %v", s.patch(revisions, "a-00001",
		`{status: {actualReplicas: 0, desiredReplicas: 0, conditions: [{type: Active, status: "False", lastTransitionTime: "2026-01-01T00:00:00Z"}]}}`, "status"))
	s.holds(16)
	err := s.try(deployment("b", 32, 1))
	s.refused(err, "32 GPUs beside 17 in live pods")
	s.maybeLive(17)
	s.holds(16)

	require.NoError(t, s.autoscale("a-00001", 0))
	s.awaitLive(1)
	s.awaitUsed(1)
	assert.NoError(t, s.try(deployment("honest", 32, 1)), "what is gone is free")
}
