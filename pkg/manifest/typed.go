package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// UnknownField words a field that a type does not have; known are the fields that it has at
// this place. A nil error lets the field pass.
type UnknownField func(path *field.Path, known []string) *field.Error

// CheckType compares a decoded value with the type that it is about to be given, and names
// every place that does not fit, in the words of JSON. Without unknown, fields that the type
// does not have pass.
func CheckType(v any, t reflect.Type, path *field.Path, unknown UnknownField) field.ErrorList {
	c := &typeCheck{unknown: unknown}
	c.value(v, t, path)
	return c.errs
}

// Shaped is a type that reads JSON of several shapes. Shape is the type whose fields a value
// is written with, and nil where there is none for it.
type Shaped interface {
	Shape(v any) reflect.Type
}

type typeCheck struct {
	unknown UnknownField
	errs    field.ErrorList
}

func (c *typeCheck) refuse(path *field.Path, v any, detail string) {
	c.errs = append(c.errs, field.TypeInvalid(orRoot(path), shown(v), detail))
}

// orRoot is a path, or the one that names the whole object.
func orRoot(path *field.Path) *field.Path {
	if path == nil {
		return field.NewPath("(root)")
	}
	return path
}

// shown is a value as an error shows it: scalars as they are, others by their type.
func shown(v any) any {
	switch v.(type) {
	case Object, []any:
		return TypeName(v)
	}
	return v
}

// MustBeString says what to do about a value that stands where a string must be.
func MustBeString(v any) string {
	switch v := v.(type) {
	case bool:
		return fmt.Sprintf("must be a string; put it in quotes: %q", strconv.FormatBool(v))
	case int64, float64:
		text, _ := QuantityText(v)
		return fmt.Sprintf("must be a string; put it in quotes: %q", text)
	}
	return "must be a string"
}

var (
	quantityType  = reflect.TypeFor[resource.Quantity]()
	intOrString   = reflect.TypeFor[intstr.IntOrString]()
	timeType      = reflect.TypeFor[metav1.Time]()
	microTimeType = reflect.TypeFor[metav1.MicroTime]()
	durationType  = reflect.TypeFor[metav1.Duration]()
	unmarshaler   = reflect.TypeFor[json.Unmarshaler]()
)

func (c *typeCheck) value(v any, t reflect.Type, path *field.Path) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if v == nil || c.special(v, t, path) {
		return
	}
	switch t.Kind() {
	case reflect.String:
		if _, ok := v.(string); !ok {
			c.refuse(path, v, MustBeString(v))
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			c.refuse(path, v, "must be true or false"+withoutQuotes(v, "true", "false"))
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		c.whole(v, t.Bits(), path)
	case reflect.Float32, reflect.Float64:
		if TypeName(v) != "a number" {
			c.refuse(path, v, "must be a number")
		}
	case reflect.Slice:
		c.list(v, t, path)
	case reflect.Map:
		o, ok := v.(Object)
		if !ok {
			c.refuse(path, v, "must be an object")
		}
		for _, key := range slices.Sorted(maps.Keys(o)) {
			c.value(o[key], t.Elem(), path.Key(key))
		}
	case reflect.Struct:
		c.fields(v, t, path)
	}
}

// withoutQuotes is the advice for text that would be right without its quotes.
func withoutQuotes(v any, allowed ...string) string {
	if text, ok := v.(string); ok && slices.Contains(allowed, text) {
		return "; write it without quotes"
	}
	return ""
}

func (c *typeCheck) whole(v any, bits int, path *field.Path) {
	low, high := int64(-1)<<(bits-1), int64(1)<<(bits-1)-1
	switch v := v.(type) {
	case int64:
		if v < low || v > high {
			c.refuse(path, v, fmt.Sprintf("must be a whole number from %d to %d", low, high))
		}
	case float64:
		if v != math.Trunc(v) || v < float64(low) || v > float64(high) {
			c.refuse(path, v, "must be a whole number")
		}
	case string:
		detail := "must be a whole number"
		if _, err := strconv.ParseInt(v, 10, bits); err == nil {
			detail += "; write it without quotes"
		}
		c.refuse(path, v, detail)
	default:
		c.refuse(path, v, "must be a whole number")
	}
}

func (c *typeCheck) list(v any, t reflect.Type, path *field.Path) {
	if t.Elem().Kind() == reflect.Uint8 { // bytes, in base64
		if _, ok := v.(string); !ok {
			c.refuse(path, v, MustBeString(v))
		}
		return
	}
	list, ok := v.([]any)
	if !ok {
		c.refuse(path, v, "must be a list")
		return
	}
	for i, entry := range list {
		if entry == nil && shapeless(t.Elem()) {
			c.own(entry, t.Elem(), path.Index(i))
			continue
		}
		if entry == nil && t.Elem().Kind() != reflect.Pointer {
			c.refuse(path.Index(i), "null", "is an empty entry; remove it")
			continue
		}
		c.value(entry, t.Elem(), path.Index(i))
	}
}

func (c *typeCheck) fields(v any, t reflect.Type, path *field.Path) {
	o, ok := v.(Object)
	known := fieldsOf(t)
	if !ok {
		detail := "must be an object"
		if len(known) > 0 && len(known) <= 6 {
			detail += " with " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
		}
		c.refuse(path, v, detail)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(o)) {
		of, found := known[key]
		switch {
		case found:
			c.value(o[key], of, child(path, key))
		case c.unknown != nil:
			if err := c.unknown(child(path, key), slices.Sorted(maps.Keys(known))); err != nil {
				c.errs = append(c.errs, err)
			}
		}
	}
}

func child(path *field.Path, key string) *field.Path {
	if path == nil {
		return field.NewPath(key)
	}
	return path.Child(key)
}

// special checks the types that read JSON in a way of their own.
func (c *typeCheck) special(v any, t reflect.Type, path *field.Path) bool {
	switch t {
	case quantityType:
		if text, ok := QuantityText(v); !ok {
			c.refuse(path, v, "must be a quantity, such as 500m, 2 or 16Gi")
		} else if _, err := ParseQuantity(text); err != nil {
			c.errs = append(c.errs, field.Invalid(path, text, "invalid value: "+text+"; allowed: a Kubernetes quantity, such as 500m, 2 or 16Gi"))
		}
	case intOrString:
		if _, ok := v.(string); !ok && TypeName(v) != "a number" {
			c.refuse(path, v, "must be a whole number or a string")
		} else if !ok {
			c.whole(v, 32, path)
		}
	case timeType, microTimeType:
		c.parsed(v, path, "a time such as 2027-01-31T00:00:00Z", func(text string) error { _, err := time.Parse(time.RFC3339, text); return err })
	case durationType:
		c.parsed(v, path, "a duration such as 90s or 10m", func(text string) error { _, err := time.ParseDuration(text); return err })
	default:
		if shapeless(t) {
			c.shaped(v, t, path)
			return true
		}
		return t.Kind() == reflect.Interface
	}
	return true
}

// shaped checks the fields of a value of a type that reads JSON by code of its own, and then
// asks that.
func (c *typeCheck) shaped(v any, t reflect.Type, path *field.Path) {
	before := len(c.errs)
	if s, ok := reflect.TypeAssert[Shaped](reflect.Zero(t)); ok && s.Shape(v) != nil {
		c.value(v, s.Shape(v), path)
	}
	if len(c.errs) == before {
		c.own(v, t, path)
	}
}

// own asks a type that reads JSON by code of its own.
func (c *typeCheck) own(v any, t reflect.Type, path *field.Path) {
	raw, err := json.Marshal(v)
	if err == nil {
		err = reflect.New(t).Interface().(json.Unmarshaler).UnmarshalJSON(raw)
	}
	var mistyped *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mistyped):
		c.refuse(path, v, fmt.Sprintf("is a JSON %s; must be a %s", mistyped.Value, mistyped.Type.Kind()))
	case err != nil:
		c.refuse(path, v, err.Error())
	}
}

// parsed checks text that has a form.
func (c *typeCheck) parsed(v any, path *field.Path, what string, parse func(string) error) {
	if text, ok := v.(string); !ok || parse(text) != nil {
		c.refuse(path, v, "must be "+what)
	}
}

var fieldTypes sync.Map // reflect.Type to map[string]reflect.Type

// fieldsOf are the fields of a struct by their names in JSON, those of embedded structs
// among them.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if known, ok := fieldTypes.Load(t); ok {
		return known.(map[string]reflect.Type)
	}
	known := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "":
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			maps.Copy(known, fieldsOf(embedded))
		case name != "":
			known[name] = f.Type
		}
	}
	fieldTypes.Store(t, known)
	return known
}
