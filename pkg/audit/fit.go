package audit

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/dryrun"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// mostFitted is of how many objects that break bounds of one policy it is tried out what would fit, so that an audit of
// many takes no multiple of its time.
const mostFitted = 1000

// boundsPods tells whether fewer pods keep a bound.
func boundsPods(bound string) bool {
	return bound == policy.BoundMaxScale || bound == policy.BoundGPUsPerWorkload
}

func breaksPods(v policy.Violation) bool { return boundsPods(v.Bound) }

// fit ends messages about numbers of pods with what would fit, as refusals do, for the first objects of each policy in the
// order of the findings.
func (c *indexed) fit(findings []Finding) {
	words := map[*cluster.Item]string{}
	var of string
	var last *cluster.Item
	objects := 0
	for i := range findings {
		f := &findings[i]
		if f.Policy != of {
			of, last, objects = f.Policy, nil, 0
		}
		item := c.item(f)
		if item == nil || !boundsPods(f.Bound) {
			continue
		}
		if item != last {
			last, objects = item, objects+1
		}
		if objects > mostFitted {
			continue
		}
		text, known := words[item]
		if !known {
			text = c.fitting(item)
			words[item] = text
		}
		f.fits(text)
	}
}

// item is what a finding is about; nil for a budget or a namespace.
func (c *indexed) item(f *Finding) *cluster.Item {
	gv, err := schema.ParseGroupVersion(f.APIVersion)
	if err != nil {
		return nil
	}
	return c.objects[place{schema.GroupKind{Group: gv.Group, Kind: f.Kind}, f.Namespace}][f.Name]
}

// fits ends a message with what would fit, if anything does.
func (f *Finding) fits(words string) {
	if words != "" {
		words = "; " + words
		f.Message = shortenTo(longest-len(words), f.Message) + words
	}
}

// fitting is the largest number of pods with which an object keeps all bounds on them, however they are enforced. It is
// empty if there is none, or if something else refuses the object.
func (c *indexed) fitting(item *cluster.Item) string {
	_, broken, _ := c.violations(item)
	if slices.ContainsFunc(broken, func(v policy.Violation) bool { return v.Enforcement == v1alpha1.Deny && !breaksPods(v) }) {
		return ""
	}
	o := item.Whole()
	return dryrun.Lower(o, c.Served && workload.KindOf(o) == review.DeploymentKind, c.keepsPods)
}

// keepsPods tells whether an object keeps all bounds on its number of pods.
func (c *indexed) keepsPods(o manifest.Object) bool {
	item := cluster.Of(o)
	_, broken, _ := c.violations(&item)
	return !slices.ContainsFunc(broken, breaksPods)
}

// fittingBeside is the largest number of pods with which a Knative Service that has no maximum fits into a budget beside
// all that others hold of it; empty if there is none.
func (c *indexed) fittingBeside(b *policy.Budget, spec v1alpha1.GPUBudgetSpec, endless v1alpha1.Holder, holders []v1alpha1.Holder) string {
	item := c.objects[place{review.ServiceKind, endless.Namespace}][endless.Name]
	if item == nil || endless.Kind != review.ServiceKind.Kind {
		return ""
	}
	var all, inNamespace int64
	for _, h := range holders {
		if h == endless {
			continue
		}
		if all = workload.SaturatingAdd(all, h.GPUs); h.Namespace == endless.Namespace {
			inNamespace = workload.SaturatingAdd(inNamespace, h.GPUs)
		}
	}
	if all >= *spec.Max {
		return ""
	}
	return dryrun.Lower(item.Object(), false, func(changed manifest.Object) bool {
		claim := b.Claim(c.service(changed).Parts)
		return workload.SaturatingAdd(all, claim) <= *spec.Max && c.keepsPods(changed) &&
			(spec.MaxPerNamespace == nil || workload.SaturatingAdd(inNamespace, claim) <= *spec.MaxPerNamespace)
	})
}
