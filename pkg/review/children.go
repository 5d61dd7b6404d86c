package review

import (
	"context"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// children are the kinds that Knative makes of a Service, and that users may write
// themselves. They are judged, and never changed: Knative would change them back.
var children = []schema.GroupKind{ConfigurationKind, RevisionKind, RouteKind, AutoscalerKind}

func (r *Request) kind() schema.GroupKind { return r.of }

func (r *Request) isChild() bool { return slices.Contains(children, r.kind()) }

// judgeChild holds a child of a Knative object, or one that stands alone, against the
// bounds. Its owner is read only if it would not be admitted silently by itself.
func (r *Request) judgeChild(ctx context.Context, w World) (Verdict, error) {
	if r.asksTheSame() {
		return Verdict{}, nil // Knative's own bookkeeping, a storage migration
	}
	selection := r.selection(w)
	if r.kind() == RouteKind {
		if !selection.BoundsGPUs() || len(workload.NamedRevisions(r.object)) == 0 {
			return Verdict{}, nil
		}
		if covered, err := r.Covered(ctx, w); covered || err != nil {
			return Verdict{}, err // what it makes reachable was judged where it is written
		}
	}
	d, old, err := r.childDemands(ctx, w, false)
	v := r.verdict(selection, d, old)
	if err != nil || v.silent() {
		return v, err
	}
	if r.kind() == AutoscalerKind {
		d, old, err = r.childDemands(ctx, w, true)
		if v = r.verdict(selection, d, old); err != nil || v.silent() {
			return v, err
		}
	}
	if r.kind() != RouteKind {
		if covered, err := r.Covered(ctx, w); covered || err != nil {
			return Verdict{}, err
		}
	}
	return v, nil
}

// verdict words what the bounds say of a demand.
func (r *Request) verdict(selection policy.Selection, d workload.Usage, old *workload.Usage) Verdict {
	judged := selection.Judge(d, old)
	v := Verdict{Errors: judged.Invalid, Denied: judged.Denied, Warned: judged.Warned, Audited: judged.Audited, Demand: d}
	for _, x := range judged.Warned {
		v.Warnings = append(v.Warnings, x.Error.Field+" "+x.Error.Detail)
	}
	if len(d.Warnings) > 0 && (!v.silent() || len(d.GPUs.Assumed) > 0) {
		v.Warnings = append(v.Warnings, d.Warnings...)
	}
	return v
}

// silent tells whether an object is admitted and nothing is to be said of it.
func (v *Verdict) silent() bool {
	return !v.Refused() && len(v.Warnings)+len(v.Audited) == 0
}

// childDemands measures the new and, on UPDATE, the old object; with what a PodAutoscaler
// scales only if that is wanted.
func (r *Request) childDemands(ctx context.Context, w World, target bool) (workload.Usage, *workload.Usage, error) {
	d, err := r.childUsage(ctx, w, r.object, target)
	if r.old == nil || err != nil {
		return d, nil, err
	}
	before := r.old
	if r.kind() == RouteKind {
		before = r.had()
	}
	old, err := r.childUsage(ctx, w, before, target)
	return d, &old, err
}

// childUsage measures the object as it is to be or was.
func (r *Request) childUsage(ctx context.Context, w World, o manifest.Object, target bool) (workload.Usage, error) {
	gpus := r.selection(w).GPUResources()
	switch r.kind() {
	case ConfigurationKind:
		return workload.ConfigurationUsage(o, w.Knative, gpus, w.Revisions), nil
	case RevisionKind:
		return workload.RevisionUsage(o, w.Knative, gpus), nil
	case RouteKind:
		configurations, err := r.live(w).named(ctx, ConfigurationKind, workload.NamedConfigurations(o))
		if err != nil {
			return workload.Usage{}, err
		}
		revisions, err := r.live(w).named(ctx, RevisionKind, workload.NamedRevisions(o))
		if err != nil {
			return workload.Usage{}, err
		}
		return workload.RouteUsage(o, configurations, revisions, w.Knative, gpus), nil
	}
	var scaled manifest.Object
	var err error
	if target {
		scaled, err = r.live(w).get(ctx, DeploymentKind, workload.ScaledDeployment(o))
	}
	return workload.AutoscalerUsage(o, scaled, w.Knative, gpus), err
}

// asksTheSame tells whether an update leaves alone what is asked for, and whose child the
// object is.
func (r *Request) asksTheSame() bool {
	if r.old == nil {
		return false
	}
	same := func(keys ...string) bool {
		return manifest.Equal(manifest.At(r.old, keys...), manifest.At(r.object, keys...))
	}
	scale := func() bool { return maps.Equal(scaleOf(r.old), scaleOf(r.object)) }
	if !same("metadata", "ownerReferences") {
		return false
	}
	switch r.kind() {
	case ServiceKind:
		return same("spec") && same("status", "traffic") && expand.Unchanged(r.old, r.object)
	case ConfigurationKind:
		return same("spec", "template")
	case RevisionKind:
		return same("spec") && scale() && !r.becomesRouted()
	case RouteKind:
		return same("spec", "traffic")
	case AutoscalerKind:
		return same("spec", "scaleTargetRef") && scale()
	}
	return false
}

// scaleOf are the annotations that say how an object scales.
func scaleOf(o manifest.Object) map[string]string {
	annotations := manifest.Texts(o, "metadata", "annotations")
	maps.DeleteFunc(annotations, func(key, _ string) bool { return !knative.Scales(key) })
	return annotations
}

// deploymentDemands measures the new and, on UPDATE, the old Deployment as one of fixed size.
func (r *Request) deploymentDemands(w World) (workload.Usage, *workload.Usage) {
	gpus := r.selection(w).GPUResources()
	d := r.related.own.usage(r.object, nil, gpus)
	if r.old == nil {
		return d, nil
	}
	old := r.related.own.usage(r.old, nil, gpus)
	return d, &old
}

// raiseToAutoscalers counts the pods of a Deployment that asks for more GPUs per pod, or for
// others, as far as PodAutoscalers may start them: one may have been admitted while the pods
// asked for fewer, or was charged for other types.
func (r *Request) raiseToAutoscalers(ctx context.Context, w World, d, old *workload.Usage) error {
	if !w.knative() || d.GPUs.PerPod == 0 || (old != nil && d.GPUs.Cmp(old.GPUs) <= 0 && d.SameType(old)) {
		return nil
	}
	autoscalers, err := r.live(w).all(ctx, AutoscalerKind)
	for _, autoscaler := range autoscalers {
		if workload.ScaledDeployment(autoscaler) != manifest.Text(r.object, "metadata", "name") {
			continue
		}
		pods := workload.AutoscalerUsage(autoscaler, nil, w.Knative, workload.GPUResources{}).PeakPods
		if d.RaisePeak(pods); old != nil {
			old.RaisePeak(pods)
		}
	}
	return err
}
