package manifest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Fitting is a copy of an object without what errors of CheckType are about, so that the
// rest can be given its type and judged. Entries of lists stay in their places, empty.
func Fitting(o Object, t reflect.Type, errs field.ErrorList) Object {
	o = runtime.DeepCopyJSON(o)
	for _, e := range errs {
		if path := steps(e.Field); len(path) > 0 {
			takeOut(o, t, path)
		}
	}
	return o
}

// takeOut takes what a path leads to out of a value.
func takeOut(v any, t reflect.Type, path []string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	last := len(path) == 1
	switch v := v.(type) {
	case Object:
		if last {
			delete(v, path[0])
			return
		}
		switch t.Kind() {
		case reflect.Struct:
			if of, ok := fieldsOf(t)[path[0]]; ok {
				takeOut(v[path[0]], of, path[1:])
				return
			}
		case reflect.Map:
			takeOut(v[path[0]], t.Elem(), path[1:])
			return
		}
		delete(v, path[0])
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(v) || t.Kind() != reflect.Slice {
			return
		}
		if _, nested := v[i].(Object); last || !nested || shapeless(t.Elem()) {
			v[i] = zero(t.Elem())
			return
		}
		takeOut(v[i], t.Elem(), path[1:])
	}
}

// shapeless tells whether a type reads JSON by code of its own.
func shapeless(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(unmarshaler)
}

// zero is the zero value of a type, as JSON holds it.
func zero(t reflect.Type) (v any) {
	raw, err := json.Marshal(reflect.Zero(t).Interface())
	if err != nil || json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return v
}

// Find is the value at a path as field.Path writes it; ok is false if there is none.
func Find(o Object, path string) (v any, ok bool) {
	v = o
	for _, step := range steps(path) {
		switch in := v.(type) {
		case Object:
			v, ok = in[step]
		case []any:
			i, err := strconv.Atoi(step)
			if ok = err == nil && i >= 0 && i < len(in); ok {
				v = in[i]
			}
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	return v, true
}

// steps are the names, keys and indexes of a path as field.Path writes it.
func steps(path string) []string {
	var all []string
	for path != "" {
		if path[0] == '[' {
			end := strings.IndexByte(path, ']')
			for end > 0 && end+1 < len(path) && path[end+1] != '.' && path[end+1] != '[' {
				next := strings.IndexByte(path[end+1:], ']') // the key has a bracket of its own
				if next < 0 {
					break
				}
				end += 1 + next
			}
			if end < 0 {
				return all
			}
			all, path = append(all, path[1:end]), strings.TrimPrefix(path[end+1:], ".")
			continue
		}
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		all, path = append(all, path[:end]), strings.TrimPrefix(path[end:], ".")
	}
	return all
}

// Unsaid are errors about places of which others say nothing.
func Unsaid(errs, said field.ErrorList) field.ErrorList {
	return slices.DeleteFunc(errs, func(e *field.Error) bool {
		return slices.ContainsFunc(said, func(s *field.Error) bool { return Below(s.Field, e.Field) || Below(e.Field, s.Field) })
	})
}

// Below tells whether one path is another one or leads to something within it.
func Below(path, whole string) bool {
	rest, ok := strings.CutPrefix(path, whole)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Together words several errors as one text.
func Together(errs field.ErrorList) string {
	texts := make([]string, len(errs))
	for i, e := range errs {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "; ")
}
