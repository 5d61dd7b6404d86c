package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Budgets are all GPUBudgets of a cluster, compiled. They are never changed after
// CompileBudgets.
type Budgets struct {
	budgets  []*Budget // by name
	invalid  []string
	versions map[string]string
}

// Budget is one GPUBudget.
type Budget struct {
	Name string
	// Version is which state of the budget this is.
	Version string
	// Strict is whether the overlap of a rollout must fit.
	Strict bool
	// Enforcement is what becomes of a claim that does not fit.
	Enforcement v1alpha1.BudgetEnforcement
	namespace   namespaceSelector
	types       workload.TypeList
}

// CompileBudgets prepares budgets for use. One that ValidateBudget refuses holds for every
// workload: no claim may rise while it is there.
func CompileBudgets(budgets []v1alpha1.GPUBudget) *Budgets {
	b := &Budgets{versions: make(map[string]string, len(budgets))}
	for i := range budgets {
		g := &budgets[i]
		b.versions[g.Name] = Version(string(g.UID), g.Generation)
		if len(ValidateBudget(g)) > 0 {
			b.invalid = append(b.invalid, g.Name)
			continue
		}
		b.budgets = append(b.budgets, &Budget{Name: g.Name, Version: Version(string(g.UID), g.Generation), Strict: g.Spec.Rollout == v1alpha1.RolloutStrict,
			Enforcement: cmp.Or(g.Spec.Enforcement, v1alpha1.BudgetDeny), namespace: newNamespaceSelector(g.Spec.NamespaceSelector), types: workload.NewTypeList(g.Spec.GPUTypes)})
	}
	slices.Sort(b.invalid)
	slices.SortFunc(b.budgets, func(a, b *Budget) int { return strings.Compare(a.Name, b.Name) })
	return b
}

// CompileStoredBudgets prepares budgets as they are stored. One that cannot be decoded is
// invalid, and so is one with a field that this version does not know: it may be a limit.
func CompileStoredBudgets(objects []manifest.Object) *Budgets {
	var decoded []v1alpha1.GPUBudget
	var invalid []string
	versions := map[string]string{}
	for _, o := range objects {
		name := manifest.Text(o, "metadata", "name")
		generation, _ := manifest.Whole(o, "metadata", "generation")
		uid := manifest.Text(o, "metadata", "uid")
		versions[name] = Version(uid, generation)
		var g v1alpha1.GPUBudget
		raw, err := json.Marshal(manifest.Object{"metadata": manifest.Object{"name": name, "uid": uid, "generation": generation}, "spec": o["spec"]})
		if err == nil {
			var unknown []error
			if unknown, err = kjson.UnmarshalStrict(raw, &g); len(unknown) > 0 {
				err = unknown[0]
			}
		}
		if err != nil {
			invalid = append(invalid, name)
			continue
		}
		decoded = append(decoded, g)
	}
	b := CompileBudgets(decoded)
	b.invalid = append(b.invalid, invalid...)
	slices.Sort(b.invalid)
	b.versions = versions
	return b
}

// ValidateBudget names every mistake in a budget.
func ValidateBudget(g *v1alpha1.GPUBudget) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	for _, problem := range apivalidation.NameIsDNSSubdomain(g.Name, false) {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), g.Name, problem))
	}
	errs = append(errs, validateSelector(g.Spec.NamespaceSelector, spec.Child("namespaceSelector"))...)
	for i, t := range g.Spec.GPUTypes {
		if _, err := path.Match(t, ""); err != nil || t == "" {
			errs = append(errs, field.Invalid(spec.Child("gpuTypes").Index(i), t, "must be the value of a GPU type label; *, ? and [a-z] match as in shell patterns"))
		}
	}
	if g.Spec.Max == nil {
		errs = append(errs, field.Required(spec.Child("max"), "the number of GPUs that all selected workloads may claim together"))
	}
	for _, limit := range []struct {
		name  string
		value *int64
	}{{"max", g.Spec.Max}, {"maxPerNamespace", g.Spec.MaxPerNamespace}} {
		if limit.value != nil && (*limit.value < 0 || *limit.value > 1<<53-1) {
			errs = append(errs, field.Invalid(spec.Child(limit.name), *limit.value, "must be a number of GPUs from 0 to 9007199254740991"))
		}
	}
	if r := g.Spec.Rollout; r != "" && r != v1alpha1.RolloutAllow && r != v1alpha1.RolloutStrict {
		errs = append(errs, field.NotSupported(spec.Child("rollout"), r, []v1alpha1.RolloutPolicy{v1alpha1.RolloutAllow, v1alpha1.RolloutStrict}))
	}
	if e := g.Spec.Enforcement; e != "" && e != v1alpha1.BudgetDeny && e != v1alpha1.BudgetWarn && e != v1alpha1.BudgetAudit {
		errs = append(errs, field.NotSupported(spec.Child("enforcement"), e, []v1alpha1.BudgetEnforcement{v1alpha1.BudgetDeny, v1alpha1.BudgetWarn, v1alpha1.BudgetAudit}))
	}
	return errs
}

// All are the budgets in force, by name.
func (b *Budgets) All() []*Budget {
	if b == nil {
		return nil
	}
	return b.budgets
}

// Invalid are the names of the budgets that cannot be followed.
func (b *Budgets) Invalid() []string {
	if b == nil {
		return nil
	}
	return b.invalid
}

// Versions are those of all budgets, by name, the invalid ones included.
func (b *Budgets) Versions() map[string]string {
	if b == nil {
		return nil
	}
	return b.versions
}

// Version names a state of a budget: its generation, and its UID, since one that is made anew
// begins at the first generation again.
func Version(uid string, generation int64) string { return fmt.Sprintf("%s/%d", uid, generation) }

// None tells whether there is no budget at all.
func (b *Budgets) None() bool { return len(b.All())+len(b.Invalid()) == 0 }

// Selective tells whether the labels of a namespace decide which budgets hold.
func (b *Budgets) Selective() bool { return slices.ContainsFunc(b.All(), (*Budget).Selective) }

// Selective tells whether a change of a namespace's labels can bring it under the budget.
// Its name is a label too, which nobody can change.
func (b *Budget) Selective() bool {
	return slices.ContainsFunc(b.namespace.requirements, func(r labels.Requirement) bool { return r.Key() != corev1.LabelMetadataName })
}

// Strict tells whether any of the budgets is strict.
func (b *Budgets) Strict() bool {
	return slices.ContainsFunc(b.All(), func(b *Budget) bool { return b.Strict })
}

// Selects tells whether the budget holds in a namespace. Where not all of its labels are
// known, what they leave open counts as selected.
func (b *Budget) Selects(namespace string, namespaceLabels map[string]string, known bool) bool {
	selects, _ := b.namespace.selects(&Subject{Namespace: namespace, NamespaceLabels: namespaceLabels, NamespaceKnown: known})
	return selects
}

// Claim is how many of the GPUs of some parts count: those of the budget's types, in any
// vendor's words, and those that nothing pins to a type that is understood to be another.
func (b *Budget) Claim(parts []workload.Part) int64 {
	if b.types.Empty() {
		return workload.Sum(parts)
	}
	return workload.SumOf(parts, b.types.MayBe)
}

// Types words the GPU types that count, "" for all.
func (b *Budget) Types() string { return b.types.String() }

// TypeNames are the GPU types that count, as they were written; none for all.
func (b *Budget) TypeNames() []string { return b.types.Names() }

// countingVersion is the way in which objects are counted. A version of the program that counts other
// kinds, or the same in another way, has another one, so that ledgers are counted anew after an upgrade
// and no replica believes one that was counted in another way. v1 counted Knative Services and
// Deployments only, v2 claimed devices by the type of the pod's node.
const countingVersion = "v3"

// Rules is a digest of what GPUs are counted by: with other GPU resources, other
// defaults of Knative or kinds of operators, or other namespaces left out, the same objects claim something else.
func Rules(s *Set, kn *knative.Config) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %s %d %d %d", countingVersion, s.GPUResources().Digest(), s.operated().digest, kn.MinScale(), kn.MaxScale(), kn.InitialScale())
	if len(s.excluded) > 0 {
		fmt.Fprintf(h, " %q", s.excluded)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
