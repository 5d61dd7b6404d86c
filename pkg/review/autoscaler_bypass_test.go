// GPUs come in behind a PodAutoscaler that was admitted without them.

package review_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestGPUsAreNotAddedBehindAPodAutoscaler: one that was admitted while the pods asked for
// none, or for fewer, starts as many pods of what they ask for now.
func TestGPUsAreNotAddedBehindAPodAutoscaler(t *testing.T) {
	idle := autoscaler("20", "trainer", "")
	answer, _ := judged(t, ask(idle, ""), storing(plainDeployment("trainer", "1", 0)), house)
	assert.True(t, answer.Allowed, "without GPUs there is nothing to bound")

	const over = "spec.replicas: Forbidden: asks for 40 GPUs (2 x 20 pods); policy house allows at most 32 (bounds.gpusPerWorkload.max)"
	answer, asked := judged(t, ask(plainDeployment("trainer", "1", 2), plainDeployment("trainer", "1", 0)), storing(idle), house)
	assert.Equal(t, over, reasonsOf(answer), "on UPDATE")
	assert.Equal(t, []string{"list PodAutoscaler"}, asked)
	answer, _ = judged(t, ask(plainDeployment("trainer", "1", 2), ""), storing(idle), house)
	assert.Equal(t, over, reasonsOf(answer), "the Deployment is made anew")

	answer, _ = judged(t, ask(plainDeployment("trainer", "1", 1), ""), storing(idle), house)
	assert.True(t, answer.Allowed, "what fits")
	answer, _ = judged(t, ask(plainDeployment("other", "1", 2), ""), storing(idle), house)
	assert.True(t, answer.Allowed, "another one")
	answer, asked = judged(t, ask(plainDeployment("trainer", "3", 2), plainDeployment("trainer", "1", 2)), storing(idle), house)
	assert.True(t, answer.Allowed)
	assert.Empty(t, asked, "more pods of the same are the Deployment's own business")
}
