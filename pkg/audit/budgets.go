package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// BudgetUse is what the claims of what exists make of one budget.
type BudgetUse struct {
	Name            string                     `json:"name"`
	Enforcement     v1alpha1.BudgetEnforcement `json:"enforcement"`
	Max             int64                      `json:"max"`
	MaxPerNamespace *int64                     `json:"maxPerNamespace,omitempty"`
	// Claimed is the sum of the claims, and Overlap what pods of earlier versions hold beside them.
	Claimed int64 `json:"claimed"`
	Overlap int64 `json:"overlap,omitempty"`
	// Free is what that leaves; the overlap counts where the budget demands that it fits. Unbounded
	// is whether a claim has no limit.
	Free      int64 `json:"free"`
	Unbounded bool  `json:"unbounded,omitempty"`
	// Kinds are the kinds of objects that hold it, the largest first.
	Kinds []KindUse `json:"kinds"`
	// Holders are all claims, the largest first.
	Holders []v1alpha1.Holder `json:"holders"`
}

// KindUse is what the objects of one kind hold of a budget.
type KindUse struct {
	Kind    string `json:"kind"`
	Objects int    `json:"objects"`
	GPUs    int64  `json:"gpus"`
}

// Budgets tells which budgets the claims of what exists are beyond, as their ledgers count
// them: in all, as the budget itself, and by namespace; and each object whose claim has no
// limit, since one is enough to leave nothing to all others. Invalid budgets are left out; their
// conditions say so.
func Budgets(in Listing, budgets []v1alpha1.GPUBudget) (found []Finding, uses []BudgetUse) {
	c := index(in)
	w := c.world(nil)
	w.Live, w.Revisions = nil, nil
	claimants := usage.Without(usage.All(w, c.inventory()), c.Excluded)
	specs := map[string]v1alpha1.GPUBudgetSpec{}
	for i := range budgets {
		specs[budgets[i].Name] = budgets[i].Spec
	}
	for _, b := range policy.CompileBudgets(budgets).All() {
		use, beyond := useOf(b, specs[b.Name], claimants, in.Namespaces)
		uses = append(uses, use)
		found = append(append(found, beyond...), c.unbounded(b, specs[b.Name], use.Holders)...)
	}
	return found, uses
}

// useOf counts the claims of one budget, and says which of its limits they are beyond.
func useOf(b *policy.Budget, spec v1alpha1.GPUBudgetSpec, claimants []usage.Claimant, namespaces map[string]map[string]string) (use BudgetUse, found []Finding) {
	use = BudgetUse{Name: b.Name, Enforcement: b.Enforcement, Max: *spec.Max, MaxPerNamespace: spec.MaxPerNamespace,
		Holders: append([]v1alpha1.Holder{}, usage.AllHolders(claimants, b, namespaces)...)}
	use.Kinds = kindsOf(use.Holders)
	strict := spec.Rollout == v1alpha1.RolloutStrict
	limited := func(claimed, overlap int64) int64 {
		if strict {
			return workload.SaturatingAdd(claimed, overlap)
		}
		return claimed
	}
	var beyond []Finding
	claims := usage.Claims(claimants, b, namespaces).Live
	for _, namespace := range slices.Sorted(maps.Keys(claims)) {
		var claimed, overlap int64
		for _, a := range claims[namespace] {
			claimed, overlap = workload.SaturatingAdd(claimed, a.GPUs), workload.SaturatingAdd(overlap, a.Overlap)
		}
		use.Claimed, use.Overlap = workload.SaturatingAdd(use.Claimed, claimed), workload.SaturatingAdd(use.Overlap, overlap)
		if n, most := limited(claimed, overlap), spec.MaxPerNamespace; most != nil && n > *most {
			beyond = append(beyond, exceeded(b, "Namespace", namespace, "maxPerNamespace", n, *most))
		}
	}
	n := limited(use.Claimed, use.Overlap)
	if n > use.Max {
		found = append(found, exceeded(b, "GPUBudget", b.Name, "max", n, use.Max))
	}
	use.Free, use.Unbounded = max(0, use.Max-n), n >= ledger.Most
	use.Claimed, use.Overlap = min(ledger.Most, use.Claimed), min(ledger.Most, use.Overlap)
	return use, append(found, beyond...)
}

// kindsOf sums holders by their kinds, the largest sum first.
func kindsOf(holders []v1alpha1.Holder) []KindUse {
	byKind := map[string]KindUse{}
	for _, h := range holders {
		k := byKind[h.Kind]
		byKind[h.Kind] = KindUse{h.Kind, k.Objects + 1, min(ledger.Most, workload.SaturatingAdd(k.GPUs, h.GPUs))}
	}
	kinds := slices.AppendSeq([]KindUse{}, maps.Values(byKind))
	slices.SortFunc(kinds, func(a, b KindUse) int {
		return cmp.Or(cmp.Compare(b.GPUs, a.GPUs), cmp.Compare(a.Kind, b.Kind))
	})
	return kinds
}

// unbounded are the objects whose claim has no limit.
func (c *indexed) unbounded(b *policy.Budget, spec v1alpha1.GPUBudgetSpec, holders []v1alpha1.Holder) (found []Finding) {
	for _, h := range holders {
		if !h.Unbounded {
			continue
		}
		f := Finding{Policy: "GPUBudget/" + b.Name, APIVersion: c.apiVersion(h), Enforcement: v1alpha1.Enforcement(b.Enforcement), ObjectViolation: v1alpha1.ObjectViolation{
			Namespace: h.Namespace, Kind: h.Kind, Name: h.Name, Bound: "max",
			Message: fmt.Sprintf("asks for GPUs without a maximum of pods: its claim is unbounded and leaves nothing of budget %s to others; give it %s", b.Name, maximumOf(h.Kind)),
		}}
		f.fits(c.fittingBeside(b, spec, h, holders))
		found = append(found, f)
	}
	return found
}

// apiVersion is that of the object that holds a claim; empty if it is not listed.
func (c *indexed) apiVersion(h v1alpha1.Holder) string {
	for at, objects := range c.objects {
		if at.kind.Kind == h.Kind && at.namespace == h.Namespace && objects[h.Name] != nil {
			return manifest.Text(objects[h.Name].Object(), "apiVersion")
		}
	}
	return ""
}

// maximumOf says what limits the pods of an object of a kind.
func maximumOf(kind string) string {
	if slices.Contains([]string{review.ServiceKind.Kind, review.ConfigurationKind.Kind, review.RevisionKind.Kind, review.AutoscalerKind.Kind}, kind) {
		return "a max-scale"
	}
	return "a maximum of pods"
}

func exceeded(b *policy.Budget, kind, name, bound string, claimed, most int64) Finding {
	amount := GPUs(claimed) + " GPUs are claimed"
	if claimed >= ledger.Most {
		amount = "an " + GPUs(claimed) + " number of GPUs is claimed"
	}
	version := v1alpha1.GroupVersion.String()
	if kind == "Namespace" {
		version = "v1"
	}
	return Finding{Policy: "GPUBudget/" + b.Name, APIVersion: version, Enforcement: v1alpha1.Enforcement(b.Enforcement), ObjectViolation: v1alpha1.ObjectViolation{Kind: kind, Name: name, Bound: bound,
		Message: fmt.Sprintf("%s; budget %s allows at most %d (%s)", amount, b.Name, most, bound)}}
}

// GPUs words a number of GPUs of a ledger.
func GPUs(n int64) string {
	if n >= ledger.Most {
		return "unbounded"
	}
	return strconv.FormatInt(n, 10)
}

// inventory sorts what was listed by kinds, as a list of a cluster does.
func (c *indexed) inventory() *cluster.Objects {
	o := &cluster.Objects{Namespaces: c.Namespaces, Knative: c.Served}
	for i := range c.Objects {
		kind := placeOf(c.Objects[i].Object()).kind
		if into := o.Of(kind); into != nil {
			*into = append(*into, c.Objects[i])
		} else if _, ok := c.Policies.Operators().For(kind); ok {
			o.Operated = append(o.Operated, c.Objects[i])
		}
	}
	return o
}
