package policy

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Rule is one bound of one policy.
type Rule struct {
	Policy      string
	Bound       string // the field under spec.bounds
	Enforcement v1alpha1.Enforcement
	// Max of a number (pods, GPUs), a duration (nanoseconds) or a quantity.
	Max resource.Quantity
	// hasMax is false for a rule that only lists what is allowed.
	hasMax  bool
	allowed []string
	// types are the same as GPU types, of the bound on these.
	types workload.TypeList
	kind  *boundKind
}

// boundKind is how one bound of the policy API is measured and worded.
type boundKind struct {
	name string
	// stated is the bound as a policy states it; nil where it does not.
	stated func(*v1alpha1.Bounds) statedBound
	// amount measures a usage; nil for lists of names.
	amount func(*workload.Usage) resource.Quantity
	// names measures a usage for lists of names; empty asks for nothing.
	names func(*workload.Usage) string
	// path of the value in a Knative Service.
	path func(*workload.Usage) *field.Path
	// asks words what a usage asks for.
	asks func(*workload.Usage) string
	unit func(resource.Quantity) string
	gpu  bool
	// autoscaler marks bounds on how an autoscaler behaves.
	autoscaler bool
}

func plain(q resource.Quantity) string { return strconv.FormatInt(q.Value(), 10) }

func quantityText(q resource.Quantity) string { return q.String() }

func durationText(q resource.Quantity) string { return parameter.Seconds(time.Duration(q.Value())) }

func at(key string) func(*workload.Usage) *field.Path {
	return func(d *workload.Usage) *field.Path { return d.Paths[key] }
}

func inPod(child string) func(*workload.Usage) *field.Path {
	return func(d *workload.Usage) *field.Path { return d.PodPath().Child(child) }
}

func duration(name, key string, of func(*workload.Usage) time.Duration, what string, stated func(*v1alpha1.Bounds) *v1alpha1.DurationBound) *boundKind {
	return &boundKind{name: name, autoscaler: true, stated: func(b *v1alpha1.Bounds) statedBound { return durationOf(stated(b)) },
		amount: func(d *workload.Usage) resource.Quantity { return workload.Number(int64(of(d))) }, path: at(key),
		asks: func(d *workload.Usage) string { return "a " + what + " of " + parameter.Seconds(of(d)) }, unit: durationText}
}

var (
	maxScale = &boundKind{name: "maxScale", stated: func(b *v1alpha1.Bounds) statedBound { return numberOf(b.MaxScale) },
		amount: func(d *workload.Usage) resource.Quantity { return workload.Number(d.PeakPods) }, path: at(workload.PeakKey),
		asks: asksPods, unit: plain}
	minScale = &boundKind{name: "minScale", stated: func(b *v1alpha1.Bounds) statedBound { return numberOf(b.MinScale) },
		amount: func(d *workload.Usage) resource.Quantity { return workload.Number(d.MinScale) }, path: at(knative.MinScaleKey),
		asks: func(d *workload.Usage) string { return "a min-scale of " + strconv.FormatInt(d.MinScale, 10) }, unit: plain}
	gpusPerPod = &boundKind{name: "gpusPerPod", stated: func(b *v1alpha1.Bounds) statedBound { return gpusOf(b.GPUsPerPod) },
		amount: func(d *workload.Usage) resource.Quantity { return workload.Number(d.GPUs.PerPod) }, path: inPod("containers"), gpu: true,
		asks: func(d *workload.Usage) string { return workload.CountText(d.GPUs.PerPod, "GPU") + " per pod" }, unit: plain}
	gpusPerWorkload = &boundKind{name: "gpusPerWorkload", stated: func(b *v1alpha1.Bounds) statedBound { return numberOf(b.GPUsPerWorkload) },
		amount: func(d *workload.Usage) resource.Quantity { return workload.Number(d.Claim) }, path: at(workload.PeakKey), gpu: true,
		asks: (*workload.Usage).Asks, unit: plain}
	cpusPerPod = &boundKind{name: "cpusPerPod", stated: func(b *v1alpha1.Bounds) statedBound { return quantityOf(b.CPUsPerPod, parameter.CPUs) },
		amount: func(d *workload.Usage) resource.Quantity { return d.CPUs }, path: inPod("containers"),
		asks: func(d *workload.Usage) string { return d.CPUs.String() + " CPUs per pod" }, unit: quantityText}
	memoryPerPod = &boundKind{name: "memoryPerPod", stated: func(b *v1alpha1.Bounds) statedBound { return quantityOf(b.MemoryPerPod, parameter.Memory) },
		amount: func(d *workload.Usage) resource.Quantity { return d.Memory }, path: inPod("containers"),
		asks: func(d *workload.Usage) string { return d.Memory.String() + " of memory per pod" }, unit: quantityText}
	retention = duration("scaleToZeroPodRetentionPeriod", knative.RetentionKey, func(d *workload.Usage) time.Duration { return d.Retention }, "scale-to-zero retention",
		func(b *v1alpha1.Bounds) *v1alpha1.DurationBound { return b.ScaleToZeroPodRetentionPeriod })
	delay = duration("scaleDownDelay", knative.ScaleDownDelayKey, func(d *workload.Usage) time.Duration { return d.ScaleDownDelay }, "scale-down delay",
		func(b *v1alpha1.Bounds) *v1alpha1.DurationBound { return b.ScaleDownDelay })
	deadline = duration("progressDeadline", knative.ProgressDeadlineKey, func(d *workload.Usage) time.Duration { return d.ProgressDeadline }, "progress deadline",
		func(b *v1alpha1.Bounds) *v1alpha1.DurationBound { return b.ProgressDeadline })
	gpuTypes = &boundKind{name: "gpuTypes", stated: func(b *v1alpha1.Bounds) statedBound { return namesOf(b.GPUTypes, gpuTypeNames) },
		path: inPod("nodeSelector"), gpu: true,
		names: func(d *workload.Usage) string {
			switch {
			case d.GPUs.PerPod == 0:
				return ""
			}
			types := slices.Clone(d.GPUTypes())
			for i, t := range types {
				types[i] = cmp.Or(t, anyType)
			}
			return strings.Join(types, ", ")
		},
		asks: func(d *workload.Usage) string {
			switch types := d.GPUTypes(); {
			case !slices.Contains(types, ""):
				return "GPU type " + strings.Join(types, ", ")
			case d.GPUs.Claimed():
				return "GPUs of no particular type (no selector of their claims or DeviceClasses says which)"
			}
			return "GPUs of no particular type (nothing pins the pod to one)"
		}}
	autoscalerClasses = &boundKind{name: "autoscalerClasses", stated: func(b *v1alpha1.Bounds) statedBound { return namesOf(b.AutoscalerClasses, classNames) },
		autoscaler: true, path: at(knative.ClassKey), names: func(d *workload.Usage) string { return d.Class },
		asks: func(d *workload.Usage) string { return "autoscaler class " + d.Class }}
)

// anyType stands for GPUs that nothing pins to a type; no glob matches it.
const anyType = "any"

func asksPods(d *workload.Usage) string {
	switch {
	case d.Unreadable != "":
		return "a number of pods that cannot be read (" + d.Unreadable + ")"
	case d.PeakPods == workload.Unbounded:
		return "unbounded pods (a max-scale of 0, or none, is unlimited in Knative)"
	}
	return "up to " + workload.CountText(d.PeakPods, "pod")
}

// boundKinds are all bounds, in the order in which they are judged.
var boundKinds = []*boundKind{maxScale, minScale, gpusPerPod, gpusPerWorkload, cpusPerPod, memoryPerPod, retention, delay, deadline,
	gpuTypes, autoscalerClasses}

// validated are the same in the order in which what is wrong with them is told.
var validated = slices.Concat(boundKinds[:2], []*boundKind{gpusPerWorkload, gpusPerPod}, boundKinds[4:])

// rules lists the bounds of a policy that Validate has passed.
func rules(p *v1alpha1.ComputePolicy) []Rule {
	b := p.Spec.Bounds
	if b == nil {
		return nil
	}
	var rules []Rule
	for _, kind := range boundKinds {
		stated := kind.stated(b)
		if stated == nil {
			continue
		}
		for _, r := range stated.rules() {
			r.Policy, r.Bound, r.kind = p.Name, kind.name, kind
			r.Enforcement = cmp.Or(stated.enforcement(), p.Spec.Enforcement, v1alpha1.Deny)
			rules = append(rules, r)
		}
	}
	return rules
}

// breaks tells whether a demand is beyond the rule.
func (r *Rule) breaks(d *workload.Usage) bool {
	if r.hasMax {
		amount := r.kind.amount(d)
		return amount.Cmp(r.Max) > 0
	}
	if r.kind == gpuTypes && d.GPUs.PerPod > 0 {
		return slices.ContainsFunc(d.GPUTypes(), func(t string) bool { return !r.allows(cmp.Or(t, anyType)) })
	}
	return !r.allows(r.name(d))
}

// worse tells whether a demand that breaks the rule goes further than an earlier one.
func (r *Rule) worse(d, old *workload.Usage) bool {
	if r.kind.amount != nil {
		if r.kind.gpu && !d.GPUs.SameRequests(old.GPUs) && len(old.GPUs.Malformed)+len(d.GPUs.Malformed) > 0 {
			return true // a number of GPUs that is none cannot be compared
		}
		before, now := r.kind.amount(old), r.kind.amount(d)
		if r.kind.gpu && d.Outgrows(old) {
			return true
		}
		if r.hasMax {
			return now.Cmp(before) > 0
		}
		return now.Cmp(before) != 0
	}
	return r.name(d) != r.name(old) || (r.kind.gpu && d.Claim > old.Claim)
}

func (r *Rule) name(d *workload.Usage) string {
	if r.kind.names != nil {
		return r.kind.names(d)
	}
	amount := r.kind.amount(d)
	return plain(amount)
}

func (r *Rule) allows(name string) bool {
	if r.kind == gpuTypes && name != anyType {
		return name == "" || r.types.Includes(name)
	}
	return name == "" || slices.ContainsFunc(r.allowed, func(pattern string) bool {
		if name == pattern {
			return true
		}
		matched, err := path.Match(pattern, name)
		return err == nil && matched && name != anyType
	})
}

// limit words what the rule allows.
func (r *Rule) limit() string {
	if !r.hasMax {
		return "only " + strings.Join(r.allowed, ", ")
	}
	return "at most " + r.kind.unit(r.Max)
}

// field is the place of the rule in its policy.
func (r *Rule) field() string {
	if r.hasMax {
		return "bounds." + r.Bound + ".max"
	}
	return "bounds." + r.Bound + ".allowed"
}

// by words that a value is what the rule made of it.
func (r *Rule) by() string { return "policy " + r.Policy + " (" + r.field() + ")" }
