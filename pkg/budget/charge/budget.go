package charge

import (
	"fmt"

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
	// Look is whether nothing is charged: the answer says what is free, and what the entries of the charges hold.
	Look bool
}

// Answer is what became of a demand.
type Answer struct {
	ledger.Outcome
	// Retry is why it cannot be decided now; empty if it is decided. After is in how many
	// seconds it can; 0 if that is not known.
	Retry string
	After int32
	// Despite is how a charge that does not fit is told of where it is taken all the same;
	// empty where it is not.
	Despite v1alpha1.BudgetEnforcement
	// Holders are the largest claims, and All and Own what is held in all and in the charge's
	// namespace, where a charge does not fit.
	Holders  []v1alpha1.Holder
	All, Own int64
	// Held is what the entries of the charges hold, where that was looked for.
	Held []int64
}

// look answers a demand that charges nothing. What is free is so in all, and for the namespace of the charges.
func look(book *ledger.Book, limits ledger.Limits, charges []ledger.Charge) Answer {
	a := Answer{Held: make([]int64, len(charges))}
	for i, c := range charges {
		a.Held[i] = book.Amount(c.Namespace, c.Key).GPUs
	}
	if len(charges) > 0 {
		a.Outcome = book.Try(limits, ledger.Charge{Key: charges[0].Key, Namespace: charges[0].Namespace})
	}
	return a
}

// Admits tells whether the budget lets the admission through.
func (a *Answer) Admits() bool { return a.Fits || a.Despite != "" }

const (
	retryCounting  = "its claims are being counted"
	retryBusy      = "its ledger is busy"
	retryChanged   = "it has just been changed"
	retryUnread    = "its ledger cannot be read, and is being counted again"
	retryNamespace = "the claims in this namespace are being counted"
)

// crowded words that a namespace has its share of what is free under way.
func crowded(share int64) string {
	return fmt.Sprintf("what this namespace has under way, and is not seen stored yet, holds up to %d %% of what is free, so that other namespaces have room", share)
}

// obstacle says why a demand cannot be decided with a budget as it is; empty if it can.
func (d *Demand) obstacle(b *v1alpha1.GPUBudget, book *ledger.Book) string {
	switch {
	case book == nil:
		return retryUnread
	case policy.Version(string(b.UID), b.Generation) != d.Version:
		return retryChanged
	case Enforcement(b) != v1alpha1.BudgetDeny:
		return "" // it refuses nothing, so what is charged before it is counted only has to be kept
	case !Counted(b, d.Rules):
		return retryCounting
	case d.Selective && len(d.Charges) > 0 && !book.Lists(d.Charges[0].Namespace):
		return retryNamespace
	}
	return ""
}
