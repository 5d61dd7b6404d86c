package convert

import (
	"encoding/json"
	"reflect"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// canonical writes the spec of a Deployment as the API server does, without its defaults:
// quantities in their shortest form, no null, nothing that is the zero value of an optional
// field. A field that the API does not have is refused, as kubectl does; the result is nil
// where a value has the wrong type.
func canonical(deployment manifest.Object) (manifest.Object, field.ErrorList) {
	var typed struct {
		Spec appsv1.DeploymentSpec `json:"spec"`
	}
	errs := manifest.CheckType(deployment["spec"], reflect.TypeOf(typed.Spec), field.NewPath("spec"), UnknownField)
	if slices.ContainsFunc(errs, func(e *field.Error) bool { return e.Type != field.ErrorTypeForbidden }) {
		return nil, errs
	}
	raw, err := json.Marshal(manifest.Object{"spec": deployment["spec"]})
	if err == nil {
		err = kjson.UnmarshalCaseSensitivePreserveInts(raw, &typed)
	}
	if err != nil {
		return nil, append(errs, unreadable())
	}
	roundUp(&typed.Spec.Template.Spec)
	if raw, err = json.Marshal(typed); err != nil {
		return nil, append(errs, unreadable())
	}
	o, err := manifest.Decode(raw)
	if err != nil {
		return nil, append(errs, unreadable())
	}
	return manifest.Map(o, "spec"), errs
}

// unreadable is for a spec that its type does not take though every value fits.
func unreadable() *field.Error {
	return field.Invalid(field.NewPath("spec"), field.OmitValueType{}, "cannot be read as the spec of a Deployment")
}

// UnknownField refuses a field that Deployments do not have.
func UnknownField(path *field.Path, _ []string) *field.Error {
	return field.Forbidden(path, "is not a field of a Deployment; correct or remove it")
}

// roundUp brings resources to the precision that the API server keeps (its
// SetDefaults_ResourceList).
func roundUp(pod *corev1.PodSpec) {
	lists := func(containers []corev1.Container) (all []corev1.ResourceList) {
		for i := range containers {
			all = append(all, containers[i].Resources.Requests, containers[i].Resources.Limits)
		}
		return all
	}
	for _, list := range append(lists(pod.Containers), lists(pod.InitContainers)...) {
		for name, q := range list {
			q.RoundUp(resource.Milli)
			list[name] = q
		}
	}
}
