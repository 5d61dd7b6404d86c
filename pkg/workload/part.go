package workload

import (
	"cmp"
	"math/big"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// pinnedBy sets the type that a pod's nodes are of, or else the one that its claims ask for.
func (d *Usage) pinnedBy(podSpec manifest.Object) {
	d.GPUType, d.product = typesOf(podSpec, d.GPUs)
}

// typesOf are the GPU type of a pod, and the product that budgets go by; empty for any. One whose node is of a
// product, and that claims devices of another, may get both.
func typesOf(podSpec manifest.Object, n GPUCount) (gpuType, product string) {
	gpuType, _ = GPUType(podSpec)
	product = GPUProduct(podSpec)
	for _, claimed := range n.products {
		if same, _ := SameProduct(cmp.Or(product, gpuType, claimed), claimed); !same {
			return "", ""
		}
	}
	return cmp.Or(gpuType, n.product), cmp.Or(product, n.product)
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
