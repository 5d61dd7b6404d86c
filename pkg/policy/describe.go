package policy

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// Description is what one policy does, for people.
type Description struct {
	Name string
	// Bounds that the policy sets, in the order of the API.
	Bounds []Enforced
	// WorkloadSelector is whether the bounds hang on labels of workloads.
	WorkloadSelector bool
	// NamespaceLabels are those that the bounds hang on, sorted, without the namespace's
	// name, which nobody can change.
	NamespaceLabels []string
	// Exempt are the policy's exemptions.
	Exempt []v1alpha1.Exemption
	// Invalid says why the policy sets nothing.
	Invalid field.ErrorList
}

// Enforced is a bound and how it is enforced.
type Enforced struct {
	Bound       string
	Enforcement v1alpha1.Enforcement
}

// MakersSelected says that some service accounts that are trusted to make pods of operators' kinds live in
// namespaces that a policy or a budget selects.
func MakersSelected(makers []string) string {
	return "trusted to make pods of operators' kinds, in namespaces that this selects: " + strings.Join(makers, ", ") +
		"; whoever may write there may act as these, so let no tenant write there, or have the installation leave these namespaces out"
}

// Ended are the exemptions that hold no more, by their places in spec.exempt.
func (d Description) Ended(now time.Time) (places []int) {
	for i := range d.Exempt {
		if ended(&d.Exempt[i], now) {
			places = append(places, i)
		}
	}
	return places
}

// Modes are the ways in which the policy's bounds are enforced, the strictest first.
func (d Description) Modes() []v1alpha1.Enforcement {
	var modes []v1alpha1.Enforcement
	for _, b := range d.Bounds {
		if !slices.Contains(modes, b.Enforcement) {
			modes = append(modes, b.Enforcement)
		}
	}
	slices.SortFunc(modes, func(a, b v1alpha1.Enforcement) int { return strictness(b) - strictness(a) })
	return modes
}

// Describe describes every policy, the invalid ones too, by name.
func (s *Set) Describe() []Description {
	var all []Description
	for _, p := range s.policies {
		d := Description{Name: p.name, WorkloadSelector: !p.workload.Empty(), Exempt: p.exempt}
		for _, r := range p.rules {
			if b := (Enforced{r.Bound, r.Enforcement}); !slices.Contains(d.Bounds, b) {
				d.Bounds = append(d.Bounds, b)
			}
		}
		requirements, _ := p.namespace.all.Requirements()
		for _, r := range requirements {
			if r.Key() != corev1.LabelMetadataName {
				d.NamespaceLabels = append(d.NamespaceLabels, r.Key())
			}
		}
		slices.Sort(d.NamespaceLabels)
		d.NamespaceLabels = slices.Compact(d.NamespaceLabels)
		all = append(all, d)
	}
	for name, errs := range s.invalid {
		all = append(all, Description{Name: name, Invalid: errs})
	}
	slices.SortFunc(all, func(a, b Description) int { return strings.Compare(a.Name, b.Name) })
	return all
}
