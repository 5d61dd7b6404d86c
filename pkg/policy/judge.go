package policy

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// Violation is a bound that a workload breaks.
type Violation struct {
	Policy      string
	Bound       string
	Enforcement v1alpha1.Enforcement
	Error       *field.Error
}

// Verdict is what the bounds say of a workload.
type Verdict struct {
	// Denied are the violations that refuse it; Invalid those that no policy excuses.
	Denied  []Violation
	Invalid field.ErrorList
	// Warned and Audited are admitted.
	Warned, Audited []Violation
}

// Judge holds a demand against all bounds. old is the demand of the stored object,
// nil on CREATE: what breaks a bound already may stay as it is, and may not get worse.
// A Clamp bound that is still broken here refuses.
func (s Selection) Judge(d Demand, old *Demand) Verdict {
	var v Verdict
	bounded, gpuBounded := false, false
	for _, p := range s.bounds {
		for i := range p.rules {
			r := &p.rules[i]
			bounded = true
			gpuBounded = gpuBounded || r.kind.gpu
			if !r.breaks(&d) || (old != nil && r.breaks(old) && !r.worse(&d, old)) {
				continue
			}
			v.add(Violation{Policy: r.Policy, Bound: r.Bound, Enforcement: r.Enforcement,
				Error: field.Forbidden(r.kind.path(&d), fmt.Sprintf("asks for %s; policy %s allows %s (%s)", r.kind.asks(&d), r.Policy, r.limit(), r.field()))})
		}
	}
	grown := old == nil || d.Claim > old.Claim || d.GPUs.PerPod > old.GPUs.PerPod
	if bounded && (old == nil || len(d.GPUs.Malformed) > len(old.GPUs.Malformed)) {
		v.Invalid = append(v.Invalid, d.GPUs.Malformed...)
	}
	if gpuBounded && (old == nil || len(d.GPUs.Unknown) > len(old.GPUs.Unknown)) {
		for _, e := range d.GPUs.Unknown {
			v.Denied = append(v.Denied, Violation{Policy: s.gpuPolicy(), Bound: "gpusPerPod", Enforcement: v1alpha1.Deny, Error: e})
		}
	}
	if len(s.invalid) > 0 && grown && (d.Claim > 0 || len(d.GPUs.Unknown) > 0) {
		v.Denied = append(v.Denied, Violation{Policy: s.invalid[0], Bound: "gpusPerPod", Enforcement: v1alpha1.Deny,
			Error: field.Forbidden(field.NewPath("spec", "template", "spec"), fmt.Sprintf(
				"asks for GPUs, and policy %s is invalid, so its bounds are not known; ask the platform team to mend it", strings.Join(s.invalid, ", ")))})
	}
	return v
}

func (v *Verdict) add(x Violation) {
	switch x.Enforcement {
	case v1alpha1.Warn:
		v.Warned = append(v.Warned, x)
	case v1alpha1.Audit:
		v.Audited = append(v.Audited, x)
	default:
		v.Denied = append(v.Denied, x)
	}
}

// gpuPolicy names the first policy that bounds GPUs.
func (s Selection) gpuPolicy() string {
	for _, p := range s.bounds {
		for i := range p.rules {
			if p.rules[i].kind.gpu {
				return p.name
			}
		}
	}
	return ""
}
