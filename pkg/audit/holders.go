package audit

import (
	"cmp"
	"slices"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Holding is an object that holds GPUs of a budget.
type Holding struct {
	Namespace string `json:"namespace"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	GPUs      int64  `json:"gpus"`
}

// BudgetHolders is who holds a budget.
type BudgetHolders struct {
	Name            string `json:"name"`
	Max             int64  `json:"max"`
	MaxPerNamespace *int64 `json:"maxPerNamespace,omitempty"`
	// Used is what the holders hold together, overlap of rollouts included.
	Used int64 `json:"used"`
	// Holders, the largest first.
	Holders []Holding `json:"holders"`
}

// Uses are who holds the budgets, counted from what exists. Invalid budgets are left out.
func Uses(in Input, budgets []v1alpha1.GPUBudget) []BudgetHolders {
	limits := map[string]v1alpha1.GPUBudgetSpec{}
	for i := range budgets {
		limits[budgets[i].Name] = budgets[i].Spec
	}
	c := index(in)
	w := c.world(nil)
	w.Live, w.Revisions = nil, nil
	claimants := usage.All(w, c.inventory())
	uses := []BudgetHolders{}
	for _, b := range policy.CompileBudgets(budgets).All() {
		use := BudgetHolders{Name: b.Name, MaxPerNamespace: limits[b.Name].MaxPerNamespace, Holders: []Holding{}}
		if most := limits[b.Name].Max; most != nil {
			use.Max = *most
		}
		selected := map[string]bool{}
		for i := range claimants {
			x := &claimants[i]
			if _, decided := selected[x.Namespace]; !decided {
				labels, known := in.Namespaces[x.Namespace]
				selected[x.Namespace] = b.Selects(x.Namespace, labels, known)
			}
			gpus := workload.SaturatingAdd(b.Claim(x.Parts), b.Claim(x.Overlap))
			if gpus == 0 || !selected[x.Namespace] {
				continue
			}
			use.Used = workload.SaturatingAdd(use.Used, gpus)
			use.Holders = append(use.Holders, Holding{x.Namespace, x.Kind, x.Name, gpus})
		}
		slices.SortStableFunc(use.Holders, func(a, b Holding) int {
			return cmp.Or(cmp.Compare(b.GPUs, a.GPUs), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
		})
		uses = append(uses, use)
	}
	return uses
}
