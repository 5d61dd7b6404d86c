package mutate

import (
	"slices"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// nothingStatedChanges tells whether an update states what the stored object states, and
// leaves out at most what an earlier expansion set or Knative fills in: the original
// manifest once more, by replace or by server-side apply, which puts whole lists in the
// place of stored ones. Such an update is nobody's edit, so every setting stays.
func (e *expansion) nothingStatedChanges() bool {
	return sameIntent(e.Old, e.object) &&
		e.covered(manifest.At(e.object, "spec", "template"), manifest.At(e.Old, "spec", "template"), nil)
}

// filledByKnative are the fields that Knative's defaulting adds to a template.
var filledByKnative = []string{"name", "readinessProbe", "timeoutSeconds", "containerConcurrency", "enableServiceLinks",
	"responseStartTimeoutSeconds", "idleTimeoutSeconds", "securityContext", "creationTimestamp", "protocol", "readOnly",
	"successThreshold", "failureThreshold", "periodSeconds"}

// covered tells whether all of now stands in old, and the rest of old is not the user's.
func (e *expansion) covered(now, old any, path []any) bool {
	if manifest.Equal(now, old) {
		return true
	}
	switch old := old.(type) {
	case manifest.Object:
		now, ok := now.(manifest.Object)
		if !ok && now != nil {
			return false
		}
		for k, v := range now {
			if !manifest.Equal(v, nil) && !e.covered(v, old[k], append(path[:len(path):len(path)], k)) {
				return false
			}
		}
		for k, v := range old {
			if at := append(path[:len(path):len(path)], k); now[k] == nil && !e.added(at, k, v) {
				return false
			}
		}
		return true
	case []any:
		now, ok := now.([]any)
		if !ok || len(now) > len(old) {
			return false
		}
		for i, v := range old {
			if i >= len(now) {
				if !e.addedEntry(path, v) {
					return false
				}
			} else if !e.covered(now[i], v, append(path[:len(path):len(path)], i)) {
				return false
			}
		}
		return true
	case nil:
		return false
	}
	text, ok := manifest.QuantityText(old)
	other, alike := manifest.QuantityText(now)
	return ok && alike && parameter.Memory.Type.Same(text, other)
}

// added tells whether a field of the stored template is an expansion's or Knative's.
func (e *expansion) added(path []any, key string, value any) bool {
	if manifest.Equal(value, nil) || slices.Contains(filledByKnative, key) && !e.recorded(path) {
		return true
	}
	switch v := value.(type) {
	case manifest.Object:
		for k, x := range v {
			if !e.added(append(path[:len(path):len(path)], k), k, x) {
				return false
			}
		}
		return true
	case []any:
		return !slices.ContainsFunc(v, func(entry any) bool { return !e.addedEntry(path, entry) })
	}
	if e.recorded(path) {
		return true
	}
	n := len(path)
	if n < 2 {
		return false
	}
	list, _ := path[n-2].(string)
	q := e.Knative.ResourceDefault(list, key)
	text, ok := manifest.QuantityText(value)
	return q != nil && ok && parameter.Memory.Type.Same(q.String(), text)
}

// recorded tells whether a place of the template is in the record.
func (e *expansion) recorded(path []any) bool {
	full := pointer(append([]any{"spec", "template"}, path...))
	for name := range e.before {
		if l, ok := e.locate(name); ok && pointer(l.path) == full {
			return true
		}
	}
	return false
}

// addedEntry tells whether an entry of a stored list is one that an expansion adds.
func (e *expansion) addedEntry(path []any, entry any) bool {
	o, _ := entry.(manifest.Object)
	switch path[len(path)-1] {
	case "tolerations":
		_, ok := e.before[tolerationsLocation]
		return ok && slices.ContainsFunc(gpuTolerations, func(t manifest.Object) bool { return manifest.Equal(t, o) })
	case "volumes", "volumeMounts":
		_, ok := e.before[sharedMemoryLocation]
		return ok && manifest.Text(o, "name") == sharedMemoryVolume
	}
	return false
}
