package convert

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// rule is what becomes of one field. The zero rule keeps it as it is.
type rule struct {
	// unset tells whether a value is what the API server fills in, or means the same as
	// none; such a value is left out. parent is the object that holds the field.
	unset func(parent manifest.Object, value any) bool
	// refuse says why a Knative Service cannot hold the field, and what to do about it.
	refuse string
	// ignore is the warning for a field that is left out though it is stated.
	ignore string
	// drop leaves the field out without a word.
	drop bool
	// within are the rules for the fields of an object, or of each object in a list.
	within level
	// empty keeps an object that holds nothing, since its presence says something.
	empty bool
}

// level are the rules for the fields of one type of object.
type level map[string]rule

// is makes a test for values that count as not stated.
func is(values ...any) func(manifest.Object, any) bool {
	return func(_ manifest.Object, value any) bool { return slices.Contains(values, value) }
}

// apply copies what the rules of a level keep of an object.
func (c *conversion) apply(rules level, in manifest.Object, at *field.Path) manifest.Object {
	out := manifest.Object{}
	for _, key := range slices.Sorted(maps.Keys(in)) {
		value, path := in[key], at.Child(key)
		r, known := rules[key]
		switch {
		case r.drop, value == nil, isEmpty(value) && !r.empty, r.unset != nil && r.unset(in, value):
		case !known:
			c.forbid(path, "is not a field that can be carried over to a Knative Service; remove it")
		case r.refuse != "":
			c.forbid(path, r.refuse)
		case r.ignore != "":
			c.warn("%s has no effect: %s", path, r.ignore)
		default:
			if kept := c.applyWithin(r, value, path); r.empty || !isEmpty(kept) {
				out[key] = kept
			}
		}
	}
	return out
}

func (c *conversion) applyWithin(r rule, value any, path *field.Path) any {
	if r.within == nil {
		return value
	}
	switch v := value.(type) {
	case manifest.Object:
		return c.apply(r.within, v, path)
	case []any:
		list := make([]any, len(v))
		for i, entry := range v {
			list[i] = entry
			if o, ok := entry.(manifest.Object); ok {
				list[i] = c.apply(r.within, o, path.Index(i))
			}
		}
		return list
	}
	return value
}

// isEmpty tells whether a value says nothing: null, or an object or list without entries.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case manifest.Object:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

func (c *conversion) forbid(path *field.Path, detail string) {
	c.errs = append(c.errs, field.Forbidden(path, detail))
}

func (c *conversion) refuse(path *field.Path, value any, format string, args ...any) {
	c.errs = append(c.errs, field.Invalid(path, value, fmt.Sprintf(format, args...)))
}

func (c *conversion) warn(format string, args ...any) {
	c.notes.Warnings = append(c.notes.Warnings, fmt.Sprintf(format, args...))
}
