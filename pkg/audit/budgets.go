package audit

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// BudgetUse is what the claims of what exists make of one budget.
type BudgetUse struct {
	Name        string                     `json:"name"`
	Enforcement v1alpha1.BudgetEnforcement `json:"enforcement"`
	Max         int64                      `json:"max"`
	// Claimed is the sum of the claims, Free what that leaves. Unbounded is whether one of them
	// has no limit.
	Claimed   int64 `json:"claimed"`
	Free      int64 `json:"free"`
	Unbounded bool  `json:"unbounded,omitempty"`
	// Holders are the largest claims.
	Holders []v1alpha1.Holder `json:"holders"`
}

// Budgets tells which budgets the claims of what exists are beyond, as their ledgers count
// them: in all, as the budget itself, and by namespace; and each object whose claim has no
// limit, since one is enough to leave nothing to all others. Invalid budgets are left out; their
// conditions say so.
func Budgets(in Input, budgets []v1alpha1.GPUBudget) (found []Finding, use []BudgetUse) {
	limits := map[string]v1alpha1.GPUBudgetSpec{}
	for i := range budgets {
		limits[budgets[i].Name] = budgets[i].Spec
	}
	c := index(in)
	w := c.world(nil)
	w.Live, w.Revisions = nil, nil
	claimants := usage.All(w, c.inventory())
	for _, b := range policy.CompileBudgets(budgets).All() {
		limit, total := limits[b.Name], int64(0)
		claims := usage.Claims(claimants, b, in.Namespaces).Live
		var beyond []Finding
		for _, namespace := range slices.Sorted(maps.Keys(claims)) {
			var n int64
			for _, a := range claims[namespace] {
				n = workload.SaturatingAdd(n, a.GPUs)
				if limit.Rollout == v1alpha1.RolloutStrict {
					n = workload.SaturatingAdd(n, a.Overlap)
				}
			}
			total = workload.SaturatingAdd(total, n)
			if most := limit.MaxPerNamespace; most != nil && n > *most {
				beyond = append(beyond, exceeded(b, "Namespace", namespace, "maxPerNamespace", n, *most))
			}
		}
		if total > *limit.Max {
			found = append(found, exceeded(b, "GPUBudget", b.Name, "max", total, *limit.Max))
		}
		holders := usage.Holders(claimants, b, in.Namespaces)
		use = append(use, BudgetUse{
			Name: b.Name, Enforcement: b.Enforcement, Max: *limit.Max, Claimed: min(ledger.Most, total), Free: max(0, *limit.Max-total),
			Unbounded: total >= ledger.Most, Holders: holders[:min(len(holders), 10)],
		})
		found = append(append(found, beyond...), unbounded(b, holders)...)
	}
	return found, use
}

// unbounded are the objects whose claim has no limit.
func unbounded(b *policy.Budget, holders []v1alpha1.Holder) (found []Finding) {
	for _, h := range holders {
		if h.Unbounded {
			found = append(found, Finding{Policy: "GPUBudget/" + b.Name, Enforcement: v1alpha1.Enforcement(b.Enforcement), ObjectViolation: v1alpha1.ObjectViolation{
				Namespace: h.Namespace, Kind: h.Kind, Name: h.Name, Bound: "max",
				Message: fmt.Sprintf("asks for GPUs without a maximum of pods: its claim is unbounded and leaves nothing of budget %s to others; give it a max-scale", b.Name),
			}})
		}
	}
	return found
}

func exceeded(b *policy.Budget, kind, name, bound string, claimed, most int64) Finding {
	amount := fmt.Sprintf("%d GPUs are claimed", claimed)
	if claimed >= ledger.Most {
		amount = "an unbounded number of GPUs is claimed"
	}
	return Finding{Policy: "GPUBudget/" + b.Name, Enforcement: v1alpha1.Enforcement(b.Enforcement), ObjectViolation: v1alpha1.ObjectViolation{Kind: kind, Name: name, Bound: bound,
		Message: fmt.Sprintf("%s; budget %s allows at most %d (%s)", amount, b.Name, most, bound)}}
}

// inventory sorts what was listed by kinds.
func (c *indexed) inventory() *cluster.Objects {
	o := &cluster.Objects{Namespaces: c.Namespaces, Knative: c.Served}
	kinds := map[schema.GroupKind]*[]cluster.Item{
		review.DeploymentKind: &o.Deployments, review.ServiceKind: &o.Services, review.ConfigurationKind: &o.Configurations,
		review.RouteKind: &o.Routes, review.RevisionKind: &o.Revisions, review.AutoscalerKind: &o.PodAutoscalers,
	}
	for i := range c.Objects {
		if into := kinds[placeOf(c.Objects[i].Object()).kind]; into != nil {
			*into = append(*into, c.Objects[i])
		}
	}
	return o
}
