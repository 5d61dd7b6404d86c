package ledger

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// Base is settled claims that stand outside of a status and never change: what is written anew
// has another name. The status says by their digests which ones they are, so that it alone
// decides what is in the ledger.
type Base struct {
	claims Claims
	sums   tally
	count  int64
	from   *v1alpha1.LedgerBase
}

// partClaims is how many claims one part of a base holds at most, in some 20 bytes each: an object
// holds a megabyte.
const partClaims = 16384

// ReadBase reads the parts of a base. Parts that are not those that it names are an error.
func ReadBase(from *v1alpha1.LedgerBase, parts [][]byte) (*Base, error) {
	if len(parts) != len(from.Parts) {
		return nil, fmt.Errorf("%d parts of a base instead of %d", len(parts), len(from.Parts))
	}
	b := &Base{claims: Claims{}, sums: tally{in: map[string]totals{}}, from: from}
	for i, part := range parts {
		if Digest(part) != from.Parts[i].SHA256 {
			return nil, fmt.Errorf("part %s of a base does not hold what was written into it", from.Parts[i].Name)
		}
		if err := b.read(part); err != nil {
			return nil, fmt.Errorf("part %s of a base: %w", from.Parts[i].Name, err)
		}
	}
	return b, nil
}

// Digest is that of a part.
func Digest(part []byte) string {
	sum := sha256.Sum256(part)
	return hex.EncodeToString(sum[:])
}

// read adds the claims of a part: for each namespace the length of its name, the name, the
// length of its claims, and the claims as a status has them.
func (b *Base) read(part []byte) error {
	next := func() ([]byte, error) {
		n, length := binary.Uvarint(part)
		if length <= 0 || n > uint64(len(part)-length) {
			return nil, fmt.Errorf("it ends too early")
		}
		text := part[length : length+int(n)]
		part = part[length+int(n):]
		return text, nil
	}
	for len(part) > 0 {
		name, err := next()
		if err != nil {
			return err
		}
		text, err := next()
		if err != nil {
			return err
		}
		claims, err := decode(text)
		if err != nil {
			return err
		}
		namespace := string(name)
		if b.claims[namespace] == nil {
			b.claims[namespace] = make(map[Key]Amount, len(claims))
		}
		for key, a := range claims {
			if _, twice := b.claims[namespace][key]; twice || a == (Amount{}) {
				return fmt.Errorf("a claim is there twice, or is 0")
			}
			b.claims[namespace][key] = a
			b.sums.replace(namespace, Amount{}, a)
			b.count++
		}
	}
	return nil
}

// Parts writes the settled claims of a ledger as parts of a base.
func (b *Book) Parts() [][]byte {
	var parts [][]byte
	var part []byte
	room := partClaims
	all := b.flat().settled
	for _, namespace := range slices.Sorted(maps.Keys(all)) {
		keys := slices.SortedFunc(maps.Keys(all[namespace]), Key.compare)
		for len(keys) > 0 {
			n := min(room, len(keys))
			claims := make(map[Key]Amount, n)
			for _, key := range keys[:n] {
				claims[key] = all[namespace][key]
			}
			text := encode(claims)
			part = append(binary.AppendUvarint(part, uint64(len(namespace))), namespace...)
			part = append(binary.AppendUvarint(part, uint64(len(text))), text...)
			keys = keys[n:]
			if room -= n; room == 0 {
				parts, part, room = append(parts, part), nil, partClaims
			}
		}
	}
	if len(part) > 0 {
		parts = append(parts, part)
	}
	return parts
}

// compare orders keys.
func (k Key) compare(other Key) int { return slices.Compare(k[:], other[:]) }

// ref says which base it is; nil where there is none.
func (b *Base) ref() *v1alpha1.LedgerBase {
	if b == nil {
		return nil
	}
	return b.from.DeepCopy()
}

// Is tells whether it is the base that a status names.
func (b *Base) Is(named *v1alpha1.LedgerBase) bool {
	if b == nil || named == nil {
		return b == nil && named == nil
	}
	return slices.EqualFunc(b.from.Parts, named.Parts, func(a, b v1alpha1.LedgerPart) bool { return a.SHA256 == b.SHA256 })
}

// Empty tells whether it holds nothing.
func (b *Base) Empty() bool { return b == nil || len(b.from.Parts) == 0 }

// claim is what the base, if there is one, has for a key.
func (b *Base) claim(namespace string, key Key) Amount {
	if b == nil {
		return Amount{}
	}
	return b.claims[namespace][key]
}

// flat is the ledger without a base.
func (b *Book) flat() *Book {
	if b.base == nil {
		return b
	}
	flat := &Book{settled: make(Claims, len(b.settled)), reservations: b.reservations, settlements: b.settlements}
	for namespace, recent := range b.settled {
		claims := make(map[Key]Amount, len(b.base.claims[namespace])+len(recent))
		maps.Copy(claims, b.base.claims[namespace])
		maps.Copy(claims, recent)
		maps.DeleteFunc(claims, func(_ Key, a Amount) bool { return a == Amount{} })
		flat.settled[namespace] = claims
	}
	return flat
}

// Over is the same ledger over a base, and how many claims are not as in it. It is nil where it
// does not list a namespace that has claims in the base. Over nil it is one without a base.
func (b *Book) Over(base *Base) (over *Book, recent int) {
	flat := b.flat()
	if base == nil {
		return flat, 0
	}
	for namespace := range base.claims {
		if !flat.Lists(namespace) {
			return nil, 0
		}
	}
	over = &Book{settled: make(Claims, len(flat.settled)), reservations: maps.Clone(b.reservations), settlements: b.settlements, base: base}
	for namespace, claims := range flat.settled {
		changed := map[Key]Amount{}
		for key, a := range claims {
			if base.claims[namespace][key] != a {
				changed[key] = a
			}
		}
		for key := range base.claims[namespace] {
			if _, there := claims[key]; !there {
				changed[key] = Amount{}
			}
		}
		over.settled[namespace] = changed
		recent += len(changed)
	}
	return over, recent
}

// Count is how many claims are settled.
func (b *Book) Count() int { return int(b.totals().claims) }

// InFlight is a ledger that holds nothing but the reservations of a status whose settled claims
// cannot be read.
func InFlight(status *v1alpha1.GPUBudgetStatus) (*Book, error) {
	return read(nil, &v1alpha1.GPUBudgetStatus{Reservations: status.Reservations, InFlight: status.InFlight})
}

// Reservations is how many admissions are not seen stored yet, in all and in one namespace.
func (b *Book) Reservations(namespace string) (all, own int) {
	for _, r := range b.reservations {
		if r.namespace == namespace {
			own++
		}
	}
	return len(b.reservations), own
}

// Outline has a status hold all claims itself whose base nobody can read: of each namespace what its
// claims are together, as one. The sums are what they were, but for the number of claims.
func Outline(status *v1alpha1.GPUBudgetStatus, maximum int64) error {
	flat := *status
	flat.Base = nil
	b, err := read(nil, &flat)
	if err != nil {
		return err
	}
	overlap := max(0, status.Overlap-b.totals().held().Overlap)
	names := slices.SortedFunc(slices.Values(status.Namespaces), func(a, b v1alpha1.NamespaceClaims) int { return cmp.Compare(a.Name, b.Name) })
	for i, n := range names {
		known := b.settled[n.Name]
		maps.DeleteFunc(known, func(_ Key, a Amount) bool { return a == Amount{} })
		b.sums = nil
		rest := Amount{GPUs: max(0, n.Used-b.used(n.Name))}
		if i == 0 {
			rest.Overlap = overlap
		}
		b.settle(n.Name, ForName("base", n.Name, ""), rest)
	}
	b.sums = nil
	b.Write(status, maximum)
	return nil
}
