package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// Most is the largest number of GPUs that a ledger holds; more, and unbounded, is Most. It
// is the largest whole number that every JSON reader has exactly.
const Most = 1<<53 - 1

// Amount is what one claim holds.
type Amount struct {
	// GPUs is GPUs per pod times peak pods.
	GPUs int64
	// Overlap is held by revisions that were replaced and have pods still.
	Overlap int64
}

// Max is the larger of two amounts, each part by itself.
func (a Amount) Max(b Amount) Amount {
	return Amount{GPUs: max(a.GPUs, b.GPUs), Overlap: max(a.Overlap, b.Overlap)}
}

// upTo is an amount of which no part is more than another's.
func (a Amount) upTo(b Amount) Amount {
	return Amount{GPUs: min(a.GPUs, b.GPUs), Overlap: min(a.Overlap, b.Overlap)}
}

// all is both together.
func (a Amount) all() int64 { return sum(a.GPUs, a.Overlap) }

// covers tells whether nothing of b is beyond a.
func (a Amount) covers(b Amount) bool { return a.GPUs >= b.GPUs && a.Overlap >= b.Overlap }

// capped is an amount that a ledger can hold.
func (a Amount) capped() Amount {
	return Amount{GPUs: min(Most, a.GPUs), Overlap: min(Most, a.Overlap)}
}

// Add adds two amounts; too much is Most.
func (a Amount) Add(b Amount) Amount {
	return Amount{GPUs: sum(a.GPUs, b.GPUs), Overlap: sum(a.Overlap, b.Overlap)}
}

// sum adds two numbers from 0 to math.MaxInt64.
func sum(a, b int64) int64 { return min(Most, min(Most, a)+min(Most, b)) }

// reservation is the claim of an admission that is not seen stored yet.
type reservation struct {
	Amount
	namespace, kind, name, token string
}

// Claims are settled claims by namespace and key.
type Claims map[string]map[Key]Amount

// Book is a ledger, read from a status.
type Book struct {
	// settled are the claims; beside a base, those that are not as in it, of which one of 0 is no
	// more. Every namespace that was counted is listed.
	settled      Claims
	base         *Base // nil: the status has all claims
	reservations map[Key]reservation
	// settlements is how often the ledger was settled.
	settlements int64
	sums        *sums // nil until it is needed
	// written is how the settled claims of a namespace are written, as long as they are
	// what they were then.
	written map[string]written
}

// Read reads the ledger of a status that has all claims itself, without a base or with an empty
// one. One whose sums are not those of its claims has been damaged, and is an error.
func Read(status *v1alpha1.GPUBudgetStatus) (*Book, error) {
	if status.Base == nil || len(status.Base.Parts) > 0 {
		return ReadOver(nil, status)
	}
	empty, err := ReadBase(status.Base, nil)
	if err != nil {
		return nil, err
	}
	return ReadOver(empty, status)
}

// ReadOver reads the ledger of a status with its base, nil if it has none.
func ReadOver(base *Base, status *v1alpha1.GPUBudgetStatus) (*Book, error) {
	b, err := read(base, status)
	if err != nil {
		return nil, err
	}
	if err := b.shown(status); err != nil {
		return nil, err
	}
	return b, nil
}

// read reads the claims.
func read(base *Base, status *v1alpha1.GPUBudgetStatus) (*Book, error) {
	if !base.Is(status.Base) {
		return nil, fmt.Errorf("status.base: the claims there are not those that were read")
	}
	b := &Book{settled: make(Claims, len(status.Namespaces)), settlements: status.Settlements, base: base}
	for i := range status.Namespaces {
		n := &status.Namespaces[i]
		claims, err := decode(n.Claims)
		if err != nil {
			return nil, fmt.Errorf("status.namespaces[%s]: %w", n.Name, err)
		}
		b.settled[n.Name] = claims
	}
	if base != nil {
		for namespace := range base.claims {
			if !b.Lists(namespace) {
				return nil, fmt.Errorf("status.namespaces: %s is missing, which has claims in status.base", namespace)
			}
		}
	}
	return b, b.readReservations(status)
}

// readReservations reads what is in flight, in both forms.
func (b *Book) readReservations(status *v1alpha1.GPUBudgetStatus) error {
	var err error
	if b.reservations, err = decodeReservations(status.InFlight); err != nil {
		return fmt.Errorf("status.inFlight: %w", err)
	}
	for i := range status.Reservations {
		r := &status.Reservations[i]
		key, err := ParseKey(r.Key)
		if err != nil || r.GPUs < 0 || r.Overlap < 0 {
			return fmt.Errorf("status.reservations[%s]: unreadable", r.Key)
		}
		b.reservations[key] = reservation{Amount: Amount{GPUs: min(Most, r.GPUs), Overlap: min(Most, r.Overlap)},
			namespace: r.Namespace, kind: r.Kind, name: r.Name, token: r.Token}
	}
	return nil
}

// figures are the sums that a status shows.
type figures struct {
	used, reserved, overlap, workloads int64
}

func (b *Book) figures() figures {
	s := b.totals()
	f := figures{used: s.settled.all.gpus.capped(), reserved: s.beyond.all.gpus.capped(), overlap: s.held().Overlap, workloads: s.claims}
	for key, r := range b.reservations {
		if _, there := b.claim(r.namespace, key); !there {
			f.workloads++
		}
	}
	return f
}

// used is what the settled claims of a namespace hold.
func (b *Book) used(namespace string) int64 { return b.totals().settled.in[namespace].gpus.capped() }

// shown is an error where a status shows other sums.
func (b *Book) shown(status *v1alpha1.GPUBudgetStatus) error {
	for i := range status.Namespaces {
		if n := &status.Namespaces[i]; n.Used != b.used(n.Name) {
			return fmt.Errorf("status.namespaces[%s].used is %d, and the claims are %d", n.Name, n.Used, b.used(n.Name))
		}
	}
	f := b.figures()
	for _, sum := range []struct {
		name        string
		stated, sum int64
	}{{"used", status.Used, f.used}, {"reserved", status.Reserved, f.reserved}, {"overlap", status.Overlap, f.overlap}, {"workloads", int64(status.Workloads), f.workloads}} {
		if sum.stated != sum.sum {
			return fmt.Errorf("status.%s is %d, and the claims make %d", sum.name, sum.stated, sum.sum)
		}
	}
	return nil
}

// Write puts the ledger and its sums into the status of a budget with a maximum. The same
// ledger is always written the same way.
func (b *Book) Write(status *v1alpha1.GPUBudgetStatus, maximum int64) {
	status.Namespaces, status.Reservations, status.Settlements, status.Base = nil, nil, b.settlements, b.base.ref()
	f := b.figures()
	for _, name := range slices.Sorted(maps.Keys(b.settled)) {
		status.Namespaces = append(status.Namespaces, v1alpha1.NamespaceClaims{Name: name, Used: b.used(name), Claims: b.encoded(name)})
	}
	if status.InFlight = nil; b.base != nil {
		status.InFlight = encodeReservations(b.reservations)
	}
	for key, r := range b.reservations {
		if b.base != nil {
			break
		}
		status.Reservations = append(status.Reservations, v1alpha1.Reservation{Key: key.String(), Namespace: r.namespace,
			Kind: r.kind, Name: r.name, GPUs: r.GPUs, Overlap: r.Overlap, Token: r.token})
	}
	slices.SortFunc(status.Reservations, func(a, b v1alpha1.Reservation) int { return cmp.Compare(a.Key, b.Key) })
	status.Used, status.Reserved, status.Overlap = f.used, f.reserved, f.overlap
	status.Available = max(0, maximum-sum(sum(f.used, f.reserved), f.overlap))
	status.Workloads = int32(f.workloads)
}

// Amount is what the ledger holds for a key.
func (b *Book) Amount(namespace string, key Key) Amount { return b.amount(namespace, key) }

func (b *Book) amount(namespace string, key Key) Amount {
	settled, _ := b.claim(namespace, key)
	return settled.Max(b.reservations[key].Amount)
}

// claim is a settled claim.
func (b *Book) claim(namespace string, key Key) (a Amount, there bool) {
	a, there = b.settled[namespace][key]
	switch {
	case b.base == nil:
		return a, there
	case !there:
		a = b.base.claims[namespace][key]
	}
	return a, a != Amount{}
}

// Lists tells whether a namespace is listed.
func (b *Book) Lists(namespace string) bool { _, ok := b.settled[namespace]; return ok }

// Equal tells whether two ledgers hold the same claims.
func (b *Book) Equal(other *Book) bool {
	b, other = b.flat(), other.flat()
	return maps.Equal(b.reservations, other.reservations) &&
		maps.EqualFunc(b.settled, other.settled, maps.Equal)
}
