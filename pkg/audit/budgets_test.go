package audit_test

import (
	"fmt"
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
		"an invalid one is not": {`{maxPerNamespace: 0}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var b v1alpha1.GPUBudget
			require.NoError(t, yaml.UnmarshalStrict(fmt.Appendf(nil, "{metadata: {name: shared}, spec: %s}", c.spec), &b))
			var got []string
			for _, f := range audit.Budgets(in, []v1alpha1.GPUBudget{b}) {
				assert.Equal(t, "GPUBudget/shared", f.Policy)
				got = append(got, f.Kind+" "+f.Name+" "+f.Bound+" "+f.Message)
			}
			assert.Equal(t, c.want, got)
		})
	}
}
