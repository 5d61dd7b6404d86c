package review

import (
	"fmt"
	"strings"

	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/workload"
)

// FittingPods is how many pods of perPod GPUs fit into what is free and what the workload holds
// already, beside what others of its revisions claim.
func FittingPods(free, held, others, perPod int64) int64 {
	if perPod <= 0 || workload.SaturatingAdd(free, held) < others {
		return 0
	}
	return (workload.SaturatingAdd(free, held) - others) / perPod
}

// fits words how many pods of a charge that does not fit would: "max-scale 3 fits". It is empty
// if none would, or if that is no matter of the number of pods alone.
func (c *Charge) fits(a charge.Answer) string {
	if len(c.Claims) == 0 || c.overlap() > 0 {
		return ""
	}
	claim := c.largest()
	d := &claim.Demand
	counted := claim.GPUs == d.Claim && claim.GPUs == c.sum()
	if !counted || d.GPUs.PerPod <= 0 || d.GPUs.PerPod == workload.Unbounded || d.PeakPods <= 1 {
		return ""
	}
	others := d.OtherClaims
	if d.PeakPods != workload.Unbounded {
		others = claim.GPUs - workload.SaturatingMul(d.GPUs.PerPod, d.PeakPods)
	}
	pods := FittingPods(a.Free, max(claim.GPUs-a.Raised, 0), others, d.GPUs.PerPod)
	if d.PeakPods == workload.Unbounded {
		pods = FittingPods(a.Free, 0, others, d.GPUs.PerPod)
	}
	switch path := d.PeakPath(); {
	case pods < 1 || pods >= d.PeakPods:
		return ""
	case path != nil && strings.Contains(path.String(), "-scale"):
		if d.MinScale > pods {
			return fmt.Sprintf("max-scale %d fits, with a min-scale that is no larger", pods)
		}
		return fmt.Sprintf("max-scale %d fits", pods)
	case path != nil && strings.HasSuffix(path.String(), "replicas"):
		return fmt.Sprintf("replicas %d fits", pods)
	}
	return fmt.Sprintf("%s would fit", workload.CountText(pods, "pod"))
}
