// Under rollout: Allow, replaced revisions are kept for ever, one after the other.

package attacks

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const hpa = `, autoscaling.knative.dev/class: hpa.autoscaling.knative.dev, autoscaling.knative.dev/metric: cpu, autoscaling.knative.dev/min-scale: "1"`

// What Knative's autoscaler never takes to zero is a claim, not an overlap.
func TestReplacedRevisionsAreNotKeptWithoutLimit(t *testing.T) {
	t.Parallel()
	s := newScene(t, 40, "  maxPerNamespace: 24\n")
	s.apply(s.tenant, knativeService("a", 8, 1, hpa))
	s.awaitLive(8)
	require.NoError(t, s.patch(services, "a", `{spec: {template: {metadata: {annotations: {e2e.kubetorch.com/version: "0"}}}}}`), "the first update fits")
	s.awaitLive(16)
	var last error
	for i := range 9 {
		before := s.live()
		if last = s.patch(services, "a", fmt.Sprintf(`{spec: {template: {metadata: {annotations: {e2e.kubetorch.com/version: "%d"}}}}}`, i+1)); last == nil {
			s.maybeLive(before)
		}
	}
	b := s.status()
	t.Logf("ledger: used %d, reserved %d, overlap %d of %d; live pods: %d GPUs", b.Status.Used, b.Status.Reserved, b.Status.Overlap, s.max, s.live())
	s.refused(last, "a tenth update beside all versions before")
	overlap := b.Status.Overlap
	assert.LessOrEqual(t, overlap, int64(8), "one earlier version's")
	assert.LessOrEqual(t, s.live(), 24+overlap, "GPUs of live pods in a namespace that may have 24")
	_, err := s.tryIn(client, s.beside, deployment("b", 8, 1))
	require.NoError(t, err, "others get what they may have")
	s.holds(8)
}
