// The scale of a Revision's Deployment is written, as Knative's autoscaler does it since 1.22.

package attacks

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// Up to its Service's max-scale it is part of what the Service was charged. Beyond it nobody scales it without
// room, the autoscaler included.
func TestTheScaleOfARevisionsDeploymentIsHeld(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, knativeService("a", 4, 3, ""))
	s.awaitLive(12)
	s.awaitUsed(12)
	s.allow(knative) // its release here asks for no right to scales yet
	autoscaler := as(t, knative, "system:serviceaccounts", "system:serviceaccounts:knative-serving")
	harness.Eventually(t, "the right to scales", func() bool {
		return s.patchAs(autoscaler, deployments, "a-00001-deployment", scale(3), "scale") == nil
	})
	for _, pods := range []int{1, 3, 0, 2} {
		require.NoError(t, s.patchAs(autoscaler, deployments, "a-00001-deployment", scale(pods), "scale"))
		s.awaitLive(int64(4 * pods))
		assert.EqualValues(t, 12, s.status().Status.Used, "what the Service may come to use")
	}
	for _, c := range []func() error{
		func() error { return s.patchAs(autoscaler, deployments, "a-00001-deployment", scale(5), "scale") },
		func() error { return s.patch(deployments, "a-00001-deployment", scale(5), "scale") },
		func() error { return s.patch(deployments, "a-00001-deployment", scale(5)) },
	} {
		s.refused(c(), "20 GPUs")
	}
	s.maybeLive(8)
	s.rests()
}
