package workload

import (
	"maps"
	"math/big"
	"slices"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// pinnedBy sets the type that a pod's nodes are of, or the one that its claims ask for.
func (d *Usage) pinnedBy(podSpec manifest.Object) {
	d.GPUType, d.product = typesOf(podSpec, d.GPUs)
}

// typesOf are the GPU type of a pod, and the product that budgets go by; empty for any.
func typesOf(podSpec manifest.Object, n GPUCount) (gpuType, product string) {
	gpuType, _ = GPUType(podSpec)
	return n.TypeOn(gpuType), n.TypeOn(GPUProduct(podSpec))
}

// TypeOn is the type of the GPUs of a pod that is pinned to nodes of a type; empty for any. Devices that are
// claimed are of what their selectors say, whatever the node: one may have several products, and a
// ResourceSlice may be there for all nodes.
func (c GPUCount) TypeOn(node string) string {
	if c.Claimed() && !c.byNode {
		return c.products.one()
	}
	for product := range c.products {
		if !covers(node, product) {
			return ""
		}
	}
	return node
}

// Claimed tells whether any of the GPUs come by resource claims, those that the scheduler makes among them.
func (c GPUCount) Claimed() bool { return len(c.products) > 0 }

// part is what one pod asks for whose GPUs are of a type, or of those that its claims ask for.
func (c GPUCount) part(gpuType string) Part {
	p := Part{GPUs: c.PerPod, Type: gpuType, less: c.less}
	if gpuType == "" && c.Claimed() && !c.byNode {
		return p.of(c.products)
	}
	return p
}

// perPod is what one pod asks for.
func (d *Usage) perPod() Part { return d.GPUs.part(d.product) }

// byType is how many GPUs there are of each type at most; under the empty one those that may be of any. It never
// changes.
type byType map[string]int64

// one is the only type; empty if there is another number of them.
func (t byType) one() string {
	for gpuType := range t {
		if len(t) == 1 {
			return gpuType
		}
	}
	return ""
}

// merge puts the numbers of two together by type.
func (t byType) merge(other byType, with func(a, b int64) int64) byType {
	if len(t) == 0 && len(other) == 0 {
		return nil
	}
	merged := make(byType, len(t)+len(other))
	maps.Copy(merged, t)
	for gpuType, n := range other {
		merged[gpuType] = with(merged[gpuType], n)
	}
	maps.DeleteFunc(merged, func(_ string, n int64) bool { return n == 0 })
	return merged
}

// or covers both, whichever of them there is.
func (t byType) or(other byType) byType {
	return t.merge(other, func(a, b int64) int64 { return max(a, b) })
}

// plus is both together.
func (t byType) plus(other byType) byType { return t.merge(other, SaturatingAdd) }

// minus is what there is more of each type.
func (t byType) minus(other byType) byType {
	return t.merge(other, func(a, b int64) int64 { return max(0, a-b) })
}

// sum is all of them together.
func (t byType) sum() (n int64) {
	for _, of := range t {
		n = SaturatingAdd(n, of)
	}
	return n
}

// times is as many as so many pods have.
func (t byType) times(pods int64) byType {
	if t == nil {
		return nil
	}
	all := make(byType, len(t))
	for gpuType, n := range t {
		all[gpuType] = SaturatingMul(n, pods)
	}
	return all
}

// types are how many of the GPUs of a part may be of each type.
func (p Part) types() byType {
	switch {
	case p.GPUs == 0:
		return nil
	case p.ofType != nil:
		return p.ofType
	}
	return byType{p.Type: p.GPUs}
}

// of is a part whose GPUs may be of some types.
func (p Part) of(types byType) Part {
	if p.Type, p.ofType = types.one(), nil; len(types) < 2 || types[""] >= p.GPUs {
		return p
	}
	p.ofType = make(byType, len(types))
	for gpuType, n := range types {
		p.ofType[gpuType] = min(n, p.GPUs)
	}
	return p
}

// withHeld is what an object claims and, apart from that, the overlap of its rollout, given what its pods hold and the
// most that those of a rollout do: what is held beyond the claim is overlap first. Pods of another type may be among
// those that are claimed.
func (p Part) withHeld(held, rollout Part) (claim, overlap Part) {
	overlap = held.beyond(p).upTo(rollout)
	return p.or(held.beyond(overlap)), overlap
}

// typesWithin tells whether all GPUs of a part are of types that another may be of, as many.
func (p Part) typesWithin(other Part) bool {
	more, of := int64(0), other.types()
	for gpuType, n := range p.types() {
		if gpuType != "" {
			n = max(0, n-of[gpuType])
		}
		more = SaturatingAdd(more, n)
	}
	return min(more, p.GPUs) <= of[""]
}

// counted is how many GPUs of a part count of those types that are counted, rounded up, and what rounding added.
func (p *Part) counted(counts func(gpuType string) bool) (int64, *big.Rat) {
	if p.ofType == nil {
		if counts(p.Type) {
			return p.GPUs, p.less
		}
		return 0, nil
	}
	n := int64(0)
	for gpuType, most := range p.ofType {
		if counts(gpuType) {
			n = SaturatingAdd(n, most)
		}
	}
	if n >= p.GPUs {
		return p.GPUs, p.less
	}
	return n, nil
}

// or is a part that covers both, whichever of them holds.
func (p Part) or(other Part) Part {
	larger := p
	if other.exceeds(p) {
		larger.GPUs, larger.less = other.GPUs, other.less
	}
	if p.Type == other.Type && p.ofType == nil && other.ofType == nil {
		return larger
	}
	return larger.of(p.types().or(other.types()))
}

// times is what so many pods hold, of which each holds a part.
func (p Part) times(pods int64) Part {
	p.GPUs, p.less = times(p.GPUs, p.less, pods)
	p.ofType = p.ofType.times(pods)
	return p
}

// plus is what two parts hold together.
func (p Part) plus(other Part) Part {
	sum := p
	sum.GPUs, sum.less = SaturatingAdd(p.GPUs, other.GPUs), nil
	if (p.less != nil || other.less != nil) && sum.GPUs != Unbounded {
		exact := exactly(p.GPUs, p.less)
		exact.Add(exact, exactly(other.GPUs, other.less))
		sum.GPUs = ceilOf(exact)
		sum.less = added(sum.GPUs, exact)
	}
	if p.Type == other.Type && p.ofType == nil && other.ofType == nil {
		return sum
	}
	return sum.of(p.types().plus(other.types()))
}

// beyond is what a part holds that another does not. Where each GPU of the other is of one type, or of any, what is left
// is of the types of which there are more.
func (p Part) beyond(other Part) Part {
	switch {
	case !p.exceeds(other):
		p.GPUs, p.less = 0, nil
	case p.GPUs == Unbounded && other.GPUs != Unbounded:
	case p.less == nil && other.less == nil:
		types := p.types()
		if p.GPUs -= other.GPUs; types.sum() != Unbounded && other.types().sum() == other.GPUs {
			return p.of(types.minus(other.types()))
		}
	default:
		rest := new(big.Rat).Sub(exactly(p.GPUs, p.less), exactly(other.GPUs, other.less))
		p.GPUs = ceilOf(rest)
		p.less = added(p.GPUs, rest)
	}
	return p.sized()
}

// upTo is a part that is no larger than another.
func (p Part) upTo(other Part) Part {
	if p.exceeds(other) {
		p.GPUs, p.less = other.GPUs, other.less
	}
	return p.sized()
}

// without is a part with so many GPUs fewer, of whatever types. Unbounded ones stay so.
func (p Part) without(gpus int64) Part {
	if p.GPUs != Unbounded {
		p.GPUs = max(0, p.GPUs-gpus)
	}
	if p.GPUs == 0 {
		p.less = nil
	}
	return p.sized()
}

// withoutOf is a part of several types with so many GPUs fewer, all of one of these. It stays one of several.
func (p Part) withoutOf(gpuType string, gpus int64) Part {
	types := maps.Clone(p.ofType)
	if types[gpuType] != Unbounded {
		types[gpuType] = max(0, types[gpuType]-gpus)
	}
	p.ofType = types
	if p.GPUs != Unbounded {
		p.GPUs = max(0, p.GPUs-gpus)
	}
	return p
}

// sized has no more GPUs of any type than all.
func (p Part) sized() Part {
	if p.ofType == nil {
		return p
	}
	return p.of(p.ofType)
}

// byTypes are the sums of parts by type, as many as may be of each; those of any type under the empty one.
func byTypes(parts []Part) byType {
	var sums byType
	for _, p := range parts {
		sums = sums.plus(p.types())
	}
	return sums
}

// ChangesType tells whether parts may have more GPUs of some type, or of some types together, than others: what is no
// more in all may be more for a budget of them.
func ChangesType(parts, others []Part) bool {
	several := func(p Part) bool { return p.ofType != nil }
	if (slices.ContainsFunc(parts, several) || slices.ContainsFunc(others, several)) && !slices.EqualFunc(parts, others, Part.Equal) {
		return true
	}
	before := byTypes(others)
	for gpuType, n := range byTypes(parts) {
		if n > before[gpuType] {
			return true
		}
	}
	return false
}

// Equal tells whether two parts are the same.
func (p Part) Equal(other Part) bool {
	return p.Revision == other.Revision && p.Type == other.Type && maps.Equal(p.ofType, other.ofType) &&
		!p.exceeds(other) && !other.exceeds(p)
}
