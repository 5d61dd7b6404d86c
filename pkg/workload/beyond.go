package workload

import (
	"maps"
	"slices"
)

// Beyond is what parts claim beyond what others do: GPUs of a type count as part of those that may be of it.
func Beyond(parts, others []Part) []Part {
	have := poolsOf(others)
	single, several := bySingleType(parts)
	var more []Part
	for _, gpuType := range slices.Sorted(maps.Keys(single)) {
		if n := have.take(gpuType, single[gpuType]); n > 0 {
			more = append(more, Part{GPUs: n, Type: gpuType})
		}
	}
	for _, p := range several {
		if p = have.takeAll(p); p.GPUs > 0 {
			more = append(more, p)
		}
	}
	return more
}

// bySingleType sums the parts of one type, or of any, by type. Those that may be of several stand apart, but for
// sums of such as are of one.
func bySingleType(parts []Part) (sums map[string]int64, several []Part) {
	var single []Part
	for _, p := range parts {
		switch {
		case p.ofType == nil:
			single = append(single, p)
		case p.ofType.sum() == p.GPUs:
			for gpuType, n := range p.ofType {
				single = append(single, Part{GPUs: n, Type: gpuType})
			}
		default:
			several = append(several, p)
		}
	}
	return SumsByType(single), several
}

// pools are GPUs that may be taken, each of them once.
type pools struct {
	single  map[string]int64
	several []Part
}

func poolsOf(parts []Part) *pools {
	single, several := bySingleType(parts)
	return &pools{single, slices.Clone(several)}
}

// take takes GPUs of a type, or of any, and tells how many there are none for.
func (p *pools) take(gpuType string, n int64) int64 {
	n = p.takeSingle(gpuType, n)
	for i := range p.several {
		s := &p.several[i]
		for _, of := range []string{gpuType, ""} {
			if taken := min(n, s.GPUs, s.ofType[of]); taken > 0 && n != Unbounded {
				n, *s = n-taken, s.withoutOf(of, taken)
			}
		}
	}
	if gpuType != "" {
		n = p.takeSingle("", n)
	}
	return n
}

// takeAll takes as many of a part as may be of the same types, and returns what is left of it.
func (p *pools) takeAll(part Part) Part {
	for i := range p.several {
		s := &p.several[i]
		if part.GPUs <= s.GPUs && part.GPUs != Unbounded && part.typesWithin(*s) {
			left := s.GPUs
			for gpuType := range s.ofType { // it may have been any of them
				*s = s.withoutOf(gpuType, part.GPUs)
			}
			if s.GPUs = left; left != Unbounded {
				s.GPUs -= part.GPUs
			}
			part = Part{}
		}
	}
	if left := p.takeSingle("", part.GPUs); left != part.GPUs {
		part = part.without(part.GPUs - left)
	}
	return part
}

func (p *pools) takeSingle(gpuType string, n int64) int64 {
	switch has := p.single[gpuType]; {
	case has == Unbounded:
		return 0
	case n == Unbounded:
		return n
	default:
		p.single[gpuType] = has - min(n, has)
		return n - min(n, has)
	}
}
