package review

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
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

// Fitting is what would be admitted in place of what is refused.
type Fitting struct {
	// Words name numbers of pods, as "max-scale 3 fits; 4 with gpu-type NVIDIA-L4"; empty if nothing fits, or if it
	// is not known.
	Words string
	// Tried is whether that was tried out, which it is not for all kinds, nor for a budget that refuses nothing: of
	// these it is said what the budget by itself has room for.
	Tried bool
}

// podBounds are those that fewer pods may keep, or GPUs of another type.
var podBounds = []string{BoundGPUBudget, policy.BoundMaxScale, policy.BoundGPUsPerWorkload, policy.BoundGPUTypes}

func forPods(v policy.Violation) bool { return slices.Contains(podBounds, v.Bound) }

// Raw is the request as it came.
func (r *Request) Raw() *admissionv1.AdmissionRequest { return r.raw }

// ForPods tells whether a request that was refused might be admitted with fewer pods, or with GPUs of another
// type: nothing else refuses it. Of one that was not refused yet, a budget is about to do so.
func (r *Request) ForPods() bool {
	return r.refused == nil || len(r.refused.Errors) == 0 && !slices.ContainsFunc(r.refused.Denied, func(v policy.Violation) bool { return !forPods(v) })
}

// RefusedForPods tells whether bounds refused a request that might be admitted with fewer pods, or with GPUs of
// another type.
func (r *Request) RefusedForPods() bool { return r.refused != nil && r.ForPods() }

// Refused notes a verdict that refuses the request.
func (r *Request) Refused(v Verdict) { r.refused = &v }

// RefuseWith answers a refusal by bounds again, with what would fit.
func (r *Request) RefuseWith(fit Fitting) *admissionv1.AdmissionResponse {
	v := *r.refused
	v.Denied = slices.Clone(v.Denied)
	WithFit(v.Denied, fit)
	return r.answer(v)
}

// WithFit ends the first of the violations that are about the number of pods with what would fit.
func WithFit(denied []policy.Violation, fit Fitting) {
	i := slices.IndexFunc(denied, forPods)
	if fit.Words == "" || i < 0 {
		return
	}
	e := *denied[i].Error
	e.Detail += "; " + fit.Words
	denied[i].Error = &e
}

// GPUTypes are those by name, and by no pattern, that the bounds and budgets name which hold for the object of a
// request.
func (r *Request) GPUTypes(w World, budgets *policy.Budgets, labels map[string]string, known bool) []string {
	named := map[string]bool{}
	for _, name := range r.selection(w).AllowedTypes() {
		named[name] = true
	}
	for _, b := range budgets.All() {
		if b.Selects(r.raw.Namespace, labels, known) {
			for _, name := range b.TypeNames() {
				named[name] = true
			}
		}
	}
	maps.DeleteFunc(named, func(name string, _ bool) bool { return strings.ContainsAny(name, `*?[\`) })
	return slices.Sorted(maps.Keys(named))
}

// ways words how a charge that does not fit would: "max-scale 3 fits", or why no number of
// pods would. It is empty if that is no matter of the number of pods alone.
func (c *BudgetCharge) ways(a charge.Answer, fit Fitting) string {
	if len(c.Claims) == 0 {
		return ""
	}
	claim := c.largest()
	d := &claim.Demand
	pods, ok := c.fitting(a)
	var words []string
	switch {
	case fit.Words != "":
		words = append(words, claim.unlimited(), fit.Words)
	case ok && pods < 1 && 0 < a.Free && a.Free < d.GPUs.PerPod: // of none, everybody sees that
		return joined([]string{claim.unlimited(), fmt.Sprintf("one pod alone asks for %d, and %d are free, so that no number of pods fits", d.GPUs.PerPod, a.Free)})
	case ok && pods < 1:
		return claim.unlimited()
	case ok && !fit.Tried:
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
func (c *BudgetCharge) fitting(a charge.Answer) (pods int64, ok bool) {
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
