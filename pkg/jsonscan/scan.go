package jsonscan

import (
	"strconv"
	"sync"
)

// maxDepth of nesting that is ordinary.
const maxDepth = 128

// Scanner reads one JSON text from its start to its end. Once a method returned not ok,
// the reader is of no use any more.
type Scanner struct {
	raw   []byte
	text  string // the same bytes, if strings are parts of one copy
	pos   int
	depth int
	// Scratch space of the objects and lists that are being read, innermost last.
	names  [][]byte
	keys   []string
	values []any
	buffer []byte
	// bare is whether metadata.managedFields is left out; top is the key of the whole text
	// that is being read.
	bare bool
	top  string
	// record is whether what is read goes to seen; alike is what another text had.
	record      bool
	seen, alike []part
}

var readers = sync.Pool{New: func() any { return &Scanner{} }}

// NewScanner reads raw, which must not change while the results of Raw are used. The caller
// releases it.
func NewScanner(raw []byte) *Scanner {
	r := readers.Get().(*Scanner)
	r.raw = raw
	return r
}

// Release gives the reader back. Nothing may use it any more.
func (r *Scanner) Release() {
	const kept = 512 // entries of scratch space; a rare large text must not keep more for good
	if cap(r.keys)+cap(r.values)+cap(r.names) > kept || cap(r.buffer) > 64*kept {
		return
	}
	keys, values, names := r.keys[:cap(r.keys)], r.values[:cap(r.values)], r.names[:cap(r.names)]
	clear(keys)
	clear(values)
	clear(names)
	*r = Scanner{keys: keys[:0], values: values[:0], names: names[:0], buffer: r.buffer[:0]}
	readers.Put(r)
}

// Object reads a JSON object as a whole text. Whole numbers are int64.
func Object(raw []byte) (map[string]any, bool) {
	r := NewScanner(raw)
	defer r.Release()
	return r.whole()
}

func (r *Scanner) whole() (map[string]any, bool) {
	r.text = string(r.raw)
	v, ok := r.Value()
	o, isObject := v.(map[string]any)
	return o, ok && isObject && r.End()
}

// End tells whether nothing is left but white space.
func (r *Scanner) End() bool {
	r.space()
	return r.pos == len(r.raw)
}

func (r *Scanner) space() {
	for r.pos < len(r.raw) {
		switch r.raw[r.pos] {
		case ' ', '\n', '\t', '\r':
			r.pos++
		default:
			return
		}
	}
}

// peek is the byte that the next value begins with; 0 at the end.
func (r *Scanner) peek() byte {
	r.space()
	if r.pos < len(r.raw) {
		return r.raw[r.pos]
	}
	return 0
}

// take reads one byte of punctuation.
func (r *Scanner) take(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.pos++
	return true
}

func (r *Scanner) literal(word string) bool {
	if r.peek(); len(r.raw)-r.pos < len(word) || string(r.raw[r.pos:r.pos+len(word)]) != word {
		return false
	}
	r.pos += len(word)
	return true
}

// Null reads null, and only that.
func (r *Scanner) Null() bool { return r.literal("null") }

// Bool reads true or false.
func (r *Scanner) Bool() (value, ok bool) {
	if r.literal("true") {
		return true, true
	}
	return false, r.literal("false")
}

// Fields reads an object. The function reads the value of each key, and does not keep the key,
// which has no escapes.
func (r *Scanner) Fields(value func(key []byte) bool) bool {
	if !r.take('{') || r.depth == maxDepth {
		return false
	}
	r.depth++
	first := len(r.names)
	for n := 0; ; n++ {
		if r.peek() == '}' && n == 0 {
			break
		}
		key, ok := r.key()
		if !ok || !r.take(':') {
			return false
		}
		for _, k := range r.names[first:] {
			if string(k) == string(key) {
				return false
			}
		}
		if len(r.names)-first == maxKeys {
			return false
		}
		r.names = append(r.names, key)
		if !value(key) {
			return false
		}
		if r.peek() != ',' {
			break
		}
		r.pos++
	}
	r.names, r.depth = r.names[:first], r.depth-1
	return r.take('}')
}

// maxKeys bounds the comparing of keys in Fields.
const maxKeys = 64

// Elements reads a list. The function reads each element.
func (r *Scanner) Elements(element func() bool) bool {
	if !r.take('[') || r.depth == maxDepth {
		return false
	}
	r.depth++
	for n := 0; ; n++ {
		if r.peek() == ']' && n == 0 {
			break
		}
		if !element() {
			return false
		}
		if r.peek() != ',' {
			break
		}
		r.pos++
	}
	r.depth--
	return r.take(']')
}

// Value reads any value, as sigs.k8s.io/json decodes it into an empty interface.
func (r *Scanner) Value() (any, bool) {
	switch c := r.peek(); c {
	case '{':
		return r.object()
	case '[':
		return r.list()
	case '"':
		s, ok := r.String()
		return s, ok
	case 'n':
		return nil, r.Null()
	case 't', 'f':
		return r.Bool()
	}
	return r.number()
}

func (r *Scanner) object() (any, bool) {
	if r.depth == maxDepth {
		return nil, false
	}
	r.pos, r.depth = r.pos+1, r.depth+1
	firstKey, firstValue := len(r.keys), len(r.values)
	for n := 0; ; n++ {
		if r.peek() == '}' && n == 0 {
			break
		}
		key, ok := r.String()
		if !ok || !r.take(':') {
			return nil, false
		}
		v, ok := r.field(key)
		if !ok {
			return nil, false
		}
		r.keys, r.values = append(r.keys, key), append(r.values, v)
		if r.peek() != ',' {
			break
		}
		r.pos++
	}
	keys := r.keys[firstKey:]
	o := make(map[string]any, len(keys))
	for i, key := range keys {
		o[key] = r.values[firstValue+i]
	}
	distinct := len(o) == len(keys)
	if r.inMetadata() {
		delete(o, managedFields)
	}
	r.keys, r.values, r.depth = r.keys[:firstKey], r.values[:firstValue], r.depth-1
	return o, distinct && r.take('}')
}

func (r *Scanner) list() (any, bool) {
	first := len(r.values)
	ok := r.Elements(func() bool {
		v, ok := r.Value()
		r.values = append(r.values, v)
		return ok
	})
	l := append([]any{}, r.values[first:]...)
	r.values = r.values[:first]
	return l, ok
}

func (r *Scanner) number() (any, bool) {
	text, whole, ok := r.scanNumber()
	if !ok {
		return nil, false
	}
	if whole {
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			return n, true
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	return f, err == nil
}

func (r *Scanner) scanNumber() (text []byte, whole, ok bool) {
	start := r.pos
	if r.pos < len(r.raw) && r.raw[r.pos] == '-' {
		r.pos++
	}
	switch {
	case r.pos < len(r.raw) && r.raw[r.pos] == '0':
		r.pos++
	case !r.digits():
		return nil, false, false
	}
	whole = true
	if r.pos < len(r.raw) && r.raw[r.pos] == '.' {
		whole = false
		if r.pos++; !r.digits() {
			return nil, false, false
		}
	}
	if r.pos < len(r.raw) && r.raw[r.pos]|0x20 == 'e' {
		whole = false
		if r.pos++; r.pos < len(r.raw) && (r.raw[r.pos] == '+' || r.raw[r.pos] == '-') {
			r.pos++
		}
		if !r.digits() {
			return nil, false, false
		}
	}
	return r.raw[start:r.pos], whole, true
}

func (r *Scanner) digits() bool {
	start := r.pos
	for r.pos < len(r.raw) && '0' <= r.raw[r.pos] && r.raw[r.pos] <= '9' {
		r.pos++
	}
	return r.pos > start
}

// Raw passes over any value and gives its bytes, which are checked to be JSON. Keys
// that stand twice in it are not looked for, nor is text that is no UTF-8.
func (r *Scanner) Raw() ([]byte, bool) {
	r.space()
	start := r.pos
	if !r.skip() {
		return nil, false
	}
	return r.raw[start:r.pos:r.pos], true
}

// skip passes over a value.
func (r *Scanner) skip() bool {
	end := r.past(r.pos)
	if end < 0 {
		return false
	}
	r.pos = end
	return true
}
