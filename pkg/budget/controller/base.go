package controller

import (
	"context"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
)

const (
	// inStatus is how many claims a status holds in any case, in some 25 bytes each.
	inStatus = 512
	// inBase is which share of the claims may be other than in the base before there is a new one.
	// Where there are many, a base is larger, and seldom made.
	inBase = 64
)

// place has a ledger stand over a base: an empty one where it has few claims; else the one that
// it has, as long as most of its claims are as in it, or a new one. Nobody reads that before
// a status names it. As long as there are replicas that know of no bases it has none.
func (r *round) place(ctx context.Context, f *followed, b *v1alpha1.GPUBudget, base *ledger.Base, book *ledger.Book) (*ledger.Book, *ledger.Base) {
	if r.Bases == nil || !charge.ReadBases(r.replicas) {
		f.swept = f.swept && base.Empty()
		flat, _ := book.Over(nil)
		return flat, nil
	}
	claims := book.Count()
	if base != nil && (base.Empty() || claims > inStatus/2) {
		if over, recent := book.Over(base); over != nil && recent <= max(inStatus, claims/inBase) {
			return over, base
		}
	}
	var parts [][]byte
	if claims > inStatus {
		parts = book.Parts()
	}
	f.swept = f.swept && base.Empty() && len(parts) == 0
	made, err := r.Bases.Make(ctx, b, parts)
	if err != nil {
		// The status holds it all for now, as long as it can.
		r.Log.Error(err, "cannot store claims outside of the status of a budget", "budget", b.Name)
		flat, _ := book.Over(nil)
		return flat, nil
	}
	over, _ := book.Over(made)
	return over, made
}

// sweep deletes earlier bases of a budget, and those that were made in vain.
func (r *round) sweep(ctx context.Context, f *followed, b *v1alpha1.GPUBudget) error {
	if r.Bases == nil || f.swept {
		return nil
	}
	now, err := r.Store.Live(ctx, b.Name)
	if err != nil || now == nil {
		return err
	}
	left, err := r.Bases.Sweep(ctx, now, r.Wait)
	f.swept = err == nil && left == 0
	return err
}
