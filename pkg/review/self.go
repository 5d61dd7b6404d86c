package review

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// The admission policy of the webhook's own account lets a Deployment's template change where
// the mutating step may have filled it in. What its account itself writes there, should
// somebody have its token, is refused here.

// startsOwnPods tells whether a Deployment that is labelled for autoscaling gets pods of its
// own, which need their resources.
func (r *Request) startsOwnPods() bool {
	return expand.ReadIntent(r.object).Expands() && r.old != nil && handover.Replicas(r.old) == 0 && handover.Replicas(r.object) > 0
}

// fillAnew fills in a Deployment as if it were new.
func (r *Request) fillAnew(w World, o manifest.Object) expand.Result {
	child := *r
	child.exempt = r.exempted(w) // which is recorded on the old one
	child.old, child.selected = nil, nil
	return child.fix(w, o)
}

// beyondFilling refuses a change of a template by the controller's account that is not just
// what the mutating step fills in.
func (r *Request) beyondFilling(w World) field.ErrorList {
	if !r.bySelf(w) || r.old == nil || r.scale || sameRun(r.old, r.object) {
		return nil
	}
	if !w.knative() && r.startsOwnPods() {
		filled := clone(r.old)
		manifest.Map(filled, "spec")["replicas"] = handover.Replicas(r.object)
		if r.fillAnew(w, filled); sameRun(filled, r.object) {
			return nil
		}
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec", "template"), "of a Deployment's spec the webhook writes the replicas only, and what its pods need where there is no Knative")}
}

// sameRun tells whether two Deployments run the same pods, and wait for them as long.
func sameRun(a, b manifest.Object) bool {
	if !manifest.Equal(manifest.At(a, "spec", "progressDeadlineSeconds"), manifest.At(b, "spec", "progressDeadlineSeconds")) {
		return false
	}
	if manifest.Equal(manifest.At(a, "spec", "template"), manifest.At(b, "spec", "template")) {
		return true
	}
	var pods [2]corev1.PodTemplateSpec
	for i, o := range []manifest.Object{a, b} {
		text, err := json.Marshal(manifest.At(o, "spec", "template"))
		if err != nil || json.Unmarshal(text, &pods[i]) != nil {
			return false
		}
		// The API server writes the same name there.
		pods[i].Spec.DeprecatedServiceAccount = ""
	}
	return equality.Semantic.DeepEqual(pods[0], pods[1])
}
