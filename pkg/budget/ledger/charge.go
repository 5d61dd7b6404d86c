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
	// Held is whether GPUs is all that the entry has to hold, its overlap included.
	Held bool
	// Beyond is whether the ledger as a whole has to have room for it: it is more than the owner was admitted
	// with. An entry may hold the same pods twice for a while, as GPUs and as overlap, and a count may have
	// found by itself what was part of another entry: that is no room for more of them.
	Beyond bool
}

// after is what an entry is once it is charged.
func (c *Charge) after(before Amount) Amount {
	if c.Held {
		return Amount{GPUs: max(before.GPUs, c.capped().GPUs-before.Overlap), Overlap: before.Overlap}
	}
	return before.Max(c.capped())
}

// Limits are what a budget allows.
type Limits struct {
	Max int64
	// MaxPerNamespace is nil where there is none.
	MaxPerNamespace *int64
	// Strict is whether the overlap of a rollout must fit too.
	Strict bool
	// UnseenShare is how much of what the settled claims leave free the reservations of one namespace
	// may hold that are not seen stored yet, in percent; 0 is any share. One reservation may hold
	// more.
	UnseenShare int64
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
	// Crowded is whether the charges would fit, but for what the namespace has under way already.
	Crowded bool
}

// Try tells what Charge would do.
func (b *Book) Try(limits Limits, charges ...Charge) Outcome {
	if len(charges) == 0 {
		return Outcome{Fits: true}
	}
	namespace := charges[0].Namespace
	all, inNamespace := b.totals().held(), b.totals().heldIn(namespace)
	var added Amount
	for _, c := range charges {
		before := b.amount(c.Namespace, c.Key)
		after := c.after(before)
		added = added.Add(Amount{GPUs: after.GPUs - before.GPUs, Overlap: after.Overlap - before.Overlap})
	}
	fits := func(taken Amount, limit int64) bool {
		if slices.ContainsFunc(charges, func(c Charge) bool { return c.Rises && c.GPUs >= Most }) {
			return false // what is without limit already may not grow
		}
		beyond := slices.ContainsFunc(charges, func(c Charge) bool { return c.Beyond })
		if added.GPUs == 0 && !beyond && (added.Overlap == 0 || !limits.Strict) {
			return true
		}
		need := sum(sum(taken.GPUs, taken.Overlap), added.GPUs)
		if limits.Strict {
			need = sum(need, added.Overlap)
		}
		return need <= limit
	}
	o := Outcome{Raised: added.GPUs, Fits: fits(all, limits.Max), Free: free(all, limits.Max), Of: limits.Max}
	if limits.MaxPerNamespace != nil {
		left := free(inNamespace, *limits.MaxPerNamespace)
		within := fits(inNamespace, *limits.MaxPerNamespace)
		if added.Overlap > 0 && sum(inNamespace.Overlap, added.Overlap) > *limits.MaxPerNamespace {
			within = false // a rollout is beside the budget, and no larger than the namespace's share
		}
		if !within || (o.Fits && left < o.Free) {
			o.Fits, o.PerNamespace, o.Free, o.Of = o.Fits && within, true, left, *limits.MaxPerNamespace
		}
	}
	if o.Fits && added.GPUs > 0 && b.crowded(limits, namespace, added, charges) {
		o.Fits, o.Crowded = false, true
	}
	if o.Fits {
		o.Free = max(0, o.Free-added.GPUs-added.Overlap)
	} else {
		o.Reserved = b.totals().beyond.all.gpus.capped()
	}
	return o
}

// crowded tells whether a namespace would have more under way than its share of what is free.
func (b *Book) crowded(limits Limits, namespace string, added Amount, charges []Charge) bool {
	if limits.UnseenShare <= 0 {
		return false
	}
	unseen := b.totals().beyond.in[namespace].capped()
	for _, c := range charges {
		if r, there := b.reservations[c.Key]; there && r.namespace == namespace {
			own := b.beyond(r, c.Key) // it is the same reservation afterwards
			unseen = Amount{GPUs: max(0, unseen.GPUs-own.GPUs), Overlap: max(0, unseen.Overlap-own.Overlap)}
			added = added.Add(own)
		}
	}
	if unseen.GPUs+unseen.Overlap == 0 {
		return false // one reservation may hold more
	}
	free := free(b.totals().settled.all.capped(), limits.Max)
	return sum(sum(unseen.GPUs, unseen.Overlap), sum(added.GPUs, added.Overlap)) > share(free, limits.UnseenShare)
}

// share is so many percent of a number.
func share(n, percent int64) int64 { return n/100*percent + n%100*percent/100 }

// Charge raises the claims of one admission, all of one namespace, all or none of them. The
// token marks the entries as touched by this admission. Entries that are as high already
// fit whatever the limits say: they are counted.
func (b *Book) Charge(limits Limits, token string, charges ...Charge) Outcome {
	o := b.Try(limits, charges...)
	if !o.Fits {
		return o
	}
	for _, c := range charges {
		b.reserve(c.Key, reservation{Amount: c.after(b.amount(c.Namespace, c.Key)),
			namespace: c.Namespace, kind: c.Kind, name: c.Name, token: token})
	}
	return o
}

func free(taken Amount, limit int64) int64 {
	return max(0, limit-sum(taken.GPUs, taken.Overlap))
}

// Set makes a claim what it is to be, up or down: for a ledger that nothing else writes
// and that is told of everything, as without a cluster. A claim of 0 is not kept.
func (b *Book) Set(namespace string, key Key, a Amount) {
	b.release(key)
	b.settle(namespace, key, a)
}

// Within tells whether the claims are within the limits; beyond are the namespaces that
// have more than their share, sorted. Overlap counts where the limits are strict; else it may be as large as
// a namespace's share by itself.
func (b *Book) Within(limits Limits) (within bool, beyond []string) {
	held := func(a Amount) int64 {
		if limits.Strict {
			return sum(a.GPUs, a.Overlap)
		}
		return a.GPUs
	}
	if limits.MaxPerNamespace != nil {
		for _, in := range []map[string]totals{b.totals().settled.in, b.totals().beyond.in} {
			for name := range in {
				if in := b.totals().heldIn(name); held(in) > *limits.MaxPerNamespace || in.Overlap > *limits.MaxPerNamespace {
					beyond = append(beyond, name)
				}
			}
		}
		slices.Sort(beyond)
		beyond = slices.Compact(beyond) // one may be in both
	}
	return held(b.totals().held()) <= limits.Max && len(beyond) == 0, beyond
}
