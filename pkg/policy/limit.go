package policy

import (
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Bounds with a maximum, by their field under spec.bounds.
const (
	BoundMaxScale         = "maxScale"
	BoundMinScale         = "minScale"
	BoundGPUsPerPod       = "gpusPerPod"
	BoundGPUsPerWorkload  = "gpusPerWorkload"
	BoundCPUsPerPod       = "cpusPerPod"
	BoundMemoryPerPod     = "memoryPerPod"
	BoundRetention        = "scaleToZeroPodRetentionPeriod"
	BoundScaleDownDelay   = "scaleDownDelay"
	BoundProgressDeadline = "progressDeadline"

	BoundGPUTypes          = "gpuTypes"
	BoundAutoscalerClasses = "autoscalerClasses"

	// UnlistedAccelerators is the field that says what counts: not a bound, but what a
	// workload breaks that asks for an accelerator which no policy counts.
	UnlistedAccelerators = "gpuResources"
)

// Limit is the lowest maximum that holds for a setting.
type Limit struct {
	Max resource.Quantity
	// Policy is the one that sets it, By the words for that and its field.
	Policy, By string
}

// Which bounds a limit comes from.
type Which int

const (
	// AllBounds is for a default, which is lowered to every bound, whatever its enforcement.
	AllBounds Which = iota
	// ClampBounds is for what a user states, which is lowered only where a policy clamps.
	ClampBounds
)

// Limit is the lowest maximum of a bound; ok is false where nothing bounds it.
func (s Selection) Limit(bound string, which Which) (c Limit, ok bool) {
	for _, p := range s.bounds {
		for i := range p.rules {
			r := &p.rules[i]
			if r.Bound != bound || !r.hasMax || (which == ClampBounds && r.Enforcement != v1alpha1.Clamp) {
				continue
			}
			if !ok || r.Max.Cmp(c.Max) < 0 {
				c, ok = Limit{Max: r.Max, Policy: r.Policy, By: r.by()}, true
			}
		}
	}
	return c, ok
}

// PeakLimit is the most pods that maxScale and gpusPerWorkload leave to the latest
// template of a demand, beside the claims of other revisions. It can be 0.
func (s Selection) PeakLimit(d workload.Usage, which Which) (c Limit, ok bool) {
	c, ok = s.Limit(BoundMaxScale, which)
	total, bounded := s.Limit(BoundGPUsPerWorkload, which)
	if !bounded || d.GPUs.PerPod == 0 {
		return c, ok
	}
	left := total.Max.Value() - min(d.OtherClaims, total.Max.Value())
	pods := workload.Number(d.GPUs.PodsWithin(left) / (1 + d.UnknownRevisions))
	if !ok || pods.Cmp(c.Max) < 0 {
		c, ok = Limit{Max: pods, Policy: total.Policy, By: total.By}, true
	}
	return c, ok
}

// LowerGPUs is the most GPUs per pod, up to n, that every bound allows.
func (s Selection) LowerGPUs(n int64) int64 {
	if c, ok := s.Limit(BoundGPUsPerPod, AllBounds); ok {
		n = min(n, c.Max.Value())
	}
	best := int64(0)
	for _, candidate := range append(s.listedGPUs(), n) {
		if candidate <= n && candidate > best && s.allowsGPUs(candidate) {
			best = candidate
		}
	}
	return best
}

func (s Selection) gpuLists() []*Rule {
	var lists []*Rule
	for _, p := range s.bounds {
		for i := range p.rules {
			if r := &p.rules[i]; r.Bound == BoundGPUsPerPod && !r.hasMax {
				lists = append(lists, r)
			}
		}
	}
	return lists
}

func (s Selection) listedGPUs() []int64 {
	var numbers []int64
	for _, r := range s.gpuLists() {
		for _, text := range r.allowed {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	return numbers
}

func (s Selection) allowsGPUs(n int64) bool {
	return !slices.ContainsFunc(s.gpuLists(), func(r *Rule) bool { return !r.allows(strconv.FormatInt(n, 10)) })
}

// Allows tells whether every list of names of a bound, BoundGPUTypes or
// BoundAutoscalerClasses, has a name on it.
func (s Selection) Allows(bound, name string) bool {
	for _, p := range s.bounds {
		for i := range p.rules {
			if r := &p.rules[i]; r.Bound == bound && !r.hasMax && !r.allows(name) {
				return false
			}
		}
	}
	return true
}
