package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/workload"
)

func TestGPUType(t *testing.T) {
	tests := map[string]struct {
		pod, want string
		pinned    bool
	}{
		"nothing pins the pod":      {pod: `{}`},
		"a node selector does":      {pod: `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}}`, want: "NVIDIA-L4", pinned: true},
		"a cloud's label does":      {pod: `{nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}}`, want: "nvidia-l4", pinned: true},
		"another label does not":    {pod: `{nodeSelector: {pool: gpu}}`},
		"a required affinity does":  {pod: `{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [A100]}]}]}}}}`, want: "A100", pinned: true},
		"two values do not":         {pod: `{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [A100, NVIDIA-L4]}]}]}}}}`},
		"two terms do not":          {pod: `{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [A100]}]}, {matchExpressions: [{key: pool, operator: Exists}]}]}}}}`},
		"exclusion does not":        {pod: `{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: nvidia.com/gpu.product, operator: NotIn, values: [A100]}]}]}}}}`},
		"a preference does not":     {pod: `{affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [A100]}]}}]}}}`},
		"two terms that agree do":   {pod: `{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [A100]}]}, {matchExpressions: [{key: zone, operator: Exists}, {key: nvidia.com/gpu.product, operator: In, values: [A100]}]}]}}}}`, want: "A100", pinned: true},
		"a null in the way is none": {pod: `{nodeSelector: null, affinity: {nodeAffinity: null}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, pinned := workload.GPUType(read(test.pod))
			assert.Equal(t, test.want, got)
			assert.Equal(t, test.pinned, pinned)
		})
	}
}
