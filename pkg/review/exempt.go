package review

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// A policy may exempt by user, group or service account. What the controller makes of a
// Deployment it asks for in its own name, so the webhook records on the Deployment which
// policies exempt its author. The record is checked on every request in which it stands, and
// names the webhook configuration under which that was so: what is stored under the present one
// can be believed; and nobody who is not exempt can make a workload grow behind it.

// recorded are the policies that the record on a Deployment names, if it was written under the
// present webhook configuration.
func (w World) recorded(deployment manifest.Object) []string {
	policies := handover.Exemptions(deployment)
	under := manifest.Text(deployment, "metadata", "annotations", handover.ExemptUnderAnnotation)
	if len(policies) == 0 || under != w.Registered {
		return nil
	}
	return policies
}

// HangsOnRecord tells whether a verdict reads or writes a record of exemptions: one stands on any of the
// Deployments that it looks at, or a policy exempts who writes one.
func (r *Request) HangsOnRecord(w World) bool {
	if len(handover.Exemptions(r.object))+len(handover.Exemptions(r.old)) > 0 || (w.Cluster != nil && len(handover.Exemptions(w.Cluster.Deployment)) > 0) {
		return true
	}
	return r.isDeployment() && len(r.selectPolicies(w).Excused()) > 0
}

// bySelf tells whether the controller asks.
func (r *Request) bySelf(w World) bool { return w.Self != "" && r.raw.UserInfo.Username == w.Self }

// madeFrom is the name of the Deployment that a Knative Service was made from, if the
// controller asks for it.
func (r *Request) madeFrom(self string) string {
	if self == "" || r.raw.UserInfo.Username != self || r.kind() != ServiceKind {
		return ""
	}
	if owner := manifest.ControllerOf(r.object); owner.Version == handover.DeploymentVersion && owner.Kind == handover.DeploymentKind {
		return owner.Name
	}
	return ""
}

// exempted are the policies whose bounds are left out for the author of the Deployment
// that a request of the controller is about.
func (r *Request) exempted(w World) []string {
	switch {
	case r.exempt != nil:
		return r.exempt
	case !r.bySelf(w):
	case r.isDeployment():
		return w.recorded(r.old)
	case w.Cluster != nil && handover.Owns(w.Cluster.Deployment, r.object) && handover.ServiceName(w.Cluster.Deployment) == r.name:
		return w.recorded(w.Cluster.Deployment)
	}
	return nil
}

// carried are the policies to record on a Deployment: those that exempt the user, and
// those recorded before, as long as the update lets nothing grow that they bound. Sorted.
func (r *Request) carried(w World) []string {
	if _, _, made := convert.RevisionOwner(r.object); made || !handover.Given(r.object) {
		return nil
	}
	recorded := w.recorded(r.old)
	if r.bySelf(w) {
		return recorded
	}
	carried := slices.Clone(r.selection(w).Excused())
	rest := slices.DeleteFunc(recorded, func(name string) bool { return slices.Contains(carried, name) })
	carried = append(carried, r.harmless(w, rest, carried)...)
	slices.Sort(carried)
	return slices.Compact(carried)
}

// harmless are those of some policies beyond whose bounds an update goes no further than
// the stored Deployment does already: neither the Knative Service, with the bounds left
// out, nor the Deployment, should it get its own pods back.
func (r *Request) harmless(w World, policies, excused []string) []string {
	if len(policies) == 0 {
		return nil
	}
	bounds := r.selection(w)
	gpus := bounds.GPUResources()
	var grown []policy.Violation
	own := func(o manifest.Object) workload.Usage {
		o = clone(o)
		if spec := manifest.Map(o, "spec"); spec != nil {
			spec["replicas"] = handover.Remembered(o)
		}
		return workload.DeploymentUsage(o, workload.Controlled{}, gpus)
	}
	now := clone(r.object)
	if manifest.Text(now, "metadata", "annotations", handover.ReplicasAnnotation) == "" { // an update that lacks it gets it back
		if annotations := manifest.Map(now, "metadata", "annotations"); annotations != nil {
			annotations[handover.ReplicasAnnotation] = manifest.Text(r.old, "metadata", "annotations", handover.ReplicasAnnotation)
		}
	}
	before := own(r.old)
	grown = append(grown, bounds.Judge(own(now), &before).Denied...)
	if expand.ReadIntent(r.object).Expands() && !sameWorkload(r.old, r.object) {
		left := append(slices.Clone(policies), excused...)
		becomes := func(o manifest.Object) *workload.Usage {
			if !expand.ReadIntent(o).Expands() {
				return nil
			}
			ksvc := r.with(o, left).Plan(w).Service
			if ksvc == nil {
				return nil
			}
			d := workload.ServiceUsage(ksvc, "", w.Knative, gpus, nil)
			return &d
		}
		d := becomes(r.object)
		if d == nil {
			return nil // and refused
		}
		grown = append(grown, bounds.Judge(*d, becomes(r.old)).Denied...)
	}
	return slices.DeleteFunc(slices.Clone(policies), func(name string) bool {
		return slices.ContainsFunc(grown, func(x policy.Violation) bool { return x.Policy == name })
	})
}

// with is the request about a Deployment as its author wrote it, without the bounds of
// some policies.
func (r *Request) with(deployment manifest.Object, exempt []string) *Request {
	return &Request{raw: r.raw, of: r.of, object: withoutBookkeeping(deployment), name: r.name, exempt: exempt}
}

// recordExemptions makes the record what it is to be.
func (r *Request) recordExemptions(w World) []manifest.PatchOperation {
	text, under := strings.Join(r.carried(w), ","), ""
	if text != "" {
		under = w.Registered
	}
	return append(r.keep(handover.ExemptAnnotation, text), r.keep(handover.ExemptUnderAnnotation, under)...)
}

// keep makes an annotation what it is to be; an empty one is not there.
func (r *Request) keep(key, text string) []manifest.PatchOperation {
	annotations := manifest.Map(r.object, "metadata", "annotations")
	now, there := annotations[key]
	switch {
	case text == "" && there:
		delete(annotations, key)
		return []manifest.PatchOperation{{Op: "remove", Path: expand.Pointer("metadata", "annotations", key)}}
	case text != "" && now != text:
		return r.annotate(key, text)
	}
	return nil
}

// forgedExemptions refuses a record that names policies which do not exempt the author.
// One that names fewer opens nothing, and nor does one that stands under another webhook
// configuration.
func (r *Request) forgedExemptions(w World) field.ErrorList {
	stated := manifest.Text(r.object, "metadata", "annotations", handover.ExemptAnnotation)
	if r.scale || stated == "" {
		return nil
	}
	carried := r.carried(w)
	for _, name := range w.recorded(r.object) {
		if !slices.Contains(carried, name) {
			return field.ErrorList{field.Invalid(field.NewPath("metadata", "annotations").Key(handover.ExemptAnnotation), stated,
				fmt.Sprintf("is kept by the webhook; policy %s does not exempt you, or not from letting this Deployment grow", name))}
		}
	}
	return nil
}
