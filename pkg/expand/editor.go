package expand

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// editor changes an object in place and writes the patch that does the same.
type editor struct {
	object manifest.Object
	patch  []manifest.PatchOperation
}

var escaper = strings.NewReplacer("~", "~0", "/", "~1")

// Pointer is the JSON pointer of a path of keys.
func Pointer(keys ...string) string {
	path := make([]any, len(keys))
	for i, k := range keys {
		path[i] = k
	}
	return pointer(path)
}

func pointer(path []any) string {
	b := make([]byte, 0, 128)
	for _, p := range path {
		b = append(b, '/')
		switch p := p.(type) {
		case string:
			if strings.IndexByte(p, '~') >= 0 || strings.IndexByte(p, '/') >= 0 {
				p = escaper.Replace(p)
			}
			b = append(b, p...)
		case int:
			b = strconv.AppendInt(b, int64(p), 10)
		}
	}
	return string(b)
}

// get reads the value at a path of keys and indexes.
func (e *editor) get(path []any) (any, bool) { return valueAt(e.object, path) }

func valueAt(o manifest.Object, path []any) (any, bool) {
	var v any = o
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(manifest.Object)
			next, ok := m[p]
			if !ok {
				return nil, false
			}
			v = next
		case int:
			l, _ := v.([]any)
			if p < 0 || p >= len(l) {
				return nil, false
			}
			v = l[p]
		}
	}
	return v, true
}

// set writes a value at a path that ends in a key. Objects on the way that are missing
// or null are made; a list on the way must hold an object at the index that follows.
func (e *editor) set(value any, path ...any) {
	var parent any = e.object
	for i, step := range path {
		if index, ok := step.(int); ok {
			parent = parent.([]any)[index]
			continue
		}
		m, key := parent.(manifest.Object), step.(string)
		next, exists := m[key]
		if i < len(path)-1 && isContainer(next) {
			parent = next
			continue
		}
		for j := len(path) - 1; j > i; j-- {
			value = manifest.Object{path[j].(string): value}
		}
		op := "add"
		if exists {
			op = "replace"
		}
		m[key] = value
		e.patch = append(e.patch, manifest.PatchOperation{Op: op, Path: pointer(path[:i+1]), Value: copied(value)})
		return
	}
}

// setAt writes a value at a location that ends in a key.
func (e *editor) setAt(l location, value any) {
	annotations := manifest.Map(e.object, "spec", "template", "metadata", "annotations")
	if l.pointer == "" || annotations == nil || isContainer(value) {
		e.set(value, l.path...)
		return
	}
	op := "add"
	if _, exists := annotations[l.name]; exists {
		op = "replace"
	}
	annotations[l.name] = value
	e.patch = append(e.patch, manifest.PatchOperation{Op: op, Path: l.pointer, Value: value})
}

func copied(v any) any {
	if isContainer(v) {
		return runtime.DeepCopyJSONValue(v)
	}
	return v
}

func isContainer(v any) bool {
	switch v.(type) {
	case manifest.Object, []any:
		return true
	}
	return false
}

// add appends to the list at a path of keys, making it if it is missing.
func (e *editor) add(value any, path ...any) {
	v, _ := e.get(path)
	list, ok := v.([]any)
	if !ok {
		e.set([]any{value}, path...)
		return
	}
	e.put(append(list, value), path)
	e.patch = append(e.patch, manifest.PatchOperation{Op: "add", Path: pointer(path) + "/-", Value: runtime.DeepCopyJSONValue(value)})
}

// remove deletes the value at a path that ends in a key or an index, and the objects and
// lists on the way that it leaves empty.
func (e *editor) remove(path ...any) {
	if _, ok := e.get(path); !ok {
		return
	}
	for {
		within := path[:len(path)-1]
		parent, _ := e.get(within)
		switch last := path[len(path)-1].(type) {
		case string:
			delete(parent.(manifest.Object), last)
		case int:
			e.put(slices.Delete(slices.Clone(parent.([]any)), last, last+1), within)
		}
		e.patch = append(e.patch, manifest.PatchOperation{Op: "remove", Path: pointer(path)})
		if left, _ := e.get(within); len(within) < 2 || isEntry(within) || !isEmpty(left) {
			return
		}
		path = within
	}
}

// isEntry tells whether a path is that of an entry of a list, which stays even if empty.
func isEntry(path []any) bool {
	_, ok := path[len(path)-1].(int)
	return ok
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case manifest.Object:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// put stores a value at an existing path without a patch operation.
func (e *editor) put(value any, path []any) {
	parent, _ := e.get(path[:len(path)-1])
	if m, ok := parent.(manifest.Object); ok {
		m[path[len(path)-1].(string)] = value
	}
}
