package convert

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// canonical writes the spec of a Deployment as the API server does, without its defaults:
// quantities in their shortest form, no null, nothing that is the zero value of an optional
// field. A field that the API does not have is refused, as kubectl does.
func canonical(deployment manifest.Object) (manifest.Object, field.ErrorList) {
	raw, err := json.Marshal(manifest.Object{"spec": deployment["spec"]})
	if err != nil {
		return nil, unreadable(err)
	}
	var typed struct {
		Spec appsv1.DeploymentSpec `json:"spec"`
	}
	strict, err := kjson.UnmarshalStrict(raw, &typed)
	if err != nil {
		return nil, unreadable(err)
	}
	var errs field.ErrorList
	for _, e := range strict {
		errs = append(errs, unknownField(e))
	}
	roundUp(&typed.Spec.Template.Spec)
	if raw, err = json.Marshal(typed); err != nil {
		return nil, unreadable(err)
	}
	o, err := manifest.Decode(raw)
	if err != nil {
		return nil, unreadable(err)
	}
	return manifest.Map(o, "spec"), errs
}

// mistyped are the words of encoding/json for a value of another type.
var mistyped = regexp.MustCompile(`cannot unmarshal (\w+) into Go struct field \w+\.(\S+) of type (\S+)`)

func unreadable(err error) field.ErrorList {
	if m := mistyped.FindStringSubmatch(err.Error()); m != nil {
		return field.ErrorList{{Type: field.ErrorTypeTypeInvalid, Field: m[2], BadValue: m[1], Detail: "must be " + typeName(m[3])}}
	}
	return field.ErrorList{field.Invalid(field.NewPath("spec"), "", "cannot be read as a Deployment: "+err.Error())}
}

// typeName is the JSON type of a type of Go.
func typeName(of string) string {
	switch {
	case of == "string":
		return "a string"
	case of == "bool":
		return "true or false"
	case strings.HasPrefix(of, "int"):
		return "a whole number"
	case strings.HasPrefix(of, "["):
		return "a list"
	}
	return "an object"
}

func unknownField(err error) *field.Error {
	path := "spec"
	var f kjson.FieldError
	if errors.As(err, &f) && f.FieldPath() != "" {
		path = f.FieldPath()
	}
	if strings.HasPrefix(err.Error(), "unknown field") {
		return &field.Error{Type: field.ErrorTypeForbidden, Field: path, BadValue: "", Detail: "is not a field of a Deployment; correct or remove it"}
	}
	return &field.Error{Type: field.ErrorTypeInvalid, Field: path, BadValue: field.OmitValueType{}, Detail: err.Error()}
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
