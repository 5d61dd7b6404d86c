package review

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// mutateDeployment is the verdict of the mutating step on a Deployment, or on its scale.
func (r *Request) mutateDeployment(ctx context.Context, w World) (v Verdict, err error) {
	if r.madeByKnative(w) {
		// All else stays: Knative and the webhook would undo each other's work.
		return Verdict{Patch: r.recordExemptions(w)}, nil
	}
	if r.scale {
		return r.scaleBack(w), nil
	}
	if intent := expand.ReadIntent(r.object); intent.Expands() && w.knative() {
		if v, err = r.autoscaled(ctx, w); err != nil {
			return v, err
		}
	} else if v = r.fixed(w, intent); r.expandedBefore() {
		v.Patch = append(v.Patch, r.keepBookkeeping()...)
	}
	if !v.Refused() {
		v.Patch = append(v.Patch, r.recordExemptions(w)...)
	}
	return v, nil
}

// knative tells whether labelled Deployments become Knative Services.
func (w World) knative() bool { return w.Cluster == nil || w.Cluster.Knative }

// autoscaled is for a Deployment that becomes a Knative Service.
func (r *Request) autoscaled(ctx context.Context, w World) (Verdict, error) {
	refilled := r.refill(w)
	v, err := r.checkExpansion(ctx, w)
	if err != nil {
		return v, err
	}
	v.Errors, v.Denied = append(v.Errors, without(refilled.Errors, v.Errors)...), append(v.Denied, refilled.Denied...)
	if v.Refused() {
		return v, nil
	}
	if r.old == nil {
		replicas := handover.Replicas(r.object)
		v.Patch = slices.Concat(refilled.Patch, r.setReplicas(0), r.annotate(handover.ReplicasAnnotation, strconv.FormatInt(replicas, 10)))
		v.Warnings = append([]string{fmt.Sprintf(
			"this Deployment is run as Knative Service %[1]s; its own replicas stay 0, so that kubectl rollout status tells nothing; wait for it by: kubectl wait --for=condition=Ready ksvc/%[1]s", handover.ServiceName(r.object))}, v.Warnings...)
		return v, nil
	}
	v.Patch = slices.Concat(refilled.Patch, r.keepBookkeeping())
	back := r.scaleBack(w)
	v.Patch, v.Warnings = append(v.Patch, back.Patch...), append(back.Warnings, v.Warnings...)
	return v, nil
}

// checkExpansion checks all that becomes of a Deployment, as far as an update changed it.
func (r *Request) checkExpansion(ctx context.Context, w World) (Verdict, error) {
	if r.old != nil && sameWorkload(r.old, r.object) {
		return Verdict{}, nil
	}
	var live manifest.Object
	if w.Cluster != nil && handover.Owns(r.object, w.Cluster.Service) {
		live = w.Cluster.Service
	}
	exempt := r.carried(w)
	if live == nil && r.expandedBefore() {
		// What it was to become is what this update is measured by.
		live = r.with(r.old, exempt).Plan(w).Service
	}
	var c Conversion
	var err error
	if live == nil {
		c = r.planned(w)
	} else {
		c, err = r.with(r.object, exempt).Convert(ctx, w, live)
	}
	v := c.Verdict
	if err != nil || c.Service == nil || r.expandedBefore() {
		return v, err
	}
	name := manifest.Text(c.Service, "metadata", "name")
	if by := r.taken(w, name); by != "" {
		err := c.Notes.NameTaken(name, by)
		if r.old == nil {
			v.Errors = append(v.Errors, err)
		} else {
			v.Warnings = append(v.Warnings, fmt.Sprintf("%s: %s; until then this Deployment is left as it is", err.Field, err.ErrorBody()))
		}
	}
	return v, nil
}

// fixed is for a Deployment that stays one.
func (r *Request) fixed(w World, intent *expand.Intent) Verdict {
	replicas := handover.Replicas(r.object)
	fill := r.fix
	if r.startsOwnPods() {
		fill = r.fillAnew
	}
	result := fill(w, r.object)
	v := Verdict{Patch: result.Patch, Warnings: result.Warnings, Errors: result.Errors, Denied: result.Denied, Clamped: result.Clamped}
	if r.old == nil || !intent.Expands() || len(v.Errors)+len(v.Denied) > 0 {
		return v
	}
	// The count is settled at CREATE; nobody's running pods are taken away.
	v.Patch = withoutCount(v.Patch)
	if spec := manifest.Map(r.object, "spec"); spec != nil {
		spec["replicas"] = replicas
	}
	return v
}

// refill keeps the resources up to date that were filled in while there was no Knative.
func (r *Request) refill(w World) expand.Result {
	if r.old == nil || manifest.Text(r.old, "metadata", "annotations", expand.RecordAnnotation) == "" {
		return expand.Result{}
	}
	replicas := handover.Replicas(r.object)
	result := r.fix(w, r.object)
	r.setReplicas(replicas)
	result.Patch, result.Warnings = withoutCount(result.Patch), nil
	return result
}

func withoutCount(patch []manifest.PatchOperation) []manifest.PatchOperation {
	return slices.DeleteFunc(patch, func(op manifest.PatchOperation) bool { return op.Path == "/spec/replicas" })
}

// scaleBack keeps a Deployment at 0 whose pods a Knative Service runs.
func (r *Request) scaleBack(w World) Verdict {
	replicas := handover.Replicas(r.object)
	if replicas == 0 || w.Cluster == nil || !expand.ReadIntent(r.object).Expands() || !handover.Adopted(r.object, w.Cluster.Service) {
		return Verdict{}
	}
	return Verdict{Patch: r.setReplicas(0), Warnings: []string{fmt.Sprintf(
		"replicas %d set back to 0: Knative Service %s runs the pods; to have more of them, set %s, %s or %s",
		replicas, manifest.Text(w.Cluster.Service, "metadata", "name"), parameter.MinScale.Key(), parameter.InitialScale.Key(), parameter.MaxScale.Key())}}
}

// setReplicas writes replicas, of a Deployment or of its scale.
func (r *Request) setReplicas(n int64) []manifest.PatchOperation {
	if spec := manifest.Map(r.object, "spec"); spec != nil {
		spec["replicas"] = n
	}
	return []manifest.PatchOperation{{Op: "add", Path: "/spec/replicas", Value: n}}
}

// keepBookkeeping puts annotations back that an update lacks, as kubectl replace does.
func (r *Request) keepBookkeeping() []manifest.PatchOperation {
	var patch []manifest.PatchOperation
	was, now := manifest.Texts(r.old, "metadata", "annotations"), manifest.Texts(r.object, "metadata", "annotations")
	for _, key := range handover.Bookkeeping {
		if value, had := was[key]; had {
			if _, has := now[key]; !has {
				patch = append(patch, r.annotate(key, value)...)
			}
		}
	}
	return patch
}

// annotate sets an annotation, unless the metadata is no object: then there is nowhere to set it.
func (r *Request) annotate(key, value string) []manifest.PatchOperation {
	metadata := manifest.Map(r.object, "metadata")
	if metadata == nil {
		return nil
	}
	annotations := manifest.Map(metadata, "annotations")
	if annotations == nil {
		metadata["annotations"] = manifest.Object{key: value}
		return []manifest.PatchOperation{{Op: "add", Path: "/metadata/annotations", Value: manifest.Object{key: value}}}
	}
	annotations[key] = value
	return []manifest.PatchOperation{{Op: "add", Path: expand.Pointer("metadata", "annotations", key), Value: value}}
}

// sameWorkload tells whether an update leaves alone what a Knative Service is made from.
func sameWorkload(old, now manifest.Object) bool {
	rest := func(o manifest.Object) manifest.Object {
		spec := maps.Clone(manifest.Map(o, "spec"))
		delete(spec, "replicas")
		delete(spec, "template")
		return spec
	}
	return expand.Unchanged(old, now) && reflect.DeepEqual(rest(old), rest(now))
}

// judgeDeployment holds a Deployment, or its scale, against the bounds: the pods that it
// runs by itself, and what becomes of it.
func (r *Request) judgeDeployment(ctx context.Context, w World) (Verdict, error) {
	if errs := append(r.forgedExemptions(w), r.beyondFilling(w)...); len(errs) > 0 {
		return Verdict{Errors: errs}, nil
	}
	if stray := r.selectsStray(); stray != nil {
		return Verdict{Errors: field.ErrorList{stray}}, nil
	}
	selection := r.selection(w)
	d, old := r.deploymentDemands(w)
	if r.concernsNobody(d) || (r.madeByKnative(w) && r.withinRevision(w, d, selection.GPUResources())) {
		return Verdict{}, nil
	}
	if selection.BoundsGPUs() {
		if err := r.raiseToAutoscalers(ctx, w, &d, old); err != nil {
			return Verdict{}, err
		}
	}
	v := r.judgeRaised(w, r.verdict(selection, d, old), func(r *Request) (workload.Usage, *workload.Usage) { return r.deploymentDemands(w) })
	intent := expand.ReadIntent(r.object)
	if r.scale || r.madeByKnative(w) {
		return v, nil
	}
	v.Warnings = append(v.Warnings, misplaced(r.object)...)
	switch {
	case intent.Expands() && w.knative():
		c, err := r.checkExpansion(ctx, w)
		if err != nil {
			return v, err
		}
		v.Errors = append(v.Errors, without(c.Errors, v.Errors)...)
		v.Denied, v.Warned, v.Audited = append(v.Denied, c.Denied...), append(v.Warned, c.Warned...), append(v.Audited, c.Audited...)
	case intent.FillsResources():
		result := r.fix(w, clone(r.object))
		v.Errors = append(v.Errors, without(result.Errors, v.Errors)...)
		v.Denied = append(v.Denied, result.Denied...)
	}
	return v, nil
}

// Become converts a stored Deployment, given the Knative Service that was made from it so far. fixed is the number of pods without
// Knative. Neither object is changed.
func Become(ctx context.Context, w World, deployment, live manifest.Object) (c Conversion, fixed int64, err error) {
	r := ForObject(withoutBookkeeping(deployment), manifest.Text(deployment, "metadata", "namespace"))
	r.exempt = w.recorded(deployment)
	if c, err = r.Convert(ctx, w, live); err != nil {
		return c, 0, err
	}
	fixed = 1
	for _, s := range r.fix(w, clone(r.object)).Settings {
		if n, err := strconv.ParseInt(s.Value, 10, 32); s.Name == "replicas" && err == nil {
			fixed = n
		}
	}
	return c, fixed, nil
}
