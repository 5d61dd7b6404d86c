package ledger

// Take raises the claims of one admission whatever the limits say: for a budget that tells of
// what is beyond it and refuses nothing. They count from then on like all others.
func (b *Book) Take(token string, charges ...Charge) {
	for _, c := range charges {
		b.reserve(c.Key, reservation{Amount: b.amount(c.Namespace, c.Key).Max(c.Amount.capped()),
			namespace: c.Namespace, kind: c.Kind, name: c.Name, token: token})
	}
}

// Held is what all claims hold, and those of one namespace.
func (b *Book) Held(namespace string) (all, own int64) {
	return b.totals().held().GPUs, b.totals().heldIn(namespace).GPUs
}

// Keep has a ledger that was counted anew hold what admissions charged meanwhile, as far as it
// selects their namespaces. Nothing is lost of what a budget let through while it was counted;
// what was never stored is let go like every other reservation.
func (b *Book) Keep(from *Book, selected Selected) {
	for key, r := range from.reservations {
		if selected == nil || selected[r.namespace] {
			r.Amount = b.amount(r.namespace, key).Max(r.Amount)
			b.reserve(key, r)
		}
	}
}
