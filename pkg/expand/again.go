package expand

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// restored is for the original manifest once more, by replace or by server-side apply,
// which puts whole lists in the place of stored ones: nobody's edit, so every setting
// stays. It writes what earlier expansions set and the manifest lacks, if that makes the
// template the stored one again, and tells whether it is.
func (e *expansion) restored() bool {
	if e.Old == nil || len(malformedQuantities(e.Old))+len(malformedQuantities(e.object)) > 0 {
		return false
	}
	trial := *e
	trial.editor = editor{object: runtime.DeepCopyJSON(e.object)}
	trial.writeEarlier()
	if !e.Knative.SameTemplate(e.Old, trial.object) {
		return false
	}
	e.writeEarlier()
	return true
}

// writeEarlier writes what earlier expansions set wherever there is nothing.
func (e *expansion) writeEarlier() {
	for _, name := range slices.Sorted(maps.Keys(e.before)) {
		entry := e.before[name]
		l, ok := e.locate(name)
		_, present := e.text(l)
		switch {
		case name == tolerationsLocation:
			e.addTolerations(recordedTolerations(entry))
		case name == antiAffinityLocation:
			e.keepAwayFromGPUs()
		case name == sharedMemoryLocation:
			if _, mounted := e.sharedMemoryMount(); !mounted {
				e.mountSharedMemory(entry.Value)
			}
		case !ok || present:
		case name == concurrencyLocation, name == deadlineLocation:
			n, _ := parameter.ParseScale(entry.Value) // checked
			e.set(n, l.path...)
		default:
			e.set(entry.Value, l.path...)
		}
	}
}

// complete writes what the stored object has and the new one lacks. Under a revision name
// that stays, Knative fills nothing in, and refuses a template without what it once did.
func (e *expansion) complete(stored any, path []any) {
	switch stored := stored.(type) {
	case manifest.Object:
		for _, k := range slices.Sorted(maps.Keys(stored)) {
			at := slices.Concat(path, []any{k})
			if now, _ := e.get(at); now != nil {
				e.complete(stored[k], at)
			} else if stored[k] != nil {
				e.set(runtime.DeepCopyJSONValue(stored[k]), at...)
			}
		}
	case []any:
		now, _ := e.get(path)
		if list, _ := now.([]any); len(list) == len(stored) {
			for i := range stored {
				e.complete(stored[i], slices.Concat(path, []any{i}))
			}
		}
	}
}
