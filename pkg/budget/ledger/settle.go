package ledger

import (
	"maps"
	"time"
)

// Tracker remembers which entries of one ledger were seen higher than what is stored, so
// that they can be lowered once that is certain. It is lost with its process, which costs
// a wait and nothing else.
type Tracker struct {
	low   map[Key]sighting
	found map[string]time.Time // namespaces that are newly selected
	left  map[string]time.Time // namespaces that are no longer selected
	// settlements is of the ledger that these are of. Another controller that settled it
	// since may have let an entry go and come back: then they say nothing.
	settlements int64
}

// sighting is an entry seen higher than what is stored.
type sighting struct {
	token string
	since time.Time
}

// Listed is what a complete list has claims of.
type Listed struct {
	// Live are the claims of what is there, as far as it may come to use them.
	Live Claims
	// Asked has, for those of which it is less, what admissions were asked about and what pods hold. The
	// rest of them is only kept: what nobody was charged for yet, such as the pods that an autoscaler may
	// ask for, raises no entry, or the count would make room for what no admission found room for.
	Asked Claims
	// Plans are claims of which nothing is there yet: they keep what the ledger has for them, up to the
	// plan, and raise nothing.
	Plans Claims
}

// in is what an entry, which holds an amount, is at least to hold.
func (l *Listed) in(namespace string, key Key, held Amount) Amount {
	live := l.Live[namespace][key].capped()
	if asked, less := l.Asked[namespace][key]; less {
		live = live.keptOf(asked.capped(), held)
	}
	return live.Max(l.Plans[namespace][key].capped().upTo(held))
}

// keptOf is what an entry, which holds an amount, keeps of what is there, of which nobody was asked about more than
// some amount: both together as much as is there, as far as the entry holds it, and no less than was asked about.
func (a Amount) keptOf(asked, held Amount) Amount {
	most := max(asked.all(), min(a.all(), held.all()))
	if a.all() <= most && asked.Max(held).covers(a) {
		return a
	}
	kept := a.upTo(held)
	kept.GPUs = min(held.GPUs, sum(a.GPUs, a.Overlap-kept.Overlap)) // pods of the rollout may have come within it
	kept = asked.Max(kept)
	kept.Overlap -= min(kept.Overlap, max(0, kept.all()-most))
	return kept
}

// Selected are the namespaces that a budget selects; nil where it selects them all, or by
// name, so that no change of a label can bring one in.
type Selected map[string]bool

// Settle compares the ledger with a complete list of what objects claim, and returns what
// it is to be: claims that are seen stored become settled, higher ones at once, lower ones
// after wait. The ledger must have been read before the list was begun, at listed, and be
// written with compare-and-swap. next is when to look again; 0 is when something changes.
//
// The Tracker goes on from here once commit is called with the ledger that was stored.
func (tracker *Tracker) Settle(b *Book, all Listed, selected Selected, listed time.Time, wait time.Duration) (settled *Book, next time.Duration, commit func(stored *Book)) {
	t := tracker
	b = b.flat()
	if b.settlements != t.settlements {
		t = &Tracker{}
	}
	s := &settling{Tracker: t, from: b, all: all, listed: listed, wait: wait, selective: selected != nil, low: map[Key]sighting{},
		to: &Book{settled: Claims{}, reservations: map[Key]reservation{}}}
	s.selectNamespaces(selected)
	for namespace, claims := range b.settled {
		for key := range claims {
			s.entry(namespace, key)
		}
	}
	for key, r := range b.reservations {
		if _, done := b.settled[r.namespace][key]; !done {
			s.entry(r.namespace, key)
		}
	}
	for namespace, claims := range all.Live {
		if selected != nil && s.to.settled[namespace] == nil {
			continue // not counted yet
		}
		added := selected != nil && !b.Lists(namespace) // what was there before counts in full
		for key, a := range claims {
			if b.amount(namespace, key) != (Amount{}) {
				continue
			}
			if asked, less := all.Asked[namespace][key]; less && !added {
				a = asked
			}
			if a != (Amount{}) {
				s.to.settle(namespace, key, a.capped())
			}
		}
	}
	maps.DeleteFunc(s.to.settled, func(namespace string, claims map[Key]Amount) bool {
		return len(claims) == 0 && (selected == nil || (!selected[namespace] && s.gone(namespace)))
	})
	if s.to.settlements = b.settlements; !s.to.Equal(b) {
		s.to.settlements++
	}
	return s.to, s.next, func(stored *Book) {
		*tracker = Tracker{low: s.low, found: s.foundNow, left: s.leftNow, settlements: stored.settlements}
	}
}

// Rebase is the settled ledger for where others have charged since: what they touched stays
// as they left it, and so does everything where they changed which namespaces are listed.
// It is nil where another controller has settled the ledger since.
func Rebase(settled, from, now *Book) *Book {
	if now.settlements != from.settlements {
		return nil
	}
	settled, from, now = settled.flat(), from.flat(), now.flat()
	if !maps.EqualFunc(from.settled, now.settled, func(_, _ map[Key]Amount) bool { return true }) {
		return now
	}
	to := &Book{settled: Claims{}, reservations: map[Key]reservation{}, settlements: now.settlements + 1}
	for namespace, claims := range settled.settled {
		to.settled[namespace] = maps.Clone(claims)
	}
	for key, r := range settled.reservations {
		to.reserve(key, r)
	}
	keep := func(namespace string, key Key) {
		same := from.reservations[key] == now.reservations[key] && from.settled[namespace][key] == now.settled[namespace][key]
		if same {
			return
		}
		to.settle(namespace, key, now.settled[namespace][key].Max(settled.settled[namespace][key]))
		to.release(key)
		if r, ok := now.reservations[key]; ok {
			to.reserve(key, r)
		}
	}
	for _, book := range []*Book{from, now} {
		for namespace, claims := range book.settled {
			for key := range claims {
				keep(namespace, key)
			}
		}
		for key, r := range book.reservations {
			keep(r.namespace, key)
		}
	}
	return to
}

// Rebuild is the ledger of a complete list, for when everything is counted anew.
// settlements is how often the ledger was settled before.
func (tracker *Tracker) Rebuild(live Claims, selected Selected, settlements int64) *Book {
	*tracker = Tracker{settlements: settlements + 1}
	b := &Book{settled: Claims{}, reservations: map[Key]reservation{}, settlements: settlements + 1}
	for namespace := range selected {
		b.settled[namespace] = map[Key]Amount{}
	}
	for namespace, claims := range live {
		if selected != nil && !selected[namespace] {
			continue
		}
		for key, a := range claims {
			b.settle(namespace, key, a.capped())
		}
	}
	return b
}

// settling is one Settle under way.
type settling struct {
	*Tracker
	from, to *Book
	all      Listed
	listed   time.Time
	wait     time.Duration
	// selective is whether only some namespaces are listed.
	selective bool
	low       map[Key]sighting
	next      time.Duration

	foundNow, leftNow map[string]time.Time
}

// entry settles one entry of the ledger.
func (s *settling) entry(namespace string, key Key) {
	held := s.from.amount(namespace, key)
	live := s.all.in(namespace, key, held)
	r, inFlight := s.from.reservations[key]
	if s.selective && !s.to.Lists(namespace) {
		live = Amount{} // none of its claims is counted yet
	}
	if live.covers(held) {
		s.settle(namespace, key, live)
		return
	}
	seen, again := s.Tracker.low[key]
	if !again || seen.token != r.token {
		seen = sighting{token: r.token, since: s.listed}
	}
	if remaining := s.wait - s.listed.Sub(seen.since); remaining > 0 {
		s.low[key] = seen
		s.lookAgain(remaining)
		s.settle(namespace, key, s.from.settled[namespace][key].Max(live))
		if inFlight {
			s.to.reserve(key, r)
		}
		return
	}
	s.settle(namespace, key, live)
}

// settle sets an entry. It must not list a namespace that is not counted.
func (s *settling) settle(namespace string, key Key, a Amount) {
	if a != (Amount{}) || s.to.Lists(namespace) {
		s.to.settle(namespace, key, a)
	}
}

func (s *settling) lookAgain(in time.Duration) {
	if s.next == 0 || in < s.next {
		s.next = in
	}
}

// selectNamespaces lists the namespaces that are counted, and those that now are: claims
// in a namespace that was selected wait ago are in the list or charged.
func (s *settling) selectNamespaces(selected Selected) {
	if selected == nil {
		return
	}
	found := map[string]time.Time{}
	for namespace := range selected {
		if !s.from.Lists(namespace) {
			since, waiting := s.found[namespace]
			if !waiting {
				since = s.listed
			}
			if remaining := s.wait - s.listed.Sub(since); remaining > 0 {
				found[namespace] = since
				s.lookAgain(remaining)
				continue
			}
		}
		s.to.settled[namespace] = map[Key]Amount{}
	}
	left := map[string]time.Time{}
	for namespace := range s.from.settled {
		if !selected[namespace] {
			s.to.settled[namespace] = map[Key]Amount{}
			left[namespace] = s.listed
			if since, waiting := s.left[namespace]; waiting {
				left[namespace] = since
			}
			s.lookAgain(max(1, s.wait-s.listed.Sub(left[namespace])))
		}
	}
	s.foundNow, s.leftNow = found, left
}

// gone tells whether a namespace has long not been selected.
func (s *settling) gone(namespace string) bool {
	return s.listed.Sub(s.leftNow[namespace]) >= s.wait
}
