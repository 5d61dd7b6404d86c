package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// key reads a string without escapes.
func (r *Scanner) key() ([]byte, bool) {
	if !r.take('"') {
		return nil, false
	}
	start := r.pos
	r.pos += r.plain(start)
	if r.pos >= len(r.raw) || r.raw[r.pos] != '"' {
		return nil, false
	}
	key := r.raw[start:r.pos]
	r.pos++
	return key, utf8.Valid(key)
}

// plain is how many bytes from pos on are neither a quote, a backslash nor a control
// character.
func (r *Scanner) plain(pos int) int {
	raw := r.raw[pos:]
	i := 0
	for ; len(raw)-i >= 8; i += 8 {
		if stops := stopsIn(raw[i : i+8]); stops != 0 {
			return i + bits.TrailingZeros64(stops)>>3
		}
	}
	for ; i < len(raw); i++ {
		if c := raw[i]; c == '"' || c == '\\' || c < 0x20 {
			break
		}
	}
	return i
}

// stopsIn has the high bit of the first of eight bytes that is not plain, and maybe bits above.
func stopsIn(eight []byte) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	x := binary.LittleEndian.Uint64(eight)
	quote, slash := x^(ones*'"'), x^(ones*'\\')
	// The lowest high bit that is set belongs to a byte that stops; those above it may
	// be wrong. Bytes beyond ASCII never look like any of the three.
	return ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*0x20)&^x) & highs
}

// String reads a string.
func (r *Scanner) String() (string, bool) {
	if !r.take('"') {
		return "", false
	}
	start := r.pos
	if r.pos += r.plain(r.pos); r.pos < len(r.raw) && r.raw[r.pos] == '"' {
		s := r.part(start, r.pos)
		r.pos++
		return s, utf8.ValidString(s)
	}
	return r.escaped(start)
}

// Word reads a string. Known may have it already, so that it is not copied; else it gives "".
func (r *Scanner) Word(known func(text []byte) string) (string, bool) {
	before := r.pos
	if text, ok := r.key(); ok {
		if word := known(text); word != "" {
			return word, true
		}
		return string(text), true
	}
	r.pos = before
	return r.String()
}

// part of the text as a string.
func (r *Scanner) part(start, end int) string {
	if r.text != "" {
		return r.text[start:end]
	}
	return string(r.raw[start:end])
}

// escaped reads on where a string has its first escape.
func (r *Scanner) escaped(start int) (string, bool) {
	b := append(r.buffer[:0], r.raw[start:r.pos]...)
	for r.pos+1 < len(r.raw) {
		switch r.raw[r.pos] {
		case '"':
			r.pos++
			r.buffer = b
			return string(b), utf8.Valid(b)
		case '\\':
			c := r.raw[r.pos+1]
			switch r.pos += 2; c {
			case '"', '\\', '/':
				b = append(b, c)
			case 'b':
				b = append(b, '\b')
			case 'f':
				b = append(b, '\f')
			case 'n':
				b = append(b, '\n')
			case 'r':
				b = append(b, '\r')
			case 't':
				b = append(b, '\t')
			case 'u':
				v, ok := r.hex(r.pos)
				if !ok || (0xd800 <= v && v < 0xe000) {
					return "", false
				}
				b = utf8.AppendRune(b, v)
				r.pos += 4
			default:
				return "", false
			}
		default:
			return "", false
		}
		n := r.plain(r.pos)
		b = append(b, r.raw[r.pos:r.pos+n]...)
		r.pos += n
	}
	return "", false
}

func (r *Scanner) hex(at int) (rune, bool) {
	if at+4 > len(r.raw) {
		return 0, false
	}
	var v rune
	for _, c := range r.raw[at : at+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		v = v<<4 | rune(c)
	}
	return v, true
}
