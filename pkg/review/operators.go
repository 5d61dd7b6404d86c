package review

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Operated tells whether objects of a kind are made into pods by an operator that the table knows.
func Operated(kind schema.GroupKind) bool {
	_, ok := workload.BuiltInOperators().For(kind)
	return ok
}

// IsOperated tells whether the request is about an object of an operator's kind.
func (r *Request) IsOperated() bool { return r.isOperated() }

// isOperated tells whether the request is about such a kind itself, or its scale.
func (r *Request) isOperated() bool {
	_, ok := r.operators.For(r.of)
	return ok && (r.raw.SubResource == "" || r.scale)
}

// operatedUsage measures the pods that an operator makes of the new and, on UPDATE, of the old object.
func (r *Request) operatedUsage(w World) (workload.Usage, *workload.Usage) {
	kind, _ := r.operators.For(r.of)
	gpus := r.selection(w).GPUResources()
	measure := func(o manifest.Object) workload.Usage {
		return workload.OperatorUsage(kind.Autoscaled(o, r.related.own.autoscalers), kind, gpus)
	}
	d := measure(r.object)
	if r.old == nil {
		return d, nil
	}
	old := measure(r.old)
	return d, &old
}

// judgeOperated holds an object of an operator's kind against the bounds, before anything is made of it.
func (r *Request) judgeOperated(w World) Verdict {
	d, old := r.operatedUsage(w)
	var v Verdict
	if d.GPUs.Asked() || (old != nil && old.GPUs.Asked()) { // what has no GPUs is nobody's business here
		v = r.judgeRaised(w, r.verdict(r.selection(w), d, old), func(r *Request) (workload.Usage, *workload.Usage) { return r.operatedUsage(w) })
		if !v.silent() && r.madeWithin(w, d) {
			v = Verdict{}
		}
	}
	v.Demand = d
	v.Warnings = append(v.Warnings, r.strayParameters()...)
	return v
}

// operatedClaims are those of an object of a kind whose operator's account is known: all that it asks
// for, early, so that a gang that cannot start as a whole is refused as a whole. What its operator makes
// of it is part of that. Of other kinds what is made is charged.
func (r *Request) operatedClaims(w World) []Claim {
	kind, _ := r.operators.For(r.of)
	if !kind.Charged() {
		return nil // how many pods there are at a time is for others to say
	}
	if forged := r.finishClaims(w); forged != nil {
		return forged
	}
	d, old := r.operatedUsage(w)
	if made := r.madeClaims(w, d, old); made != nil {
		return made
	}
	if r.related.operated != nil {
		return []Claim{r.beyondRoot(d, old)}
	}
	if r.related.leaves {
		d.Parts, old = workload.WithMade(d.Parts, r.related.madeOfOld), nil // its root's entry, not its own
	}
	if r.raised() {
		_, old = r.byItself().operatedUsage(w)
	}
	c := newClaim(r.key(), r.of.Kind, d, old)
	c.Name, c.Beyond = r.storedName(), r.related.leaves // an entry that is left from before is not free
	return []Claim{c}
}

// operatedTarget is what a HorizontalPodAutoscaler's target of an operator's kind asks for once that is stored,
// and asked for before.
func (r *Request) operatedTarget(w World, row *workload.OperatorKind, now, before []manifest.Object) Claim {
	target, gpus := r.related.target, r.selection(w).GPUResources()
	d := workload.OperatorUsage(row.Autoscaled(target, now), row, gpus)
	was := workload.OperatorUsage(row.Autoscaled(target, before), row, gpus)
	holder := rootOf(target)
	return Claim{Key: holder.key, Kind: holder.kind, Name: holder.name, New: d.Parts, Old: was.Parts, Demand: d, was: was}
}

// strayParameters warn of our parameters, and of the autoscale label, where they mean nothing: on the object, and on
// what its pods are made of. The autoscale label of the object itself is refused.
func (r *Request) strayParameters() []string {
	row, _ := r.operators.For(r.of)
	stated := func(o manifest.Object) (found map[string]string, paths []string) {
		found = map[string]string{}
		for at, metadata := range row.Metadata(o) {
			for _, in := range []string{"labels", "annotations"} {
				values := manifest.Texts(metadata, in)
				for _, key := range slices.Sorted(maps.Keys(values)) {
					label := in == "labels" && key == parameter.AutoscaleLabel && at.String() != "metadata"
					path := at.Child(in).Key(key).String()
					if _, twice := found[path]; !twice && (label || parameter.IsKey(key)) {
						found[path], paths = values[key], append(paths, path)
					}
				}
			}
		}
		return found, paths
	}
	before, _ := stated(r.old)
	now, paths := stated(r.object)
	var warnings []string
	for _, path := range paths {
		if value, had := before[path]; !had || value != now[path] {
			warnings = append(warnings, path+" has no effect on a "+r.of.String()+": its operator makes its pods")
		}
	}
	return warnings
}
