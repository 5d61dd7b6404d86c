package jsonscan

// Outline is where parts of a Kubernetes object stand in its text: nil for what it does not
// have.
type Outline struct {
	// Labels and Annotations are those of its metadata.
	Labels, Annotations []byte
	Spec                []byte
}

// Outline passes over a value as Raw does, and tells where its parts are. It is not ok either
// if a key on the way to them has an escape or stands twice.
func (r *Reader) Outline() (raw []byte, o Outline, ok bool) {
	if r.peek() != '{' {
		raw, ok = r.Raw()
		return raw, o, ok
	}
	start := r.pos
	ok = r.Fields(func(key []byte) bool {
		switch string(key) {
		case "metadata":
			if r.peek() == '{' {
				return r.Fields(func(key []byte) bool {
					switch string(key) {
					case "labels":
						return r.into(&o.Labels)
					case "annotations":
						return r.into(&o.Annotations)
					}
					return r.skip()
				})
			}
		case "spec":
			return r.into(&o.Spec)
		}
		return r.skip()
	})
	return r.raw[start:r.pos:r.pos], o, ok
}

func (r *Reader) into(part *[]byte) (ok bool) {
	*part, ok = r.Raw()
	return ok
}

// Pairs calls each for the keys of an object, in order, with the texts of their values. It is
// not ok for what is no object, nor where a key has an escape or stands twice.
func Pairs(object []byte, each func(key, value []byte)) bool {
	r := NewReader(object)
	defer r.Release()
	return r.Fields(func(key []byte) bool {
		value, ok := r.Raw()
		if ok {
			each(key, value)
		}
		return ok
	}) && r.End()
}
