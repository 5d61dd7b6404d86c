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
	for _, key := range slices.SortedFunc(maps.Keys(claims), func(a, b Key) int { return slices.Compare(a[:], b[:]) }) {
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
