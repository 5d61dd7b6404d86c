package app

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
)

// labelledService asks for pods of two A100s each.
func labelledService(t *testing.T, annotations map[string]any) []byte {
	t.Helper()
	all := map[string]any{"compute.kubetorch.com/gpus": "2", "compute.kubetorch.com/gpu-type": "NVIDIA-A100"}
	for k, v := range annotations {
		all["autoscale.kubetorch.com/"+k] = v
	}
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": map[string]any{"name": "llm", "namespace": "team", "uid": "llm", "labels": map[string]any{"kubetorch.com/autoscale": "true"}, "annotations": all},
		"spec":     map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": "registry.example.com/llm:v1"}}}}},
	})
	require.NoError(t, err)
	return raw
}

// TestARefusalEndsWithWhatWouldFit: the sentence of why stands in the webhook's own answers, of bounds as of budgets.
func TestARefusalEndsWithWhatWouldFit(t *testing.T) {
	budget := func(name string, most int64, types ...string) v1alpha1.GPUBudget {
		return v1alpha1.GPUBudget{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.GPUBudgetSpec{Max: &most, GPUTypes: types}}
	}
	budgets := []v1alpha1.GPUBudget{budget("a100", 16, "NVIDIA-A100"), budget("all", 64), budget("l4", 8, "NVIDIA-L4")}
	bounds := func(b v1alpha1.Bounds) []v1alpha1.ComputePolicy {
		return []v1alpha1.ComputePolicy{{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1alpha1.ComputePolicySpec{Bounds: &b}}}
	}
	const asks, free = "asks for 12 GPUs (2 x 6 pods); ", "6 of 16 are free in budget a100; 10 are held in other namespaces; "
	for name, test := range map[string]struct {
		annotations map[string]any
		policies    []v1alpha1.ComputePolicy
		want        string
	}{
		"a budget": {map[string]any{"max-scale": "6"}, nil, asks + free + "max-scale 3 fits; 4 with gpu-type NVIDIA-L4"},
		"a budget, with a min-scale over it": {map[string]any{"max-scale": "6", "min-scale": "4"}, nil,
			asks + free + "max-scale 3 fits, with a min-scale that is no larger; 4 with gpu-type NVIDIA-L4"},
		"a bound, and a budget that has less": {map[string]any{"max-scale": "6"}, bounds(v1alpha1.Bounds{GPUsPerWorkload: &v1alpha1.NumberBound{Max: new(int64(10))}}),
			asks + "policy p allows at most 10 (bounds.gpusPerWorkload.max); max-scale 3 fits; 4 with gpu-type NVIDIA-L4"},
		"a bound on types": {map[string]any{"max-scale": "6"}, bounds(v1alpha1.Bounds{GPUTypes: &v1alpha1.NameBound{Allowed: []string{"NVIDIA-L4"}}}),
			"asks for GPU type NVIDIA-A100; policy p allows only NVIDIA-L4 (bounds.gpuTypes.allowed); max-scale 4 fits with gpu-type NVIDIA-L4"},
		"a bound that has nothing to do with it": {map[string]any{"max-scale": "6", "min-scale": "4"}, bounds(v1alpha1.Bounds{MinScale: &v1alpha1.NumberBound{Max: new(int64(1))}}),
			"asks for a min-scale of 4; policy p allows at most 1 (bounds.minScale.max)"},
	} {
		t.Run(name, func(t *testing.T) {
			memory := charge.NewMemory(budgets)
			memory.Hold("a100", "other", ledger.ForName("Service", "other", "big"), 10)
			config, err := knative.ParseConfig(map[string]map[string]string{"config-features": {"kubernetes.podspec-nodeselector": "enabled", "kubernetes.podspec-tolerations": "enabled"}})
			require.NoError(t, err)
			e := working()
			e.current.Store(&snapshot{policies: policy.Compile(test.policies), budgets: policy.CompileBudgets(budgets), knative: config})
			e.charging = &charging{charge: memory.Charge, release: memory.Release, everything: true}
			e.remembered = newMemory()
			e.reader = e.remembered
			request := ask(admissionv1.Create, "llm", labelledService(t, test.annotations), nil)
			mutated := e.mutate(t.Context(), request)
			require.True(t, mutated.Allowed, "%v", mutated.Result)
			patch, err := jsonpatch.DecodePatch(mutated.Patch)
			require.NoError(t, err)
			request.Object.Raw, err = patch.Apply(request.Object.Raw)
			require.NoError(t, err)
			answer := e.validate(t.Context(), request)
			require.False(t, answer.Allowed)
			require.Len(t, answer.Result.Details.Causes, 1)
			assert.Equal(t, "Forbidden: "+test.want, answer.Result.Details.Causes[0].Message)
			assert.True(t, strings.HasSuffix(answer.Result.Message, test.want), answer.Result.Message)
		})
	}
}
