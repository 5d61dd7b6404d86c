package jsonscan

import "math/bits"

// The functions here pass over values without reading them. They take the position of a value
// and return the one behind it, -1 if there is none.

// past is the position behind the value that begins at or behind pos.
func (r *Scanner) past(pos int) int {
	pos = r.solid(pos)
	if pos >= len(r.raw) {
		return -1
	}
	switch r.raw[pos] {
	case '"':
		return r.pastString(pos)
	case '{':
		return r.pastAll(pos+1, '}', true)
	case '[':
		return r.pastAll(pos+1, ']', false)
	case 'n':
		return r.pastWord(pos, "null")
	case 't':
		return r.pastWord(pos, "true")
	case 'f':
		return r.pastWord(pos, "false")
	}
	before := r.pos
	r.pos = pos
	_, _, ok := r.scanNumber()
	pos, r.pos = r.pos, before
	if !ok {
		return -1
	}
	return pos
}

// solid is the position of what is no white space.
func (r *Scanner) solid(pos int) int {
	for pos < len(r.raw) && r.raw[pos] <= ' ' {
		switch r.raw[pos] {
		case ' ', '\n', '\t', '\r':
			pos++
		default:
			return pos
		}
	}
	return pos
}

// pastAll is the position behind an object or a list, of which pos is inside.
func (r *Scanner) pastAll(pos int, end byte, keyed bool) int {
	if r.depth == maxDepth {
		return -1
	}
	r.depth++
	if pos = r.solid(pos); pos < len(r.raw) && r.raw[pos] == end {
		r.depth--
		return pos + 1
	}
	for {
		if keyed {
			if pos = r.solid(pos); pos >= len(r.raw) || r.raw[pos] != '"' {
				return -1
			}
			if pos = r.pastString(pos); pos < 0 {
				return -1
			}
			if pos = r.solid(pos); pos >= len(r.raw) || r.raw[pos] != ':' {
				return -1
			}
			pos++
		}
		if pos = r.past(pos); pos < 0 {
			return -1
		}
		if pos = r.solid(pos); pos >= len(r.raw) {
			return -1
		}
		switch r.raw[pos] {
		case ',':
			pos++
		case end:
			r.depth--
			return pos + 1
		default:
			return -1
		}
	}
}

func (r *Scanner) pastWord(pos int, word string) int {
	if len(r.raw)-pos < len(word) || string(r.raw[pos:pos+len(word)]) != word {
		return -1
	}
	return pos + len(word)
}

// pastString is the position behind the string whose quote is at pos.
func (r *Scanner) pastString(pos int) int {
	raw := r.raw
	pos++
	for {
		if len(raw)-pos >= 8 {
			stops := stopsIn(raw[pos : pos+8])
			if stops == 0 {
				pos += 8
				continue
			}
			pos += bits.TrailingZeros64(stops) >> 3
		} else if pos += r.plain(pos); pos >= len(raw) {
			return -1
		}
		switch raw[pos] {
		case '"':
			return pos + 1
		case '\\':
			if pos+1 >= len(raw) {
				return -1
			}
			switch raw[pos+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				pos += 2
			case 'u':
				if _, ok := r.hex(pos + 2); !ok {
					return -1
				}
				pos += 6
			default:
				return -1
			}
		default:
			return -1
		}
	}
}
