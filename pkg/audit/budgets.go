package audit

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Budgets tells which budgets the claims of what exists are beyond, as their ledgers count
// them: in all, as the budget itself, and by namespace. Invalid budgets are left out; their
// conditions say so.
func Budgets(in Input, budgets []v1alpha1.GPUBudget) []Finding {
	limits := map[string]v1alpha1.GPUBudgetSpec{}
	for i := range budgets {
		limits[budgets[i].Name] = budgets[i].Spec
	}
	c := index(in)
	w := c.world(nil)
	w.Live, w.Revisions = nil, nil
	claimants := usage.All(w, c.inventory())
	var found []Finding
	for _, b := range policy.CompileBudgets(budgets).All() {
		limit, total := limits[b.Name], int64(0)
		claims, _ := usage.Claims(claimants, b, in.Namespaces)
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
		found = append(found, beyond...)
	}
	return found
}

func exceeded(b *policy.Budget, kind, name, bound string, claimed, most int64) Finding {
	amount := fmt.Sprint(claimed)
	if claimed == workload.Unbounded {
		amount = "unbounded"
	}
	return Finding{Policy: "GPUBudget/" + b.Name, Enforcement: v1alpha1.Deny, ObjectViolation: v1alpha1.ObjectViolation{Kind: kind, Name: name, Bound: bound,
		Message: fmt.Sprintf("%s GPUs are claimed; budget %s allows at most %d (%s)", amount, b.Name, most, bound)}}
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
