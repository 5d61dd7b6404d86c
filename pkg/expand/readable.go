package expand

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// readable checks the types on every path that an expansion reads or writes.
func (e *expansion) readable() bool {
	before := len(e.result.Errors)
	e.checkObject("metadata")
	e.checkTexts("metadata", "labels")
	e.checkTexts("metadata", "annotations")
	e.checkObject("spec")
	e.checkObject("spec", "template")
	e.checkObject("spec", "template", "metadata")
	e.checkTexts("spec", "template", "metadata", "labels")
	e.checkTexts("spec", "template", "metadata", "annotations")
	e.checkObject("spec", "template", "spec")
	if e.intent.FillsResources() {
		e.checkPod()
	}
	if len(e.result.Errors) == before {
		return true
	}
	if manifest.Text(e.object, "kind") == "Service" {
		known := e.refusedFields()
		for _, err := range knative.Mistyped(e.object) {
			if !known[err.Field] {
				e.result.Errors = append(e.result.Errors, err)
			}
		}
	}
	return false
}

func (e *expansion) wrongType(path *field.Path, v any, must string) {
	var bad any = manifest.TypeName(v)
	switch v.(type) {
	case bool, int64, float64, string:
		bad = v
	}
	e.result.Errors = append(e.result.Errors, field.TypeInvalid(path, bad, must))
}

func (e *expansion) checkObject(keys ...string) {
	if v := manifest.At(e.object, keys...); v != nil && !isObject(v) {
		e.checkObjectAt(field.NewPath(keys[0], keys[1:]...), v)
	}
}

func isObject(v any) bool {
	_, ok := v.(manifest.Object)
	return ok
}

func (e *expansion) checkObjectAt(path *field.Path, v any) {
	if _, ok := v.(manifest.Object); !ok && v != nil {
		e.wrongType(path, v, "must be an object")
	}
}

func (e *expansion) checkTexts(keys ...string) {
	e.checkObject(keys...)
	for k, v := range manifest.Map(e.object, keys...) {
		if _, ok := v.(string); !ok {
			e.wrongType(field.NewPath(keys[0], keys[1:]...).Key(k), v, manifest.MustBeString(v))
		}
	}
}

// checkPod checks the pod spec of a Service that is expanded.
func (e *expansion) checkPod() {
	pod := e.path.Child("spec")
	if e.podSpec() == nil {
		e.result.Errors = append(e.result.Errors, field.Required(pod, "there is no pod template"))
		return
	}
	e.checkTexts("spec", "template", "spec", "nodeSelector")
	for _, name := range []string{"containers", "initContainers", "volumes", "tolerations"} {
		v := e.podSpec()[name]
		if v == nil {
			continue
		}
		for i, entry := range e.checkList(pod.Child(name), v) {
			if !isObject(entry) {
				e.wrongType(pod.Child(name).Index(i), entry, "must be an object")
			}
		}
	}
	for i, c := range manifest.Objects(e.podSpec(), "containers") {
		at := func(keys ...string) *field.Path { return pod.Child("containers").Index(i).Child(keys[0], keys[1:]...) }
		if v := c["resources"]; v != nil && !isObject(v) {
			e.checkObjectAt(at("resources"), v)
		}
		for _, list := range []string{"requests", "limits"} {
			if v := manifest.At(c, "resources", list); v != nil && !isObject(v) {
				e.checkObjectAt(at("resources", list), v)
			}
		}
		if v := c["volumeMounts"]; v != nil {
			e.checkList(at("volumeMounts"), v)
		}
	}
}

func (e *expansion) checkList(path *field.Path, v any) []any {
	list, ok := v.([]any)
	if !ok && v != nil {
		e.wrongType(path, v, "must be a list")
	}
	return list
}
