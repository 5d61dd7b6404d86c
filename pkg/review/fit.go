package review

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
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

// ways words how a charge that does not fit would: "max-scale 3 fits", or why no number of
// pods would. It is empty if that is no matter of the number of pods alone.
func (c *Charge) ways(a charge.Answer) string {
	if len(c.Claims) == 0 {
		return ""
	}
	claim := c.largest()
	d := &claim.Demand
	pods, ok := c.fitting(a)
	var words []string
	switch {
	case ok && pods < 1 && 0 < a.Free && a.Free < d.GPUs.PerPod: // of none, everybody sees that
		return joined([]string{claim.unlimited(), fmt.Sprintf("one pod alone asks for %d, and %d are free, so that no number of pods fits", d.GPUs.PerPod, a.Free)})
	case ok && pods < 1:
		return claim.unlimited()
	case ok:
		words = append(words, claim.unlimited(), fits(d, pods))
	}
	if claim.service != nil && d.PeakPods > 1 {
		if from := expand.DefaultMaxScale(claim.service); from != "" {
			words = append(words, fmt.Sprintf("max-scale %d is a default (%s), and %s sets another", d.PeakPods, from, parameter.MaxScale.Key()))
		}
	}
	return joined(words)
}

func joined(words []string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), "; ")
}

// fitting is how many pods of a charge that does not fit would; ok is false if that is no matter
// of the number of pods alone.
func (c *Charge) fitting(a charge.Answer) (pods int64, ok bool) {
	if c.overlap() > 0 {
		return 0, false
	}
	claim := c.largest()
	d := &claim.Demand
	counted := claim.GPUs == d.Claim && claim.GPUs == c.sum()
	if !counted || d.GPUs.PerPod <= 0 || d.GPUs.PerPod == workload.Unbounded || d.PeakPods <= 1 {
		return 0, false
	}
	if d.PeakPods == workload.Unbounded {
		return FittingPods(a.Free, 0, d.OtherClaims, d.GPUs.PerPod), true
	}
	others := claim.GPUs - workload.SaturatingMul(d.GPUs.PerPod, d.PeakPods)
	pods = FittingPods(a.Free, max(claim.GPUs-a.Raised, 0), others, d.GPUs.PerPod)
	return pods, pods < d.PeakPods
}

// fits words a number of pods that fits, by the field that states it.
func fits(d *workload.Usage, pods int64) string {
	switch path := d.PeakPath(); {
	case path != nil && (strings.Contains(path.String(), "-scale") || strings.HasSuffix(path.String(), "Scale]")):
		if d.MinScale > pods {
			return fmt.Sprintf("max-scale %d fits, with a min-scale that is no larger", pods)
		}
		return fmt.Sprintf("max-scale %d fits", pods)
	case path != nil && strings.HasSuffix(path.String(), "replicas"):
		return fmt.Sprintf("replicas %d fits", pods)
	}
	return fmt.Sprintf("%s would fit", workload.CountText(pods, "pod"))
}

// unlimited says why a Knative Service may have any number of pods; empty if it may not.
func (c *Claim) unlimited() string {
	if c.service == nil || c.Demand.PeakPods != workload.Unbounded {
		return ""
	}
	key, text, stated := knative.Get(manifest.Map(c.service, "spec", "template", "metadata", "annotations"), knative.MaxScaleKey)
	switch {
	case !stated:
		return "max-scale is absent, and so unlimited in Knative"
	case text == "0":
		return key + " 0 is unlimited in Knative"
	}
	return ""
}
