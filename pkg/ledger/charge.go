package ledger

import "slices"

// Charge raises one claim.
type Charge struct {
	Key        Key
	Namespace  string
	Kind, Name string
	Amount
	// Rises is whether the claim itself rises; else it is charged for what it replaces.
	Rises bool
}

// Limits are what a budget allows.
type Limits struct {
	Max int64
	// MaxPerNamespace is nil where there is none.
	MaxPerNamespace *int64
	// Strict is whether the overlap of a rollout must fit too.
	Strict bool
}

// Outcome says whether charges fit, and what is left.
type Outcome struct {
	Fits bool
	// Raised is what the charges add to the ledger.
	Raised int64
	// Free is what the budget, or the namespace's share of it, has left: after the charges
	// where they fit, else before them. Of is the limit that Free belongs to, the scarcer
	// of the two; PerNamespace is whether that is the namespace's.
	Free, Of     int64
	PerNamespace bool
	// Reserved is how much of what is taken belongs to admissions under way.
	Reserved int64
}

// Try tells what Charge would do.
func (b *Book) Try(limits Limits, charges ...Charge) Outcome {
	o, _ := b.try(limits, charges)
	return o
}

// Charge raises the claims of one admission, all of one namespace, all or none of them. The
// token marks the entries as touched by this admission. Entries that are as high already
// fit whatever the limits say: they are counted.
func (b *Book) Charge(limits Limits, token string, charges ...Charge) Outcome {
	o, added := b.try(limits, charges)
	if !o.Fits {
		return o
	}
	for _, c := range charges {
		b.reservations[c.Key] = reservation{Amount: b.amount(c.Namespace, c.Key).Max(c.Amount.capped()),
			namespace: c.Namespace, kind: c.Kind, name: c.Name, token: token}
	}
	if len(charges) > 0 {
		b.totals().add(charges[0].Namespace, added)
	}
	return o
}

func (b *Book) try(limits Limits, charges []Charge) (o Outcome, added Amount) {
	if len(charges) == 0 {
		return Outcome{Fits: true}, added
	}
	namespace := charges[0].Namespace
	all, inNamespace := b.totals().all, b.totals().in[namespace]
	for _, c := range charges {
		before := b.amount(c.Namespace, c.Key)
		after := before.Max(c.Amount.capped())
		added = added.Add(Amount{GPUs: after.GPUs - before.GPUs, Overlap: after.Overlap - before.Overlap})
	}
	fits := func(taken Amount, limit int64) bool {
		if slices.ContainsFunc(charges, func(c Charge) bool { return c.Rises && c.GPUs >= Most }) {
			return false // what is without limit already may not grow
		}
		if added.GPUs == 0 && (added.Overlap == 0 || !limits.Strict) {
			return true
		}
		need := sum(sum(taken.GPUs, taken.Overlap), added.GPUs)
		if limits.Strict {
			need = sum(need, added.Overlap)
		}
		return need <= limit
	}
	o = Outcome{Raised: added.GPUs, Fits: fits(all, limits.Max), Free: free(all, limits.Max), Of: limits.Max}
	if limits.MaxPerNamespace != nil {
		left := free(inNamespace, *limits.MaxPerNamespace)
		if within := fits(inNamespace, *limits.MaxPerNamespace); !within || (o.Fits && left < o.Free) {
			o.Fits, o.PerNamespace, o.Free, o.Of = o.Fits && within, true, left, *limits.MaxPerNamespace
		}
	}
	if o.Fits {
		o.Free = max(0, o.Free-added.GPUs-added.Overlap)
	} else {
		o.Reserved = b.reserved()
	}
	return o, added
}

func free(taken Amount, limit int64) int64 {
	return max(0, limit-sum(taken.GPUs, taken.Overlap))
}

// reserved is what reservations hold beyond settled claims.
func (b *Book) reserved() int64 {
	var n int64
	for key, r := range b.reservations {
		n = sum(n, max(0, r.GPUs-b.settled[r.namespace][key].GPUs))
	}
	return n
}

// Set makes a claim what it is to be, up or down: for a ledger that nothing else writes
// and that is told of everything, as without a cluster. A claim of 0 is not kept.
func (b *Book) Set(namespace string, key Key, a Amount) {
	delete(b.reservations, key)
	b.settle(namespace, key, a)
}

func (b *Book) settle(namespace string, key Key, a Amount) {
	b.sums = nil
	if a == (Amount{}) {
		delete(b.settled[namespace], key)
		return
	}
	if b.settled[namespace] == nil {
		b.settled[namespace] = map[Key]Amount{}
	}
	b.settled[namespace][key] = a
}

// Within tells whether the claims are within the limits; beyond are the namespaces that
// have more than their share, sorted. Overlap counts where the limits are strict.
func (b *Book) Within(limits Limits) (within bool, beyond []string) {
	held := func(a Amount) int64 {
		if limits.Strict {
			return sum(a.GPUs, a.Overlap)
		}
		return a.GPUs
	}
	totals := b.totals()
	if limits.MaxPerNamespace != nil {
		for name, a := range totals.in {
			if held(a) > *limits.MaxPerNamespace {
				beyond = append(beyond, name)
			}
		}
		slices.Sort(beyond)
	}
	return held(totals.all) <= limits.Max && len(beyond) == 0, beyond
}
