package usage

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

func claimant(key, namespace, name string, gpus int64) Claimant {
	return Claimant{Key: ledger.ForName("Service", namespace, key), Namespace: namespace, Kind: "Service", Name: name, Parts: []workload.Part{{GPUs: gpus}}}
}

func TestHolders(t *testing.T) {
	valid := v1alpha1.GPUBudget{Spec: v1alpha1.GPUBudgetSpec{Max: new(int64(1))}}
	valid.Name = "b"
	budget := policy.CompileBudgets([]v1alpha1.GPUBudget{valid})
	holder := func(namespace, name string, gpus int64) v1alpha1.Holder {
		return v1alpha1.Holder{Namespace: namespace, Kind: "Service", Name: name, GPUs: gpus, Unbounded: gpus == ledger.Most}
	}
	plan := claimant("planned", "a", "planned", 9)
	plan.Plan = true
	for name, c := range map[string]struct {
		all  []Claimant
		want []v1alpha1.Holder
	}{
		"nobody": {nil, nil},
		"the largest first, then by name": {
			[]Claimant{claimant("x", "a", "x", 1), claimant("z", "a", "z", 4), claimant("y", "b", "y", 4)},
			[]v1alpha1.Holder{holder("a", "z", 4), holder("b", "y", 4), holder("a", "x", 1)},
		},
		"one without a limit": {
			[]Claimant{claimant("x", "a", "x", 1), claimant("old", "a", "old", workload.Unbounded)},
			[]v1alpha1.Holder{holder("a", "old", ledger.Most), holder("a", "x", 1)},
		},
		"two of one key are one, the larger": {
			[]Claimant{claimant("x", "a", "x", 1), claimant("x", "a", "x", 3)}, []v1alpha1.Holder{holder("a", "x", 3)},
		},
		"what is only planned holds nothing, and neither does what claims nothing": {
			[]Claimant{plan, claimant("none", "a", "none", 0)}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, Holders(c.all, budget.All()[0], nil))
		})
	}
}

// A status has room for some: ten in all, three of each namespace beside them.
func TestHoldersAreLimited(t *testing.T) {
	valid := v1alpha1.GPUBudget{Spec: v1alpha1.GPUBudgetSpec{Max: new(int64(1))}}
	valid.Name = "b"
	budget := policy.CompileBudgets([]v1alpha1.GPUBudget{valid}).All()[0]
	var all []Claimant
	for n := range 150 {
		for i := range 5 {
			name := fmt.Sprintf("s%d", i)
			all = append(all, claimant(name, fmt.Sprintf("n%03d", n), name, int64(1000-n)))
		}
	}
	found := Holders(all, budget, nil)
	in := map[string]int{}
	for _, h := range found {
		in[h.Namespace]++
	}
	assert.Len(t, in, mostNamespaces)
	assert.Equal(t, 5, in["n000"], "of the ten largest of all")
	assert.Equal(t, 3, in["n050"])
	assert.LessOrEqual(t, len(found), 400, "what the status takes")
}
