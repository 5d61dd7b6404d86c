package jsonscan

import (
	"bytes"
	"crypto/sha256"
)

// Shape says which keys of an object are kept, or of each object in a list. One without any
// keeps the whole value.
type Shape struct {
	Fields map[string]*Shape
	// Each is what is kept of all further keys; nil is nothing.
	Each *Shape
	// Key tells of further keys whether they are kept, with their whole values.
	Key func(key []byte) bool
	// Longest is how many bytes a text that is kept whole may have as JSON, with its quotes; one that has more
	// is null. 0 is without end.
	Longest int
	// Digest is whether Prune gives a digest of the object, of which there must be one.
	Digest bool
}

// Digest of an object: two that are equal but for what is null or empty have the same. It is
// zero for an object without anything else.
type Digest [16]byte

var whole = &Shape{}

func (s *Shape) of(key []byte) *Shape {
	if kept := s.Fields[string(key)]; kept != nil {
		return kept
	}
	if s.Key != nil && s.Key(key) {
		return whole
	}
	return s.Each
}

// Prune appends what a shape keeps of a JSON text. What is kept is not checked for keys that
// stand twice. An object with a digest has to have its keys in order, as API servers write
// custom resources.
func Prune(out, raw []byte, s *Shape) (pruned []byte, digest Digest, ok bool) {
	r := NewScanner(raw)
	defer r.Release()
	p := pruner{Scanner: r}
	pruned, ok = p.prune(out, s)
	return pruned, p.digest, ok && r.End()
}

type pruner struct {
	*Scanner
	digest Digest
}

func (r *pruner) prune(out []byte, s *Shape) ([]byte, bool) {
	first := r.peek()
	if (s.Fields == nil && s.Key == nil && s.Each == nil) || (first != '{' && first != '[') {
		raw, ok := r.Raw()
		if s.Longest > 0 && len(raw) > s.Longest {
			return append(out, "null"...), ok
		}
		return append(out, raw...), ok
	}
	if first == '{' && s.Digest {
		start := r.pos
		b, _, ok := r.canonical(r.buffer[:0])
		r.buffer = b[:0]
		if !ok {
			return out, false
		}
		if len(b) > 0 {
			sum := sha256.Sum256(b)
			r.digest = Digest(sum[:])
		}
		r.pos = start
	}
	if first == '[' {
		out = append(out, '[')
		kept := 0
		ok := r.Elements(func() (ok bool) {
			if kept++; kept > 1 {
				out = append(out, ',')
			}
			out, ok = r.prune(out, s)
			return ok
		})
		return append(out, ']'), ok
	}
	out = append(out, '{')
	kept := 0
	ok := r.members(func(key []byte) (ok bool) {
		field := s.of(key)
		if field == nil {
			return r.skip()
		}
		if kept++; kept > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), key...), '"', ':')
		out, ok = r.prune(out, field)
		return ok
	})
	return append(out, '}'), ok
}

// members reads an object whose keys have no escapes. The function reads the value of each.
func (r *Scanner) members(value func(key []byte) bool) bool {
	if !r.take('{') || r.depth == maxDepth {
		return false
	}
	r.depth++
	for n := 0; ; n++ {
		if r.peek() == '}' && n == 0 {
			break
		}
		key, ok := r.key()
		if !ok || !r.take(':') || !value(key) {
			return false
		}
		if r.peek() != ',' {
			break
		}
		r.pos++
	}
	r.depth--
	return r.take('}')
}

// canonical appends a value without what is null or empty in objects, whose keys have to be
// in order.
func (r *Scanner) canonical(out []byte) (result []byte, empty, ok bool) {
	start := len(out)
	switch r.peek() {
	case '{':
		out = append(out, '{')
		var last []byte
		kept, first := 0, true
		ok := r.members(func(key []byte) bool {
			if !first && bytes.Compare(last, key) >= 0 {
				return false
			}
			last, first = key, false
			before := len(out)
			if kept > 0 {
				out = append(out, ',')
			}
			out = append(append(append(out, '"'), key...), '"', ':')
			var empty, ok bool
			if out, empty, ok = r.canonical(out); empty {
				out = out[:before]
			} else {
				kept++
			}
			return ok
		})
		if kept == 0 {
			return out[:start], true, ok
		}
		return append(out, '}'), false, ok
	case '[':
		out = append(out, '[')
		n := 0
		ok := r.Elements(func() bool {
			if n++; n > 1 {
				out = append(out, ',')
			}
			var empty, ok bool
			if out, empty, ok = r.canonical(out); empty {
				out = append(out, "null"...)
			}
			return ok
		})
		if n == 0 {
			return out[:start], true, ok
		}
		return append(out, ']'), false, ok
	case 'n':
		return out, true, r.Null()
	}
	raw, ok := r.Raw()
	return append(out, raw...), false, ok
}
