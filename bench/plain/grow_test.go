package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/workload"
)

// TestEveryWorkloadClaimsItsPods measures the workloads as the webhook does.
func TestEveryWorkloadClaimsItsPods(t *testing.T) {
	claims := map[string]int64{}
	for i := range 3 {
		resource, o, err := (&bench{options: options{podsPerEach: 10}}).workload(i)
		require.NoError(t, err)
		for _, k := range workload.Kinds() {
			if k.GVR() == resource {
				assert.Equal(t, k.Kind, o.GetKind())
				claims[k.Kind] = k.Usage(o.Object, workload.NewGPUResources(workload.Counting{})).Claim
			}
		}
	}
	assert.Equal(t, map[string]int64{"ReplicaSet": 10, "StatefulSet": 10, "Job": 10}, claims)
}
