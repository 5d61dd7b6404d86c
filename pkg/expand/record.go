package expand

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/kubetorch/webhook/pkg/jsonscan"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// RecordAnnotation on a Service's metadata holds what an expansion set, and from where.
const RecordAnnotation = "kubetorch.com/expansion"

// Record is what an expansion set, by location (see locate).
type Record map[string]Entry

// Entry is one value that an expansion set.
type Entry struct {
	Value string `json:"value"`
	// From is the source: a parameter with its text, a profile, a policy, a cluster key
	// or built-in. As long as it stays the same, the value stays.
	From string `json:"from"`
	// By names the policy that lowered the value, if one did.
	By string `json:"by,omitempty"`
	// State is Inactive once the label that asked for the value was taken away: the value
	// stays in the template, and is nobody's statement when the label comes back.
	State string `json:"state,omitempty"`
}

// Inactive is the state of an entry whose label is gone.
const Inactive = "inactive"

// lowers tells whether a policy made an entry of a higher value: a number, a quantity or a
// duration.
func (e Entry) lowers(text string) bool {
	if e.By == "" {
		return false
	}
	lowered, errLowered := time.ParseDuration(e.Value)
	stated, errStated := time.ParseDuration(text)
	if errLowered == nil && errStated == nil {
		return lowered < stated
	}
	q, errLowered := manifest.ParseQuantity(e.Value)
	s, errStated := manifest.ParseQuantity(text)
	return errLowered == nil && errStated == nil && q.Cmp(s) < 0
}

// DefaultMaxScale is where the max-scale of an expanded Service comes from that the workload does not state, such as
// built-in or a policy's defaults; empty where it states one.
func DefaultMaxScale(service manifest.Object) string {
	entry, ok := parseRecord(service)[knative.MaxScaleKey]
	if !ok || entry.State == Inactive || strings.Contains(entry.From, parameter.MaxScale.Key()) || !holds(service, knative.MaxScaleKey, entry) {
		return ""
	}
	return entry.From
}

// Expanded tells whether an expansion set the value that an object holds at a location, such as a key of Knative's.
func Expanded(o manifest.Object, name string) bool {
	entry, ok := parseRecord(o)[name]
	return ok && entry.State != Inactive && holds(o, name, entry)
}

// readRecord reads what earlier expansions set: an entry of the new object's record, else
// of the stored one's (a PUT of the original manifest lacks it). Anybody can write the
// annotation, so an entry counts only where its own object really holds the value.
func (e *expansion) readRecord() {
	e.before = Record{}
	now, old := parseRecord(e.object), parseRecord(e.Old)
	for name, entry := range now {
		if entry.By != "" {
			if e.lowerings == nil {
				e.lowerings = map[lowering]bool{}
			}
			e.lowerings[lowering{entry.From, entry.By}] = true
		}
		if holds(e.object, name, entry) {
			e.before[name] = entry
		}
	}
	for name, entry := range old {
		if _, found := e.before[name]; !found && holds(e.Old, name, entry) {
			e.before[name] = entry
		}
	}
}

// lowering is that a policy lowered what stood somewhere.
type lowering struct{ from, by string }

// parseRecord reads the record of an object. Text that is no record counts as none.
func parseRecord(o manifest.Object) Record {
	var r Record
	text := manifest.Text(o, "metadata", "annotations", RecordAnnotation)
	if r, ok := plainRecord(text); ok {
		return r
	}
	if text == "" || json.Unmarshal([]byte(text), &r) != nil {
		return nil
	}
	return r
}

// plainRecord reads a record as an expansion writes it: keys in their own case, each once,
// and texts. Any other text is not ok.
func plainRecord(text string) (Record, bool) {
	o, ok := jsonscan.Object([]byte(text))
	if !ok {
		return nil, false
	}
	r := make(Record, len(o))
	for name, v := range o {
		fields, ok := v.(manifest.Object)
		if !ok {
			return nil, false
		}
		var entry Entry
		for key, v := range fields {
			text, ok := v.(string)
			switch {
			case !ok:
				return nil, false
			case key == "value":
				entry.Value = text
			case key == "from":
				entry.From = text
			case key == "by":
				entry.By = text
			case key == "state":
				entry.State = text
			default:
				return nil, false
			}
		}
		r[name] = entry
	}
	return r, true
}

// holds tells whether an object has what an entry of its record says was set, and an
// expansion could have set it.
func holds(o manifest.Object, name string, entry Entry) bool {
	pod := manifest.Map(o, "spec", "template", "spec")
	serving := manifest.ServingContainer(pod)
	t := typeOf(name)
	switch name {
	case tolerationsLocation:
		keys := recordedTolerations(entry)
		return len(keys) > 0 && !slices.ContainsFunc(keys, func(key string) bool { return ownToleration(pod, key) < 0 })
	case antiAffinityLocation:
		return entry.Value == "true" && awayFromGPUs(pod)
	case sharedMemoryLocation:
		return serving >= 0 && t.Check(entry.Value) == nil && t.Same(entry.Value, sharedMemorySize(pod, sharedMemoryVolume))
	}
	l, ok := locate(name, serving)
	if !ok {
		return false // a place that nobody here writes to
	}
	if native, lowered := strings.CutPrefix(entry.From, manifestSource); lowered {
		original, found := strings.CutPrefix(native, name+": ")
		if !found || entry.By == "" || t.Check(original) != nil {
			return false
		}
	}
	text, ok := textAt(o, l)
	return ok && t.Check(entry.Value) == nil && t.Same(entry.Value, text)
}

// kept is what an earlier expansion set at a location from the same source: it stays.
func (e *expansion) kept(name, from string) (Entry, bool) {
	entry, ok := e.before[name]
	return entry, ok && entry.From == from && entry.State != Inactive
}
