package jsonscan

import "slices"

// check passes over any value that Value would read.
func (r *Scanner) check() bool {
	switch r.peek() {
	case '{':
		return r.checkObject()
	case '[':
		return r.Elements(r.check)
	case '"':
		_, ok := r.String()
		return ok
	case 'n':
		return r.Null()
	case 't', 'f':
		_, ok := r.Bool()
		return ok
	}
	_, ok := r.number()
	return ok
}

func (r *Scanner) checkObject() bool {
	if r.depth == maxDepth {
		return false
	}
	r.pos, r.depth = r.pos+1, r.depth+1
	first := len(r.keys)
	for n := 0; ; n++ {
		if r.peek() == '}' && n == 0 {
			break
		}
		key, ok := r.String()
		if !ok || !r.take(':') || !r.check() {
			return false
		}
		r.keys = append(r.keys, key)
		if r.peek() != ',' {
			break
		}
		r.pos++
	}
	ok := distinct(r.keys[first:])
	r.keys, r.depth = r.keys[:first], r.depth-1
	return ok && r.take('}')
}

// distinct tells whether no key stands twice.
func distinct(keys []string) bool {
	const few = 16
	if len(keys) > few {
		all := make(map[string]bool, len(keys))
		for _, k := range keys {
			all[k] = true
		}
		return len(all) == len(keys)
	}
	for i, k := range keys {
		if slices.Contains(keys[:i], k) {
			return false
		}
	}
	return true
}
