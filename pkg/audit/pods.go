package audit

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// pods measures what has pods with devices, of Kubernetes' own kinds, Deployments apart, and of
// operators'. What belongs to an object that asks for no less in each pod is covered: then that is
// what is reported. So is what has ended.
func (c *indexed) pods(o manifest.Object, of schema.GroupKind) (d workload.Usage, covered, concerned bool) {
	if row, ok := c.Policies.Operators().For(of); ok {
		d = workload.OperatorUsage(o, row, c.gpus())
		return d, c.answered(o, d), d.GPUs.Asked()
	}
	kind, ok := workload.KindFor(of)
	if !ok || !review.AsksForDevices(o) {
		return d, false, false
	}
	d = kind.Usage(o, c.gpus())
	return d, workload.Over(o) || c.answered(o, d), true
}

// answered tells whether an owner that was listed answers for an object: its controller counts it as
// its own, and what it makes was judged as that asks for no less in each pod. Each Job of a CronJob is
// judged by itself.
func (c *indexed) answered(o manifest.Object, d workload.Usage) bool {
	owner := c.controller(o)
	if owner == nil || workload.KindOf(owner) == workload.CronJobKind {
		return false
	}
	if workload.KindOf(o) == workload.ReplicaSetKind && d.PeakPods == 0 {
		return true // an earlier one of a Deployment
	}
	admitted := c.usage(owner)
	admitted.RaisePeak(d.PeakPods)
	return d.Within(&admitted)
}

// controller is the listed object that another belongs to; nil where there is none.
func (c *indexed) controller(o manifest.Object) manifest.Object {
	if ref, ok := workload.Owner(o); ok {
		if owner := c.one(o, ref.GroupKind, ref.Name); owner != nil && workload.Belongs(o, owner) {
			return owner
		}
		return nil
	}
	ref := handover.ControllerOf(o)
	kind := workload.KindOf(manifest.Object{"apiVersion": ref.Version, "kind": ref.Kind})
	if _, ok := c.Policies.Operators().For(kind); !ok {
		return nil
	}
	return c.owner(o, kind)
}

// usage measures an object by itself.
func (c *indexed) usage(o manifest.Object) workload.Usage {
	kind := workload.KindOf(o)
	if row, ok := c.Policies.Operators().For(kind); ok {
		return workload.OperatorUsage(o, row, c.gpus())
	}
	row, _ := workload.KindFor(kind)
	return row.Usage(o, c.gpus())
}

// raised are the bounds that a HorizontalPodAutoscaler breaks: those that what it scales does not break
// by itself, and does with as many pods as that may give it.
func (c *indexed) raised(autoscaler manifest.Object) []policy.Violation {
	ref := workload.AutoscalerTarget(autoscaler)
	target := c.one(autoscaler, ref.GroupKind, ref.Name)
	kind, ok := workload.KindFor(ref.GroupKind)
	if target == nil || !ok || !kind.Scale || !review.AsksForDevices(target) {
		return nil
	}
	own := kind.Usage(target, c.gpus())
	d := own
	d.RaisePeak(workload.AutoscalerPeak(autoscaler, workload.Replicas(target)))
	if d.PeakPods <= own.PeakPods {
		return nil
	}
	at := field.NewPath("spec", "maxReplicas")
	d.Paths = map[string]*field.Path{workload.PeakKey: at, knative.MaxScaleKey: at, knative.MinScaleKey: field.NewPath("spec", "minReplicas")}
	selection := c.selection(target)
	broken := selection.Audit(own)
	return slices.DeleteFunc(selection.Audit(d), func(v policy.Violation) bool {
		return slices.ContainsFunc(broken, func(b policy.Violation) bool { return b.Policy == v.Policy && b.Bound == v.Bound })
	})
}
