package mutate

import (
	"encoding/json"
	"maps"

	"github.com/kubetorch/webhook/pkg/manifest"
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
}

// readRecord reads the record of the new object, else of the old one (a PUT of the
// original manifest lacks it). Text that is no record counts as none.
func readRecord(objects ...manifest.Object) Record {
	for _, o := range objects {
		text := manifest.Text(o, "metadata", "annotations", RecordAnnotation)
		if text == "" {
			continue
		}
		var r Record
		if err := json.Unmarshal([]byte(text), &r); err == nil && r != nil {
			maps.DeleteFunc(r, func(_ string, e Entry) bool { return e.Value == "" }) // never written
			return r
		}
	}
	return Record{}
}

func (r Record) text() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // a map of strings always marshals
	}
	return string(b)
}
