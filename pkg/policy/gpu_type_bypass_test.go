// A label poses as a GPU's type.

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// TestNoLabelOfAnyNameTakesAPodOutOfABudget: only labels that are known to name a GPU
// product pin a pod to one; all other pods count against every type.
func TestNoLabelOfAnyNameTakesAPodOutOfABudget(t *testing.T) {
	budgets := policy.CompileBudgets([]v1alpha1.GPUBudget{{ObjectMeta: metav1.ObjectMeta{Name: "a100"}, Spec: v1alpha1.GPUBudgetSpec{Max: new(int64(8)), GPUTypes: []string{"A100*"}}}}).All()
	require.Len(t, budgets, 1)
	const affinity = `affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [A100-80]}]}]}}}`
	for name, test := range map[string]struct {
		pod  string
		want int64
	}{
		"no selector at all":                {``, 8},
		"a label that says accelerator":     {`nodeSelector: {accelerator: nvidia}`, 8},
		"a label that says gpu":             {`nodeSelector: {gpu: "true"}`, 8},
		"one beside the product's affinity": {`nodeSelector: {accelerator: nvidia}, ` + affinity, 8},
		"a product of another type":         {`nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}`, 0},
		"a product of the type":             {`nodeSelector: {nvidia.com/gpu.product: A100-40}`, 8},
	} {
		t.Run(name, func(t *testing.T) {
			deployment := read(`{spec: {replicas: 4, template: {spec: {` + test.pod + `}}}}`)
			pod := deployment["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
			pod["containers"] = []any{map[string]any{"resources": map[string]any{"limits": map[string]any{"nvidia.com/gpu": int64(2)}}}}
			d := workload.DeploymentUsage(deployment, workload.Controlled{}, workload.BuiltInGPUResources)
			assert.Equal(t, test.want, budgets[0].Claim(d.Parts))
		})
	}
}

// TestNoVendorsWordTakesAPodOutOfABudget: four L4s are four L4s, whoever named the node.
func TestNoVendorsWordTakesAPodOutOfABudget(t *testing.T) {
	budgets := policy.CompileBudgets([]v1alpha1.GPUBudget{{ObjectMeta: metav1.ObjectMeta{Name: "l4"}, Spec: v1alpha1.GPUBudgetSpec{Max: new(int64(4)), GPUTypes: []string{"NVIDIA-L4"}}}}).All()
	require.Len(t, budgets, 1)
	allowed := policy.Compile(policies(`{spec: {bounds: {gpuTypes: {allowed: [NVIDIA-L4]}}}}`))
	for pin, l4 := range map[string]bool{
		"nvidia.com/gpu.product: NVIDIA-L4": true, "nvidia.com/gpu.product: NVIDIA-L4-SHARED": true, "cloud.google.com/gke-accelerator: nvidia-l4": true,
		"karpenter.k8s.aws/instance-gpu-name: l4": true, "eks.amazonaws.com/instance-gpu-name: l4": true, "k8s.amazonaws.com/accelerator: nvidia-l4": true, "karpenter.azure.com/sku-gpu-name: L4": true,
		"nvidia.com/gpu.product: NVIDIA-H200": false, "cloud.google.com/gke-accelerator: nvidia-h200-141gb": false, "karpenter.k8s.aws/instance-gpu-name: h200": false,
	} {
		o := service(`{autoscaling.knative.dev/max-scale: "10"}`, `{nodeSelector: {`+pin+`}, containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`)
		d := demand(o)
		want := int64(0)
		if l4 {
			want = 10
		}
		assert.Equal(t, want, budgets[0].Claim(d.Parts), pin)
		assert.Equal(t, l4, len(allowed.For(policy.Subject{NamespaceKnown: true}).Judge(d, nil).Denied) == 0, pin)
	}
	for _, pin := range []string{"k8s.amazonaws.com/accelerator: nvidia-tesla-g5", `k8s.amazonaws.com/accelerator: "true"`, "cloud.google.com/gke-accelerator: nvidia-next"} {
		d := demand(service(`{autoscaling.knative.dev/max-scale: "10"}`, `{nodeSelector: {`+pin+`}, containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}`))
		assert.EqualValues(t, 10, budgets[0].Claim(d.Parts), "%s is not understood, so it may be any type", pin)
		assert.Len(t, allowed.For(policy.Subject{NamespaceKnown: true}).Judge(d, nil).Denied, 1, pin)
	}
}
