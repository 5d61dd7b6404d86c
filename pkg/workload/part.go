package workload

import (
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
	switch {
	case c.Claimed() && !c.byNode:
		return one(c.products)
	case slices.ContainsFunc(c.products, func(product string) bool { return !covers(node, product) }):
		return ""
	}
	return node
}

// Claimed tells whether any of the GPUs come by resource claims, those that the scheduler makes among them.
func (c GPUCount) Claimed() bool { return len(c.products) > 0 }

// of adds what claimed GPUs are of.
func (c *GPUCount) of(products []string) {
	for _, product := range products {
		c.products = including(c.products, product)
	}
}

// including is a list that has an entry, once.
func including(list []string, entry string) []string {
	if slices.Contains(list, entry) {
		return list
	}
	return append(list, entry)
}

// one is the only entry of a list; empty if it has another number of them.
func one(list []string) string {
	if len(list) != 1 {
		return ""
	}
	return list[0]
}

// perPod is what one pod asks for.
func (d *Usage) perPod() Part {
	return Part{GPUs: d.GPUs.PerPod, Type: d.product, less: d.GPUs.less}
}

// times is what so many pods hold, of which each holds a part.
func (p Part) times(pods int64) Part {
	p.GPUs, p.less = times(p.GPUs, p.less, pods)
	return p
}

// plus is what two parts hold together; of different types, any type.
func (p Part) plus(other Part) Part {
	sum := p.or(other)
	sum.GPUs, sum.less = SaturatingAdd(p.GPUs, other.GPUs), nil
	if (p.less != nil || other.less != nil) && sum.GPUs != Unbounded {
		exact := exactly(p.GPUs, p.less)
		exact.Add(exact, exactly(other.GPUs, other.less))
		sum.GPUs = ceilOf(exact)
		sum.less = added(sum.GPUs, exact)
	}
	return sum
}

// beyond is what a part holds that another does not.
func (p Part) beyond(other Part) Part {
	switch {
	case !p.exceeds(other):
		p.GPUs, p.less = 0, nil
	case p.GPUs == Unbounded && other.GPUs != Unbounded:
	case p.less == nil && other.less == nil:
		p.GPUs -= other.GPUs
	default:
		rest := new(big.Rat).Sub(exactly(p.GPUs, p.less), exactly(other.GPUs, other.less))
		p.GPUs = ceilOf(rest)
		p.less = added(p.GPUs, rest)
	}
	return p
}

// upTo is a part that is no larger than another.
func (p Part) upTo(other Part) Part {
	if p.exceeds(other) {
		p.GPUs, p.less = other.GPUs, other.less
	}
	return p
}
