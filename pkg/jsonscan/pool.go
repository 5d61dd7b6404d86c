package jsonscan

import "crypto/sha256"

// Pool reads values, and gives the same value for the same text: whoever changes one clones
// it first. The zero Pool is empty.
type Pool struct {
	values map[[16]byte]any
	keys   map[string]string
}

// mostPooled bounds what a Pool keeps: of texts that are all different it is of no use.
const mostPooled = 1 << 16

// Value reads a JSON text, as sigs.k8s.io/json decodes it into an empty interface.
func (p *Pool) Value(raw []byte) (any, bool) {
	if p.values == nil {
		p.values, p.keys = map[[16]byte]any{}, map[string]string{}
	}
	r := NewScanner(raw)
	defer r.Release()
	v, ok := p.value(r)
	return v, ok && r.End()
}

func (p *Pool) value(r *Scanner) (any, bool) {
	first := r.peek()
	if first != '{' && first != '[' {
		return r.Value()
	}
	start := r.pos
	if !r.skip() {
		return nil, false
	}
	sum := sha256.Sum256(r.raw[start:r.pos])
	text := [16]byte(sum[:])
	if v, known := p.values[text]; known {
		return v, true
	}
	r.pos = start
	var v any
	var ok bool
	if first == '{' {
		v, ok = p.object(r)
	} else {
		list := []any{}
		ok = r.Elements(func() bool {
			v, ok := p.value(r)
			list = append(list, v)
			return ok
		})
		v = list
	}
	if ok && len(p.values) < mostPooled {
		p.values[text] = v
	}
	return v, ok
}

func (p *Pool) object(r *Scanner) (any, bool) {
	first := len(r.values)
	n := len(r.keys)
	if !r.take('{') || r.depth == maxDepth {
		return nil, false
	}
	r.depth++
	for i := 0; ; i++ {
		if r.peek() == '}' && i == 0 {
			break
		}
		key, ok := p.key(r)
		if !ok || !r.take(':') {
			return nil, false
		}
		v, ok := p.value(r)
		if !ok {
			return nil, false
		}
		r.keys, r.values = append(r.keys, key), append(r.values, v)
		if r.peek() != ',' {
			break
		}
		r.pos++
	}
	o := make(map[string]any, len(r.keys)-n)
	for i, key := range r.keys[n:] {
		o[key] = r.values[first+i]
	}
	distinct := len(o) == len(r.keys)-n
	r.keys, r.values, r.depth = r.keys[:n], r.values[:first], r.depth-1
	return o, distinct && r.take('}')
}

// key reads a key, which is kept once.
func (p *Pool) key(r *Scanner) (string, bool) {
	before := r.pos
	if text, ok := r.key(); ok {
		if key, known := p.keys[string(text)]; known {
			return key, true
		}
		key := string(text)
		if len(p.keys) < mostPooled {
			p.keys[key] = key
		}
		return key, true
	}
	r.pos = before
	return r.String()
}

// ObjectIn reads a JSON object as Object does. Strings of the result are parts of text.
func ObjectIn(text string) (map[string]any, bool) {
	r := NewScanner([]byte(text))
	defer r.Release()
	r.text = text
	v, ok := r.Value()
	o, isObject := v.(map[string]any)
	return o, ok && isObject && r.End()
}
