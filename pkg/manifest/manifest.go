// Package manifest reads decoded Kubernetes objects without giving them a Go type,
// so that fields nobody here knows survive untouched.
package manifest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/json"

	"github.com/kubetorch/webhook/pkg/jsonscan"
)

// Object is a decoded JSON object. Whole numbers are int64.
type Object = map[string]any

// Decode reads one JSON object, case-sensitively. A key that stands twice in one
// object is an error: parsers disagree on which one counts.
//
// Strings of the result are parts of one copy of raw: who keeps one for longer than the
// object clones it.
func Decode(raw []byte) (Object, error) {
	if o, ok := jsonscan.Object(raw); ok {
		return o, nil
	}
	var v any
	strict, err := json.UnmarshalStrict(raw, &v, json.DisallowDuplicateFields)
	if err != nil {
		return nil, err
	}
	if len(strict) > 0 {
		return nil, errors.Join(strict...)
	}
	o, ok := v.(Object)
	if !ok {
		return nil, fmt.Errorf("is %s, not an object", TypeName(v))
	}
	return o, nil
}

// DecodeState reads an object as Decode does, and may leave out metadata.managedFields.
func DecodeState(raw []byte) (Object, error) {
	if o, ok := jsonscan.State(raw); ok {
		return o, nil
	}
	return Decode(raw)
}

// DecodePair reads the new and the stored state of one object as DecodeState does. They may share what they have
// in common: whoever changes one of them clones the other first. The error is that of the
// new object if both have one, and inOld tells whose it is.
func DecodePair(raw, rawOld []byte) (object, old Object, inOld bool, err error) {
	if object, old, ok := jsonscan.Pair(raw, rawOld); ok {
		return object, old, false, nil
	}
	if object, err = Decode(raw); err != nil {
		return nil, nil, false, err
	}
	old, err = Decode(rawOld)
	return object, old, err != nil, err
}

// TypeName names the JSON type of a decoded value.
func TypeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64, float64, int:
		return "a number"
	case []any:
		return "a list"
	}
	return "an object"
}

// At follows keys into nested objects; nil where one is missing or not an object.
func At(o Object, keys ...string) any {
	var v any = o
	for _, k := range keys {
		m, ok := v.(Object)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

// Map is the object at a path; nil where there is none.
func Map(o Object, keys ...string) Object {
	m, _ := At(o, keys...).(Object)
	return m
}

// List is the list at a path; nil where there is none.
func List(o Object, keys ...string) []any {
	l, _ := At(o, keys...).([]any)
	return l
}

// Text is the string at a path; empty where there is none.
func Text(o Object, keys ...string) string {
	s, _ := At(o, keys...).(string)
	return s
}

// Texts is the map of strings at a path, such as labels; values that are no strings
// are left out.
func Texts(o Object, keys ...string) map[string]string {
	m := Map(o, keys...)
	if m == nil {
		return nil
	}
	texts := make(map[string]string, len(m))
	for k, v := range m {
		if s, ok := v.(string); ok {
			texts[k] = s
		}
	}
	return texts
}

// Whole is the whole number at a path; ok is false where there is none.
func Whole(o Object, keys ...string) (n int64, ok bool) {
	n, ok = At(o, keys...).(int64)
	return n, ok
}

// Objects are the objects in the list at a path, in order. Entries of another type
// become nil, so that indexes hold.
func Objects(o Object, keys ...string) []Object {
	list := List(o, keys...)
	objects := make([]Object, len(list))
	for i, v := range list {
		objects[i], _ = v.(Object)
	}
	return objects
}

// QuantityText is a quantity as it stands in a manifest: a string or a number.
func QuantityText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}

// Quantity reads a quantity as it stands in a manifest.
func Quantity(v any) (resource.Quantity, error) {
	text, ok := QuantityText(v)
	if !ok {
		return resource.Quantity{}, fmt.Errorf("is %s, not a quantity", TypeName(v))
	}
	return ParseQuantity(text)
}

// ParseQuantity reads a quantity as resource.ParseQuantity does, and refuses what that
// takes and then cannot compare within any reasonable time: 1e99999999 has as many digits.
func ParseQuantity(text string) (resource.Quantity, error) {
	const digits, exponent = 64, 3
	i := strings.IndexByte(text, 'e')
	if j := strings.IndexByte(text, 'E'); i < 0 || (0 <= j && j < i) {
		i = j
	}
	if len(text) > digits || (i >= 0 && len(strings.TrimLeft(text[i+1:], "+-0")) > exponent) {
		return resource.Quantity{}, errors.New("is a number of too many digits")
	}
	return resource.ParseQuantity(text)
}

// ServingContainer is the index of the container that receives requests: the only
// one, else the one with a port, else the one named kubetorch; -1 where none or
// several qualify.
func ServingContainer(podSpec Object) int {
	containers := Objects(podSpec, "containers")
	if len(containers) == 1 {
		return 0
	}
	if i := only(containers, func(c Object) bool { return len(List(c, "ports")) > 0 }); i >= 0 {
		return i
	}
	return only(containers, func(c Object) bool { return Text(c, "name") == "kubetorch" })
}

func only(containers []Object, match func(Object) bool) int {
	found := -1
	for i, c := range containers {
		if match(c) {
			if found >= 0 {
				return -1
			}
			found = i
		}
	}
	return found
}
