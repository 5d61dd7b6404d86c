package jsonscan

// State reads an object as a whole text, without metadata.managedFields: that is half of many
// objects and of no use to an admission. It is checked and passed over.
func State(raw []byte) (map[string]any, bool) {
	r := NewScanner(raw)
	defer r.Release()
	r.bare = true
	return r.whole()
}

const managedFields = "managedFields"

// inMetadata tells whether the object that is being read is one whose managedFields are left
// out.
func (r *Scanner) inMetadata() bool { return r.bare && r.depth == 2 && r.top == "metadata" }

// Pair reads the new and the stored state of an object as State does. What they have in
// common they may share: whoever changes one of them clones the other first.
func Pair(raw, old []byte) (object, stored map[string]any, ok bool) {
	r := NewScanner(raw)
	defer r.Release()
	r.bare, r.record = true, true
	if object, ok = r.whole(); !ok {
		return nil, nil, false
	}
	s := NewScanner(old)
	defer s.Release()
	s.bare, s.alike = true, r.seen
	stored, ok = s.whole()
	return object, stored, ok
}

// part is an object or a list that stood in a text under a key: the same bytes are the same
// value.
type part struct {
	depth      int
	key, bytes string
	value      any
}

// sharedDepth is how far below the whole text parts are looked for: metadata and spec, and
// their fields.
const sharedDepth = 2

// maxParts bounds the comparing of parts.
const maxParts = 32

// field reads the value of a key of the object that is being read.
func (r *Scanner) field(key string) (any, bool) {
	if r.depth == 1 {
		r.top = key
	}
	if key == managedFields && r.inMetadata() {
		return nil, r.check()
	}
	if r.depth > sharedDepth || (!r.record && r.alike == nil) {
		return r.Value()
	}
	first := r.peek()
	if first != '{' && first != '[' {
		return r.Value()
	}
	for _, p := range r.alike {
		if p.depth != r.depth || p.key != key || len(r.raw)-r.pos < len(p.bytes) || string(r.raw[r.pos:r.pos+len(p.bytes)]) != p.bytes {
			continue
		}
		r.pos += len(p.bytes)
		return p.value, true
	}
	start := r.pos
	v, ok := r.Value()
	if ok && r.record && len(r.seen) < maxParts {
		r.seen = append(r.seen, part{r.depth, key, r.text[start:r.pos], v})
	}
	return v, ok
}
