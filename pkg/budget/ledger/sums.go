package ledger

import (
	"maps"
	"math/bits"
)

// total is an exact sum of numbers from 0 on, of any size: what was added can be taken off
// again, even where the sum is beyond what a ledger shows.
type total struct{ high, low uint64 }

func (t *total) add(n int64) {
	var carry uint64
	t.low, carry = bits.Add64(t.low, uint64(n), 0)
	t.high += carry
}

func (t *total) remove(n int64) {
	var borrow uint64
	t.low, borrow = bits.Sub64(t.low, uint64(n), 0)
	t.high -= borrow
}

// capped is the sum as a ledger shows it; too much is Most.
func (t total) capped() int64 {
	if t.high > 0 || t.low > Most {
		return Most
	}
	return int64(t.low)
}

// totals are the sums of both parts of amounts.
type totals struct{ gpus, overlap total }

func (t totals) capped() Amount { return Amount{GPUs: t.gpus.capped(), Overlap: t.overlap.capped()} }

// tally is what amounts are together, in all and by namespace.
type tally struct {
	all totals
	in  map[string]totals
}

// copy is one that may be changed.
func (t tally) copy() tally { return tally{all: t.all, in: maps.Clone(t.in)} }

// replace has an amount count as it is now instead of as it was.
func (t *tally) replace(namespace string, before, after Amount) {
	if before == after {
		return
	}
	in := t.in[namespace]
	for _, sum := range []*totals{&t.all, &in} {
		sum.gpus.remove(before.GPUs)
		sum.gpus.add(after.GPUs)
		sum.overlap.remove(before.Overlap)
		sum.overlap.add(after.Overlap)
	}
	t.in[namespace] = in
}

// sums are what a ledger holds together: the settled claims, and what reservations hold
// beyond the settled claim of their key.
type sums struct {
	settled, beyond tally
	claims          int64 // how many are settled
}

// held is what all claims hold.
func (s *sums) held() Amount { return s.settled.all.capped().Add(s.beyond.all.capped()) }

// heldIn is what the claims of a namespace hold.
func (s *sums) heldIn(namespace string) Amount {
	return s.settled.in[namespace].capped().Add(s.beyond.in[namespace].capped())
}

// totals adds up the ledger once; reserve, release and settle keep the result up to date.
func (b *Book) totals() *sums {
	if b.sums != nil {
		return b.sums
	}
	b.sums = &sums{settled: tally{in: make(map[string]totals, len(b.settled))}, beyond: tally{in: map[string]totals{}}}
	if b.base != nil {
		b.sums.settled, b.sums.claims = b.base.sums.copy(), b.base.count
	}
	for namespace, claims := range b.settled {
		for key, a := range claims {
			before := b.base.claim(namespace, key)
			b.sums.settled.replace(namespace, before, a)
			if before != (Amount{}) {
				b.sums.claims--
			}
			if b.base == nil || a != (Amount{}) {
				b.sums.claims++
			}
		}
	}
	for key, r := range b.reservations {
		b.sums.beyond.replace(r.namespace, Amount{}, b.beyond(r, key))
	}
	return b.sums
}

// beyond is what a reservation holds more than the settled claim of its key.
func (b *Book) beyond(r reservation, key Key) Amount {
	settled, _ := b.claim(r.namespace, key)
	return Amount{GPUs: max(0, r.GPUs-settled.GPUs), Overlap: max(0, r.Overlap-settled.Overlap)}
}

// reserve puts a reservation into the ledger, instead of one that the key has.
func (b *Book) reserve(key Key, r reservation) {
	b.release(key)
	b.reservations[key] = r
	if b.sums != nil {
		b.sums.beyond.replace(r.namespace, Amount{}, b.beyond(r, key))
	}
}

// release drops the reservation of a key, if it has one.
func (b *Book) release(key Key) {
	r, ok := b.reservations[key]
	if !ok {
		return
	}
	if b.sums != nil {
		b.sums.beyond.replace(r.namespace, b.beyond(r, key), Amount{})
	}
	delete(b.reservations, key)
}

// settle makes a settled claim of a ledger without a base what it is to be; one of 0 is not kept.
func (b *Book) settle(namespace string, key Key, a Amount) {
	before, there := b.settled[namespace][key]
	r, reserved := b.reservations[key]
	reserved = reserved && r.namespace == namespace
	var beyond Amount
	if reserved {
		beyond = b.beyond(r, key)
	}
	delete(b.written, namespace)
	if a == (Amount{}) {
		delete(b.settled[namespace], key)
	} else {
		if b.settled[namespace] == nil {
			b.settled[namespace] = map[Key]Amount{}
		}
		b.settled[namespace][key] = a
	}
	if b.sums == nil {
		return
	}
	b.sums.settled.replace(namespace, before, a)
	if reserved {
		b.sums.beyond.replace(namespace, beyond, b.beyond(r, key))
	}
	if there {
		b.sums.claims--
	}
	if a != (Amount{}) {
		b.sums.claims++
	}
}
