package policy

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Violation is a bound that a workload breaks.
type Violation struct {
	Policy      string
	Bound       string
	Enforcement v1alpha1.Enforcement
	Error       *field.Error
	// Repeated is whether a value was lowered to the bound before, in an earlier call about the same object.
	Repeated bool
}

// Judgement is what the bounds say of a workload.
type Judgement struct {
	// Denied are the violations that refuse it; Invalid those that no policy excuses.
	Denied  []Violation
	Invalid field.ErrorList
	// Warned and Audited are admitted.
	Warned, Audited []Violation
}

// Judge holds a demand against all bounds. old is the demand of the stored object,
// nil on CREATE: what breaks a bound already may stay as it is, and may not get worse.
// A Clamp bound that is still broken here refuses.
func (s Selection) Judge(d workload.Usage, old *workload.Usage) Judgement {
	var v Judgement
	bounded := false
	var gpuRule *Rule // the strictest one
	for _, p := range s.bounds {
		for i := range p.rules {
			r := &p.rules[i]
			bounded = true
			if r.kind.gpu && (gpuRule == nil || strictness(r.Enforcement) > strictness(gpuRule.Enforcement)) {
				gpuRule = r
			}
			if !r.breaks(&d) || (old != nil && r.breaks(old) && !r.worse(&d, old)) {
				continue
			}
			v.add(r.violation(field.Forbidden(r.kind.path(&d), fmt.Sprintf("asks for %s; policy %s allows %s (%s)", r.kind.asks(&d), r.Policy, r.limit(), r.field()))))
		}
	}
	same := old != nil && d.GPUs.SameRequests(old.GPUs)
	if bounded && !same {
		v.Invalid = append(v.Invalid, d.GPUs.Malformed...)
	}
	if gpuRule != nil && (!same || d.PeakPods > old.PeakPods) {
		for _, e := range d.GPUs.Unknown {
			named := *e
			named.Detail += fmt.Sprintf("; policy %s bounds GPUs (%s)", gpuRule.Policy, gpuRule.field())
			v.add(gpuRule.violation(&named))
		}
	}
	if len(d.GPUs.Unlisted) > 0 && (old == nil || !sameNames(d.GPUs.Unlisted, old.GPUs.Unlisted)) {
		if speaker := s.speaker(gpuRule); speaker != "" {
			v.Warned = append(v.Warned, unlisted(speaker, d.GPUs.Unlisted)...)
		}
	}
	if grown := !same || d.Claim > old.Claim || d.PeakPods > old.PeakPods; len(s.invalid) > 0 && grown && (d.Claim > 0 || len(d.GPUs.Unknown) > 0) {
		v.Denied = append(v.Denied, Violation{Policy: s.invalid[0], Bound: BoundGPUsPerPod, Enforcement: v1alpha1.Deny,
			Error: field.Forbidden(d.PodPath(), fmt.Sprintf(
				"asks for GPUs, and policy %s is invalid, so its bounds are not known; ask the platform team to mend it", strings.Join(s.invalid, ", ")))})
	}
	return v
}

// speaker is the policy, or where none has bounds the budget, that tells of accelerators which count as no GPUs.
func (s Selection) speaker(gpuRule *Rule) string {
	switch {
	case gpuRule != nil:
		return gpuRule.Policy
	case len(s.bounds) > 0:
		return s.bounds[0].name
	case s.budget == nil:
		return ""
	}
	return s.budget()
}

// warners are the policies that speak of accelerators which none counts: those that bound GPUs, or, where none
// does, all.
func (s Selection) warners() []*compiled {
	bounding := slices.DeleteFunc(slices.Clone(s.bounds), func(p *compiled) bool { return !p.boundsGPUs() })
	if len(bounding) == 0 {
		return s.bounds
	}
	return bounding
}

// Selecting are the names of the policies whose bounds hold, those without any bound included.
func (s Selection) Selecting() []string {
	names := make([]string, len(s.bounds))
	for i, p := range s.bounds {
		names[i] = p.name
	}
	return names
}

// Bounding are the names of the policies that bound GPUs.
func (s Selection) Bounding() []string {
	var names []string
	for _, p := range s.bounds {
		if p.boundsGPUs() {
			names = append(names, p.name)
		}
	}
	return names
}

// AllowedTypes are the GPU types that bounds allow, as they were written.
func (s Selection) AllowedTypes() []string {
	var names []string
	for _, p := range s.bounds {
		for i := range p.rules {
			if p.rules[i].kind == gpuTypes {
				names = append(names, p.rules[i].allowed...)
			}
		}
	}
	return names
}

func (c *compiled) boundsGPUs() bool {
	return slices.ContainsFunc(c.rules, func(r Rule) bool { return r.kind.gpu })
}

// unlisted are the accelerators that are not counted, as a policy speaks of them.
func unlisted(policy string, found field.ErrorList) []Violation {
	var all []Violation
	for _, e := range found {
		all = append(all, Violation{Policy: policy, Bound: UnlistedAccelerators, Enforcement: v1alpha1.Warn, Error: e})
	}
	return all
}

func sameNames(a, b field.ErrorList) bool {
	return slices.EqualFunc(a, b, func(x, y *field.Error) bool { return x.BadValue == y.BadValue })
}

// BoundsGPUs tells whether any bound speaks of GPUs, or might: an invalid policy counts.
func (s Selection) BoundsGPUs() bool {
	return len(s.invalid) > 0 || slices.ContainsFunc(s.bounds, (*compiled).boundsGPUs)
}

func (r *Rule) violation(e *field.Error) Violation {
	return Violation{Policy: r.Policy, Bound: r.Bound, Enforcement: r.Enforcement, Error: e}
}

// strictness orders what may happen to a workload that breaks a bound.
func strictness(e v1alpha1.Enforcement) int {
	return slices.Index([]v1alpha1.Enforcement{v1alpha1.Audit, v1alpha1.Warn, v1alpha1.Clamp, v1alpha1.Deny}, e)
}

func (v *Judgement) add(x Violation) {
	switch x.Enforcement {
	case v1alpha1.Warn:
		v.Warned = append(v.Warned, x)
	case v1alpha1.Audit:
		v.Audited = append(v.Audited, x)
	default:
		v.Denied = append(v.Denied, x)
	}
}
