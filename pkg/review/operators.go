package review

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Operated tells whether objects of a kind are made into pods by an operator that the table knows.
func Operated(kind schema.GroupKind) bool {
	_, ok := workload.BuiltInOperators().For(kind)
	return ok
}

// isOperated tells whether the request is about such a kind itself.
func (r *Request) isOperated() bool { return r.raw.SubResource == "" && Operated(r.of) }

// Probes tells whether the claims of a request have to fit and are not charged: what the operator
// makes of the object is.
func (r *Request) Probes() bool { return r.isOperated() }

// operatedUsage measures the pods that an operator makes of the new and, on UPDATE, of the old object.
func (r *Request) operatedUsage(w World) (workload.Usage, *workload.Usage) {
	kind, _ := workload.BuiltInOperators().For(r.of)
	gpus := r.selection(w).GPUResources()
	d := workload.OperatorUsage(r.object, kind, gpus)
	if r.old == nil {
		return d, nil
	}
	old := workload.OperatorUsage(r.old, kind, gpus)
	return d, &old
}

// judgeOperated holds an object of an operator's kind against the bounds, before anything is made of it.
func (r *Request) judgeOperated(w World) Verdict {
	d, old := r.operatedUsage(w)
	var v Verdict
	if d.GPUs.Asked() || (old != nil && old.GPUs.Asked()) { // what has no GPUs is nobody's business here
		v = r.verdict(r.selection(w), d, old)
	}
	v.Demand = d
	v.Warnings = append(v.Warnings, r.strayParameters()...)
	return v
}

// operatedClaims are what has to fit once the object is written: all that it asks for, or on UPDATE
// what it asks for beyond that. So a gang that cannot start as a whole is refused as a whole.
func (r *Request) operatedClaims(w World) []Claim {
	kind, _ := workload.BuiltInOperators().For(r.of)
	if !kind.Charged() {
		return nil // how many pods there are at a time is for others to say
	}
	d, old := r.operatedUsage(w)
	c := newClaim(r.key(), r.of.Kind, d, nil)
	c.Name = r.storedName()
	if old == nil {
		return []Claim{c}
	}
	c.New = workload.Beyond(d.Parts, old.Parts)
	if d.GPUs.SameRequests(old.GPUs) && d.PeakPods <= old.PeakPods {
		c.Unknown = nil
	}
	return []Claim{c}
}

// strayParameters warn of our parameters where they mean nothing.
func (r *Request) strayParameters() []string {
	var warnings []string
	for _, in := range []string{"labels", "annotations"} {
		values := manifest.Texts(r.object, "metadata", in)
		keys := make([]string, 0, len(values))
		for key := range values {
			if parameter.IsKey(key) && manifest.Texts(r.old, "metadata", in)[key] != values[key] {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		for _, key := range keys {
			warnings = append(warnings, field.NewPath("metadata", in).Key(key).String()+" has no effect on a "+r.of.String()+": its operator makes its pods")
		}
	}
	return warnings
}
