// A HorizontalPodAutoscaler raises what was admitted at another size.

package attacks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// horizontal is an autoscaler of one target. It needs no metrics to reach its lower bound.
func horizontal(name, apiVersion, kind string, from, to int) string {
	return fmt.Sprintf(`{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: %s}, spec: {minReplicas: %d, maxReplicas: %d,
		scaleTargetRef: {apiVersion: %s, kind: %s, name: a}, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}}`,
		name, from, to, apiVersion, kind)
}

func TestAHorizontalPodAutoscalerIsChargedForAllItMayReach(t *testing.T) {
	t.Parallel()
	for name, target := range map[string][2]string{
		"of a Deployment":            {"apps/v1", "Deployment"},
		"of a StatefulSet":           {"apps/v1", "StatefulSet"},
		"of a ReplicaSet":            {"apps/v1", "ReplicaSet"},
		"of a ReplicationController": {"v1", "ReplicationController"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 24, strict)
			s.apply(s.tenant, workload(target[0], target[1], "a", 8, 1, ""))
			s.awaitLive(8)
			s.refused(s.try(horizontal("greedy", target[0], target[1], 5, 10)), "80 GPUs, after its target")
			lower := s.try(horizontal("small", target[0], strings.ToLower(target[1]), 5, 10))
			if target[1] == "ReplicationController" {
				assert.ErrorContains(t, lower, "apiVersion must specify API group", "the API server takes no other kind without a group")
			} else {
				s.refused(lower, "its kind in lower case, which its controller takes too")
			}
			s.maybeLive(8)
			s.holds(0)
			assert.NoError(t, s.try(horizontal("modest", target[0], target[1], 2, 2)), "16 GPUs fit")
			s.awaitLive(16)
			s.refused(s.patch(horizontalAutoscalers, "modest", `{spec: {maxReplicas: 10}}`), "80 GPUs, later")
			s.awaitUsed(16)
			s.holds(0)
		})
	}
}

func TestAHorizontalPodAutoscalerThatIsThereBeforeItsTarget(t *testing.T) {
	t.Parallel()
	s := newScene(t, 24, strict)
	s.apply(s.tenant, horizontal("first", "apps/v1", "Deployment", 5, 10))
	s.refused(s.try(deployment("a", 8, 1)), "80 GPUs by the autoscaler that points at it")
	s.maybeLive(0)
	s.holds(0)
	assert.NoError(t, s.try(deployment("a", 2, 1)), "20 GPUs fit")
	s.awaitLive(10)
	s.awaitUsed(20)
	s.holds(0)
}
