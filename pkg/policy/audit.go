package policy

import (
	"slices"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Audit is every bound that a demand breaks, whatever its enforcement. What a stored object
// asks for counts as much as if it were new. What the bounds of an invalid policy are is not
// known, so nothing breaks them; a number of GPUs that is none breaks every policy with bounds.
func (s Selection) Audit(d workload.Usage) []Violation {
	s.invalid = nil
	accelerators := d.GPUs.Unlisted
	d.GPUs.Unlisted = nil
	v := s.Judge(d, nil)
	found := slices.Concat(v.Denied, v.Warned, v.Audited)
	for _, e := range v.Invalid {
		for _, p := range s.bounds {
			if i := max(0, slices.IndexFunc(p.rules, func(r Rule) bool { return r.kind.gpu })); i < len(p.rules) {
				found = append(found, Violation{Policy: p.name, Bound: p.rules[i].Bound, Enforcement: p.rules[i].Enforcement, Error: e})
			}
		}
	}
	if len(accelerators) == 0 {
		return found
	}
	for _, p := range s.warners() {
		found = append(found, unlisted(p.name, accelerators)...)
	}
	return found
}

// Clamping is the bound that By names, if it is one of those that clamp.
func (s Selection) Clamping(by string) (Violation, bool) {
	for _, p := range s.bounds {
		for i := range p.rules {
			if r := &p.rules[i]; r.Enforcement == v1alpha1.Clamp && r.by() == by {
				return r.violation(nil), true
			}
		}
	}
	return Violation{}, false
}
