package charge

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/policy"
)

// Demand is what one admission asks of one budget.
type Demand struct {
	// Budget is its name, and Version the state that the charges were worked out for.
	Budget, Version string
	// Selective is whether labels of namespaces decide what the budget holds for, so that
	// the namespace must have been counted.
	Selective bool
	// Rules is the digest of what GPUs are counted by.
	Rules   string
	Charges []ledger.Charge
	// Optional is whether the admission does not depend on a ledger that cannot answer.
	Optional bool
	// Unwritten is whether nothing is written where the ledger holds as much already.
	Unwritten bool
}

// Answer is what became of a demand.
type Answer struct {
	ledger.Outcome
	// Retry is why it cannot be decided now; empty if it is decided.
	Retry string
}

// Limits of a budget.
func Limits(b *v1alpha1.GPUBudget) ledger.Limits {
	l := ledger.Limits{MaxPerNamespace: b.Spec.MaxPerNamespace, Strict: b.Spec.Rollout == v1alpha1.RolloutStrict}
	if b.Spec.Max != nil {
		l.Max = *b.Spec.Max
	}
	return l
}

// Counted tells whether the ledger holds every claim that existed when this generation of
// the budget came into force, counted by the same rules.
func Counted(b *v1alpha1.GPUBudget, rules string) bool {
	c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionCounted)
	return c != nil && c.Status == "True" && c.ObservedGeneration == b.Generation && b.Status.Rules == rules
}

const (
	retryCounting  = "its claims are being counted"
	retryBusy      = "its ledger is busy"
	retryChanged   = "it has just been changed"
	retryUnread    = "its ledger cannot be read, and is being counted again"
	retryNamespace = "the claims in this namespace are being counted"
)

// obstacle says why a demand cannot be decided with a budget as it is; empty if it can.
func (d *Demand) obstacle(b *v1alpha1.GPUBudget, book *ledger.Book) string {
	switch {
	case book == nil:
		return retryUnread
	case policy.Version(string(b.UID), b.Generation) != d.Version:
		return retryChanged
	case !Counted(b, d.Rules):
		return retryCounting
	case d.Selective && len(d.Charges) > 0 && !book.Lists(d.Charges[0].Namespace):
		return retryNamespace
	}
	return ""
}
