package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
)

func TestBudgetsThatAreExceeded(t *testing.T) {
	const labelled = `, labels: {kubetorch.com/autoscale: "true"}`
	owned := `, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: b, uid: uid-b, controller: true}]`
	in := input(t, nil, ksvc("a", 2, ""), configuration("a", "Service/a", "uid-a", 2), // 8, once
		deployment("b", 1, 0, labelled), ksvc("b", 1, owned), // 4, once
		deployment("c", 3, 2, "")) // 6
	for name, c := range map[string]struct {
		spec string
		want []string
	}{
		"all that fits":         {`{max: 18, maxPerNamespace: 18}`, nil},
		"in all":                {`{max: 17}`, []string{"GPUBudget shared max 18 GPUs are claimed; budget shared allows at most 17 (max)"}},
		"in one namespace":      {`{max: 99, maxPerNamespace: 10}`, []string{"Namespace ml maxPerNamespace 18 GPUs are claimed; budget shared allows at most 10 (maxPerNamespace)"}},
		"both":                  {`{max: 0, maxPerNamespace: 0}`, []string{"GPUBudget shared max 18 GPUs are claimed; budget shared allows at most 0 (max)", "Namespace ml maxPerNamespace 18 GPUs are claimed; budget shared allows at most 0 (maxPerNamespace)"}},
		"elsewhere":             {`{max: 0, namespaceSelector: {matchLabels: {team: web}}}`, nil},
		"another type":          {`{max: 17, gpuTypes: [NVIDIA-L4]}`, []string{"GPUBudget shared max 18 GPUs are claimed; budget shared allows at most 17 (max)"}}, // nothing pins them
		"one that only warns":   {`{max: 17, enforcement: Warn}`, []string{"GPUBudget shared max 18 GPUs are claimed; budget shared allows at most 17 (max)"}},
		"an invalid one is not": {`{maxPerNamespace: 0}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var b v1alpha1.GPUBudget
			require.NoError(t, yaml.UnmarshalStrict(fmt.Appendf(nil, "{metadata: {name: shared}, spec: %s}", c.spec), &b))
			var got []string
			found, _ := audit.Budgets(in, []v1alpha1.GPUBudget{b})
			for _, f := range found {
				assert.Equal(t, "GPUBudget/shared", f.Policy)
				got = append(got, f.Kind+" "+f.Name+" "+f.Bound+" "+f.Message)
			}
			assert.Equal(t, c.want, got)
		})
	}
}

// One old Service without a maximum is enough to leave nothing to anybody: it is named.
func TestWhoIsUnboundedAndWhatABudgetWouldLeave(t *testing.T) {
	old := strings.Replace(ksvc("old", 2, ""), `max-scale: "4"`, `max-scale: "0"`, 1)
	var b v1alpha1.GPUBudget
	require.NoError(t, yaml.UnmarshalStrict([]byte(`{metadata: {name: shared}, spec: {max: 512, enforcement: Warn}}`), &b))
	found, use := audit.Budgets(input(t, nil, old, deployment("c", 3, 2, "")), []v1alpha1.GPUBudget{b})
	assert.Equal(t, []audit.Finding{
		{Policy: "GPUBudget/shared", APIVersion: v1alpha1.GroupVersion.String(), Enforcement: v1alpha1.Warn, ObjectViolation: v1alpha1.ObjectViolation{Kind: "GPUBudget", Name: "shared", Bound: "max",
			Message: "an unbounded number of GPUs is claimed; budget shared allows at most 512 (max)"}},
		{Policy: "GPUBudget/shared", APIVersion: serving, Enforcement: v1alpha1.Warn, ObjectViolation: v1alpha1.ObjectViolation{Namespace: "ml", Kind: "Service", Name: "old", Bound: "max",
			Message: "asks for GPUs without a maximum of pods: its claim is unbounded and leaves nothing of budget shared to others; give it a max-scale; max-scale 253 fits"}},
	}, found)
	assert.Equal(t, []audit.BudgetUse{{
		Name: "shared", Enforcement: v1alpha1.BudgetWarn, Max: 512, Claimed: 1<<53 - 1, Unbounded: true,
		Kinds: []audit.KindUse{{Kind: "Service", Objects: 1, GPUs: 1<<53 - 1}, {Kind: "Deployment", Objects: 1, GPUs: 6}},
		Holders: []v1alpha1.Holder{
			{Namespace: "ml", Kind: "Service", Name: "old", GPUs: 1<<53 - 1, Unbounded: true}, {Namespace: "ml", Kind: "Deployment", Name: "c", GPUs: 6},
		},
	}}, use)
}
