package mutate

import (
	"strconv"
	"strings"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// Operation is one step of a JSON Patch (RFC 6902).
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// editor changes an object in place and writes the patch that does the same.
type editor struct {
	object manifest.Object
	patch  []Operation
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
	var b strings.Builder
	for _, p := range path {
		b.WriteByte('/')
		switch p := p.(type) {
		case string:
			b.WriteString(escaper.Replace(p))
		case int:
			b.WriteString(strconv.Itoa(p))
		}
	}
	return b.String()
}

// get reads the value at a path of keys and indexes.
func (e *editor) get(path []any) (any, bool) {
	var v any = e.object
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
			if p >= len(l) {
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
		e.patch = append(e.patch, Operation{Op: op, Path: pointer(path[:i+1]), Value: clone(value)})
		return
	}
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
	e.patch = append(e.patch, Operation{Op: "add", Path: pointer(path) + "/-", Value: clone(value)})
}

// remove deletes the value at a path that ends in a key or an index.
func (e *editor) remove(path ...any) {
	parent, ok := e.get(path[:len(path)-1])
	if !ok {
		return
	}
	switch last := path[len(path)-1].(type) {
	case string:
		m, _ := parent.(manifest.Object)
		if _, ok := m[last]; !ok {
			return
		}
		delete(m, last)
	case int:
		list, _ := parent.([]any)
		if last >= len(list) {
			return
		}
		kept := append(append([]any{}, list[:last]...), list[last+1:]...)
		e.put(kept, path[:len(path)-1])
	}
	e.patch = append(e.patch, Operation{Op: "remove", Path: pointer(path)})
}

// put stores a value at an existing path without a patch operation.
func (e *editor) put(value any, path []any) {
	parent, _ := e.get(path[:len(path)-1])
	if m, ok := parent.(manifest.Object); ok {
		m[path[len(path)-1].(string)] = value
	}
}

// clone copies a value so that later edits of the object leave the patch alone.
func clone(v any) any {
	switch v := v.(type) {
	case manifest.Object:
		c := make(manifest.Object, len(v))
		for k, x := range v {
			c[k] = clone(x)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, x := range v {
			c[i] = clone(x)
		}
		return c
	}
	return v
}
