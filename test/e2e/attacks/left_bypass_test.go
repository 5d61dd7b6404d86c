// Revisions are taken from a Service that is being deleted, so that a count finds each of them by itself.

package attacks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// takeApart deletes a Service and its Configuration, and takes from them what belongs to them before it is deleted too.
func (s *scene) takeApart(name string) {
	s.Helper()
	const prefix = "serving.knative.dev/"
	for _, level := range []struct {
		of    schema.GroupVersionResource
		below []schema.GroupVersionResource
	}{{services, []schema.GroupVersionResource{harness.Configurations, routes}}, {harness.Configurations, []schema.GroupVersionResource{revisions}}} {
		s.removeAlone(level.of, name)
		for _, resource := range level.below {
			for _, u := range s.list(resource) {
				var labels []string
				for key := range u.GetLabels() {
					if strings.HasPrefix(key, prefix) && key != prefix+"routingState" {
						labels = append(labels, fmt.Sprintf("%q: null", key))
					}
				}
				require.NoError(s, s.patch(resource, u.GetName(), `{metadata: {ownerReferences: null, labels: {`+strings.Join(labels, ", ")+`}}}`))
			}
		}
		harness.Eventually(s, "the end of "+name, func() bool { return !s.exists(level.of, name) })
	}
}

// Revisions without pods were no claim of their Service, and are none afterwards: others get what they may have.
func TestRevisionsThatLeftTheirServiceHoldNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, 24, strict)
	s.apply(s.tenant, knativeService("a", 8, 1, ""))
	s.makeReady("a")
	s.awaitLive(8)
	for i := 2; i <= 4; i++ {
		require.NoError(t, s.patch(services, "a", fmt.Sprintf(`{spec: {template: {metadata: {annotations: {e2e.kubetorch.com/version: "%d"}}}}}`, i)))
		s.makeReady("a")
		s.idle(fmt.Sprintf("a-%05d", i-1))
		s.awaitLive(8)
	}
	s.awaitUsed(8)
	s.takeApart("a")
	s.holds(0)
	assert.EqualValues(t, 8, s.status().Status.Used, "that which has pods")
	_, err := s.tryIn(client, s.beside, deployment("b", 8, 2))
	assert.NoError(t, err)
}

// One of them is woken, with pods for which there is no room.
func TestARevisionThatLeftItsServiceGetsNoPodsWithoutRoom(t *testing.T) {
	t.Parallel()
	s := newScene(t, 24, strict)
	s.apply(s.tenant, knativeService("a", 8, 2, ""))
	s.makeReady("a")
	s.awaitLive(16)
	require.NoError(t, s.patch(services, "a", `{spec: {template: `+revisionTemplate("", 0, 1, "")+`}}`))
	s.makeReady("a")
	s.idle("a-00001")
	s.awaitLive(0)
	s.awaitUsed(0)
	s.apply(s.tenant, deployment("b", 8, 3))
	s.awaitLive(24)
	s.awaitUsed(24)
	s.takeApart("a")
	for range 30 { // a count may find it
		pause()
	}
	s.refused(s.patch(revisions, "a-00001", `{metadata: {labels: {serving.knative.dev/routingState: null}, annotations: {autoscaling.knative.dev/min-scale: "2"}}}`), "16 GPUs")
	require.NoError(t, s.autoscale("a-00001", 2))
	s.maybeLive(24)
	s.rests()
}

// While Knative has not seen the latest change of a Service, its status does not tell which revision the template made,
// and the one that traffic names was counted beside the template: what that left in the ledger was room for another.
func TestWhatTheTemplateMadeIsCountedOnceWhileTheServiceChanges(t *testing.T) {
	t.Parallel()
	s := newScene(t, 24, strict)
	s.apply(s.tenant, knativeService("a", 8, 1, ""))
	s.makeReady("a")
	s.awaitLive(8)
	require.NoError(t, s.patch(services, "a", `{spec: {template: {metadata: {annotations: {e2e.kubetorch.com/version: "2"}}}}}`))
	s.makeReady("a")
	s.idle("a-00001")
	s.awaitLive(8)
	s.awaitUsed(8)
	require.NoError(t, s.patch(services, "a", `{spec: {traffic: [{revisionName: a-00002, percent: 100}]}}`))
	s.apply(s.tenant, deployment("b", 8, 2))
	s.awaitLive(24)
	s.awaitUsed(24)
	for i := range 100 {
		_ = s.patch(services, "a", fmt.Sprintf(`{spec: {traffic: [{revisionName: a-00002, percent: 100, tag: t%d}]}}`, i))
		if b := s.status(); b.Status.Used > s.max {
			break
		}
	}
	err := s.patch(services, "a", `{spec: {traffic: [{revisionName: a-00001, tag: old, percent: 0}, {revisionName: a-00002, percent: 100}]}}`)
	s.refused(err, "8 more GPUs by an old revision")
	if err == nil {
		require.NoError(t, s.autoscale("a-00001", 1)) // as it is asked for
		s.maybeLive(24)
	}
	s.rests()
}
