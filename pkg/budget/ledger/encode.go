package ledger

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// written is how claims are written: to be read only, since several statuses may share it.
type written []byte

// encoded is how the settled claims of a namespace are written. An admission changes none
// of them, so that what was written last is written again.
func (b *Book) encoded(namespace string) []byte {
	if known, ok := b.written[namespace]; ok {
		return known
	}
	if b.written == nil {
		b.written = map[string]written{}
	}
	claims := encode(b.settled[namespace])
	b.written[namespace] = claims
	return claims
}

func encode(claims map[Key]Amount) []byte {
	var out []byte
	for _, key := range slices.SortedFunc(maps.Keys(claims), Key.compare) {
		a := claims[key]
		out = append(out, key[:]...)
		out = binary.AppendUvarint(out, uint64(a.GPUs))
		out = binary.AppendUvarint(out, uint64(a.Overlap))
	}
	return out
}

func decode(in []byte) (map[Key]Amount, error) {
	claims := make(map[Key]Amount, len(in)/18)
	for len(in) > 0 {
		if len(in) < len(Key{}) {
			return nil, fmt.Errorf("claims end in the middle of a key")
		}
		key := Key(in[:16])
		in = in[16:]
		var numbers [2]int64
		for i := range numbers {
			n, length := binary.Uvarint(in)
			if length <= 0 || n > Most {
				return nil, fmt.Errorf("claims hold a number that cannot be read")
			}
			numbers[i], in = int64(n), in[length:]
		}
		claims[key] = Amount{GPUs: numbers[0], Overlap: numbers[1]}
	}
	return claims, nil
}

// encodeReservations writes what is in flight. Many share a namespace and, where they were admitted
// together, a token.
func encodeReservations(all map[Key]reservation) []byte {
	if len(all) == 0 {
		return nil
	}
	var texts, records []byte
	numbers := map[string]uint64{}
	number := func(text string) uint64 {
		n, known := numbers[text]
		if !known {
			n = uint64(len(numbers))
			numbers[text] = n
			texts = append(binary.AppendUvarint(texts, uint64(len(text))), text...)
		}
		return n
	}
	for _, key := range slices.SortedFunc(maps.Keys(all), Key.compare) {
		r := all[key]
		records = append(records, key[:]...)
		for _, n := range []uint64{number(r.namespace), number(r.token), uint64(r.GPUs), uint64(r.Overlap)} {
			records = binary.AppendUvarint(records, n)
		}
	}
	out := binary.AppendUvarint(nil, uint64(len(numbers)))
	return append(append(out, texts...), records...)
}

// decodeReservations reads what encodeReservations wrote.
func decodeReservations(in []byte) (map[Key]reservation, error) {
	all := make(map[Key]reservation, len(in)/20)
	if len(in) == 0 {
		return all, nil
	}
	damaged := fmt.Errorf("what is in flight cannot be read")
	next := func() (n uint64, ok bool) {
		n, length := binary.Uvarint(in)
		if length > 0 {
			in = in[length:]
		}
		return n, length > 0
	}
	count, ok := next()
	if !ok || count > uint64(len(in)) {
		return nil, damaged
	}
	texts := make([]string, count)
	for i := range texts {
		n, ok := next()
		if !ok || n > uint64(len(in)) {
			return nil, damaged
		}
		texts[i], in = string(in[:n]), in[n:]
	}
	for len(in) > 0 {
		if len(in) < len(Key{}) {
			return nil, damaged
		}
		key := Key(in[:16])
		in = in[16:]
		var numbers [4]uint64
		for i := range numbers {
			if numbers[i], ok = next(); !ok || i < 2 && numbers[i] >= count || numbers[i] > Most {
				return nil, damaged
			}
		}
		if _, twice := all[key]; twice {
			return nil, damaged
		}
		all[key] = reservation{Amount: Amount{GPUs: int64(numbers[2]), Overlap: int64(numbers[3])},
			namespace: texts[numbers[0]], token: texts[numbers[1]]}
	}
	return all, nil
}
