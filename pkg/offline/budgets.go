package offline

import (
	"context"
	"strconv"

	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// ledgers charge the objects of the input to the budgets, one after the other, as if nothing
// else was there.
type ledgers struct {
	budgets *policy.Budgets
	memory  *charge.Memory
}

func newLedgers(in Inputs) *ledgers {
	return &ledgers{budgets: policy.CompileBudgets(in.Budgets), memory: charge.NewMemory(in.Budgets)}
}

// charge takes what an admitted object claims, or refuses it. written is the object as its
// author wrote it.
func (l *ledgers) charge(o *Outcome, written manifest.Object, w review.World, noKnative bool) {
	if l.budgets.None() || o.Verdict.Refused() {
		return
	}
	if noKnative {
		w.Cluster = &review.Cluster{}
	}
	namespace := namespaceOf(o.Object)
	if review.MakesPods(groupKind(o.Object)) && !o.Concerned {
		return // it asks for no devices, or is part of what is charged
	}
	r := request(o.Object, w)
	labels, known := w.NamespaceLabels(namespace)
	claims := r.Claims(w)
	if o.Replaced {
		for i := range claims {
			claims[i].WrittenIn(written)
		}
	}
	charges, refused := r.Charges(l.budgets, claims, labels, known, false)
	if len(refused) > 0 {
		o.Verdict.Denied = append(o.Verdict.Denied, refused...)
		return
	}
	demands := make([]charge.Demand, len(charges))
	for i, c := range charges {
		demands[i] = charge.Demand{Budget: c.Budget.Name, Charges: c.Charges}
	}
	for i, a := range l.memory.Charge(context.Background(), demands, false) {
		if !a.Fits {
			o.Verdict.Denied = append(o.Verdict.Denied, charges[i].NoRoom(a.Outcome, namespace))
			continue
		}
		o.Verdict.Warnings = append(o.Verdict.Warnings, charges[i].Left(a.Outcome, namespace))
		o.Verdict.Room = append(o.Verdict.Room, room(&charges[i], a.Outcome))
	}
}

// room is a budget among the bounds.
func room(c *review.Charge, o ledger.Outcome) policy.Room {
	bound := "budget.max"
	if o.PerNamespace {
		bound = "budget.maxPerNamespace"
	}
	left := strconv.FormatInt(o.Free, 10)
	if o.Free == 0 {
		left = "none"
	}
	return policy.Room{Policy: c.Budget.Name, Bound: bound, Asks: c.Asks(), Allows: "at most " + strconv.FormatInt(o.Of, 10), Left: left, Enforcement: "Deny"}
}
