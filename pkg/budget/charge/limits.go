package charge

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
)

// Limits of a budget, as they are in force. While not every replica knows the spec, they are
// the smaller ones of it and of the one before.
func Limits(b *v1alpha1.GPUBudget) ledger.Limits {
	l := ledger.Limits{MaxPerNamespace: b.Spec.MaxPerNamespace, Strict: b.Spec.Rollout == v1alpha1.RolloutStrict}
	if b.Spec.Max != nil {
		l.Max = *b.Spec.Max
	}
	before := b.Status.Limits
	if before == nil || before.Generation == b.Generation {
		return l
	}
	l.Max = min(l.Max, before.Max)
	if most := before.MaxPerNamespace; most != nil && (l.MaxPerNamespace == nil || *most < *l.MaxPerNamespace) {
		l.MaxPerNamespace = most
	}
	return l
}

// Enforcement is what becomes of a claim that does not fit: while not every replica knows the
// spec, the stricter one of it and of the one before.
func Enforcement(b *v1alpha1.GPUBudget) v1alpha1.BudgetEnforcement {
	now := orDeny(b.Spec.Enforcement)
	if before := b.Status.Limits; before != nil && before.Generation != b.Generation && strictness(orDeny(before.Enforcement)) > strictness(now) {
		return orDeny(before.Enforcement)
	}
	return now
}

func orDeny(e v1alpha1.BudgetEnforcement) v1alpha1.BudgetEnforcement {
	if e == "" {
		return v1alpha1.BudgetDeny
	}
	return e
}

// strictness orders the ways of enforcing. One that this version does not know is the
// strictest.
func strictness(e v1alpha1.BudgetEnforcement) int {
	switch e {
	case v1alpha1.BudgetAudit:
		return 0
	case v1alpha1.BudgetWarn:
		return 1
	}
	return 2
}

// Adopt has the limits of the spec be those in force.
func Adopt(b *v1alpha1.GPUBudget) {
	l := &v1alpha1.BudgetLimits{Generation: b.Generation, MaxPerNamespace: b.Spec.MaxPerNamespace, Enforcement: orDeny(b.Spec.Enforcement)}
	if b.Spec.Max != nil {
		l.Max = *b.Spec.Max
	}
	b.Status.Limits = l
}

// Scope is a digest of what decides which claims a budget counts, and how: all of its spec but
// the limits and what becomes of a claim that does not fit.
func Scope(spec *v1alpha1.GPUBudgetSpec) string {
	rest := *spec
	rest.Max, rest.MaxPerNamespace, rest.Enforcement = nil, nil, ""
	if rest.Rollout == "" {
		rest.Rollout = v1alpha1.RolloutAllow
	}
	text, err := json.Marshal(rest)
	if err != nil {
		return "" // equal to none
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// Counted tells whether the ledger holds every claim that existed when this generation of
// the budget came into force, counted by the same rules. It does so still after one change
// of the limits alone; of several, nobody has seen what was in between.
func Counted(b *v1alpha1.GPUBudget, rules string) bool {
	c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionCounted)
	if c == nil || c.Status != "True" || b.Status.Rules != counts(rules, b.Status.Base != nil) {
		return false
	}
	return c.ObservedGeneration == b.Generation ||
		c.ObservedGeneration == b.Generation-1 && b.Status.Scope != "" && b.Status.Scope == Scope(&b.Spec)
}

// overBase begins the rules of a ledger with a base. To a version that knows of no bases these are
// other rules: it lets nothing rise until everything was counted again.
const overBase = "base:"

// counts are the rules as a ledger with a base, or without one, states them.
func counts(rules string, base bool) string {
	if base && rules != "" {
		return overBase + rules
	}
	return rules
}

// Rules are those that the ledger of a budget was counted by, with a base or without one.
func Rules(status *v1alpha1.GPUBudgetStatus) string {
	return strings.TrimPrefix(status.Rules, overBase)
}

// counting says how long counting is going to take, in seconds; 0 if that is not known.
func counting(b *v1alpha1.GPUBudget, now time.Time) int32 {
	if b.Status.CountedBy == nil {
		return 0
	}
	const least, most = 1, 300
	left := int32(min(most, b.Status.CountedBy.Sub(now).Seconds()+1))
	return max(least, left)
}

// Wait words how long to wait for something; 0 seconds if that is not known.
func Wait(why string, seconds int32) string {
	if seconds > 1 {
		return fmt.Sprintf("%s, for about %d s more", why, seconds)
	}
	return why
}
