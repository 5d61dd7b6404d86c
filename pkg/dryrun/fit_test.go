package dryrun_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/dryrun"
)

func TestLargest(t *testing.T) {
	for most := range int64(20) {
		asked := int64(12)
		tried := 0
		got := dryrun.Largest(asked, func(n int64) bool {
			require.True(t, n > 0 && n < asked)
			tried++
			return n <= most
		})
		assert.Equal(t, min(most, asked-1), got)
		assert.LessOrEqual(t, tried, 4)
	}
}

func TestSentence(t *testing.T) {
	for want, fits := range map[string][]dryrun.Fit{
		"":                 nil,
		"max-scale 3 fits": {{Pods: 3}},
		"max-scale 3 fits; 4 with gpu-type NVIDIA-L4":         {{Pods: 3}, {Pods: 4, Type: "NVIDIA-L4"}, {Pods: 3, Type: "NVIDIA-T4"}},
		"max-scale 2 fits with gpu-type A; 5 with gpu-type B": {{Pods: 2, Type: "A"}, {Pods: 5, Type: "B"}},
		"max-scale 3 fits, with a min-scale that is no larger; 4 with gpu-type B, with a min-scale and an initial-scale that are no larger": {{Pods: 3, Lowered: []string{"min-scale"}}, {Pods: 4, Type: "B", Lowered: []string{"min-scale", "initial-scale"}}},
		"max-scale 3 fits, with an initial-scale that is no larger":                                                                         {{Pods: 3, Lowered: []string{"initial-scale"}}},
	} {
		assert.Equal(t, want, dryrun.Sentence("max-scale", fits))
	}
}
