package review

import (
	"slices"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/policy"
)

// DecisionOutcome is what became of a request that broke a bound.
type DecisionOutcome string

// The outcomes. All but Denied are of requests that were admitted, or refused for another
// reason.
const (
	Denied  DecisionOutcome = "denied"
	Clamped DecisionOutcome = "clamped"
	Warned  DecisionOutcome = "warned"
	Audited DecisionOutcome = "audited"
)

// Decision is a bound that a request broke.
type Decision struct {
	Policy, Bound string
	Enforcement   v1alpha1.Enforcement
	Outcome       DecisionOutcome
}

// Decisions are what policies decided in the answer that was given, each bound once. A dry
// run leaves no trace, so it has none.
func (r *Request) Decisions() []Decision {
	if r.raw.DryRun != nil && *r.raw.DryRun {
		return nil
	}
	return r.decisions
}

// decisions are what is decided in one step: each bound is warned of and audited in the
// validating step, and clamped in the mutating one.
func (v *Verdict) decisions(mutating bool) []Decision {
	var all []Decision
	add := func(outcome DecisionOutcome, violations []policy.Violation) {
		for _, x := range violations {
			if d := (Decision{x.Policy, x.Bound, x.Enforcement, outcome}); !slices.Contains(all, d) {
				all = append(all, d)
			}
		}
	}
	add(Denied, v.Denied)
	switch {
	case !mutating:
		add(Warned, v.Warned)
		add(Audited, v.Audited)
	// A step that is asked again, after other webhooks, finds what it lowered before, whatever they changed
	// meanwhile: that is the same request.
	case !v.Refused():
		add(Clamped, slices.DeleteFunc(slices.Clone(v.Clamped), func(x policy.Violation) bool { return x.Repeated }))
	}
	return all
}
