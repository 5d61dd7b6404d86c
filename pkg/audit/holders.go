package audit

import (
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
		for _, h := range usage.AllHolders(claimants, b, in.Namespaces) {
			gpus := h.GPUs
			if h.Unbounded {
				gpus = workload.Unbounded
			}
			use.Holders = append(use.Holders, Holding{h.Namespace, h.Kind, h.Name, gpus})
		}
		claims := usage.Claims(claimants, b, in.Namespaces).Live
		for _, of := range claims {
			for _, a := range of {
				use.Used = workload.SaturatingAdd(use.Used, workload.SaturatingAdd(a.GPUs, a.Overlap))
			}
		}
		uses = append(uses, use)
	}
	return uses
}
