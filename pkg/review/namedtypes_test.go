package review_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/review"
)

// TestTypesThatNoNodeHasAreToldOf: a budget for a misspelt one counts nothing.
func TestTypesThatNoNodeHasAreToldOf(t *testing.T) {
	nodes := []string{"NVIDIA-H100-80GB-HBM3-SHARED", "NVIDIA-L4", "a10g"}
	for name, test := range map[string]struct {
		kind, spec string
		nodes      []string
		want       []string
	}{
		"types that nodes have, in several vendors' words":      {"GPUBudget", `gpuTypes: [NVIDIA-L4, nvidia-h100-80gb, "NVIDIA-H100-*", NVIDIA-A10G]`, nodes, nil},
		"a word that means several products, one of them there": {"GPUBudget", `gpuTypes: [nvidia-h100]`, nodes, nil},
		"types that none has": {"GPUBudget", `gpuTypes: [NVIDIA-L4, NVIDIA-H200, "NVIDIA-A100-*"]`, nodes, []string{
			"spec.gpuTypes[1]: no node has GPUs of the type NVIDIA-H200; nodes have NVIDIA-H100-80GB-HBM3-SHARED, NVIDIA-L4, a10g",
			"spec.gpuTypes[2]: no node has GPUs of the type NVIDIA-A100-*; nodes have NVIDIA-H100-80GB-HBM3-SHARED, NVIDIA-L4, a10g",
		}},
		"a budget without types":          {"GPUBudget", `max: 4`, nodes, nil},
		"nodes of which nothing is known": {"GPUBudget", `gpuTypes: [NVIDIA-H200]`, nil, nil},
		"a bound, defaults and profiles": {"ComputePolicy", `bounds: {gpuTypes: {allowed: [NVIDIA-L4, NVIDIA-H200]}}, defaults: {compute: {gpuType: NVIDIA-B200}}, profiles: {compute: [{name: small, gpuType: NVIDIA-L4}, {name: big, gpuType: NVIDIA-GB200}]}`, nodes[1:2], []string{
			"spec.bounds.gpuTypes.allowed[1]: no node has GPUs of the type NVIDIA-H200; nodes have NVIDIA-L4",
			"spec.defaults.compute.gpuType: no node has GPUs of the type NVIDIA-B200; nodes have NVIDIA-L4",
			"spec.profiles.compute[1].gpuType: no node has GPUs of the type NVIDIA-GB200; nodes have NVIDIA-L4",
		}},
		"what names a type and is no policy": {"Other", `gpuTypes: [NVIDIA-H200]`, nodes, nil},
	} {
		t.Run(name, func(t *testing.T) {
			raw := request(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: `+test.kind+`, metadata: {name: p}, spec: {`+test.spec+`}}`, "")
			raw.Kind = metav1.GroupVersionKind{Group: "policy.kubetorch.com", Version: "v1alpha1", Kind: test.kind}
			r, answer := review.Read(raw)
			if test.kind == "Other" {
				assert.Nil(t, r)
				return
			}
			require.Nil(t, answer)
			assert.Equal(t, test.want, r.TypesOfNoNode(test.nodes))
			if test.want != nil {
				assert.True(t, r.NamesTypes())
			}
		})
	}
}
