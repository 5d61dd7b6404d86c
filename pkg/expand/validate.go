package expand

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// refuseInvalid refuses what Knative would refuse, in its own words, and what it takes
// and then cannot run.
func (e *expansion) refuseInvalid() {
	e.checkGPUs()
	e.checkResources()
	e.checkBytes()
	e.checkTemplateMetadata()
	e.refuseBrokenProbes()
	e.warnAboutPort()
	e.warnAboutPod()
	var known map[string]bool
	refused := e.Knative.Validate(e.unrefused(), e.Old == nil)
	if len(refused) > 0 {
		known = e.refusedFields()
	}
	for _, err := range refused {
		if !known[err.Field] {
			e.result.Errors = append(e.result.Errors, err)
		}
	}
}

// refusedFields are the paths of what is refused already.
func (e *expansion) refusedFields() map[string]bool {
	fields := map[string]bool{}
	for _, err := range e.result.Errors {
		fields[err.Field] = true
	}
	return fields
}

// unrefused is the object without the template annotations that are refused already, and
// with other quantities for those that are, so that Knative does not name the same problems
// again.
func (e *expansion) unrefused() manifest.Object {
	malformed := malformedQuantities(e.object)
	if len(malformed)+len(e.result.Errors)+len(e.result.Denied) == 0 {
		return e.object
	}
	refused := map[*parameter.Parameter]bool{}
	errs := slices.Clone(e.result.Errors)
	for _, v := range e.result.Denied {
		errs = append(errs, v.Error)
	}
	for _, err := range errs {
		_, key, _ := strings.Cut(strings.TrimSuffix(err.Field, "]"), "[")
		if p, ok := parameter.Lookup(key); ok {
			refused[p] = true
		}
		refused[annotationOf[key]] = true
	}
	delete(refused, nil)
	if refused[parameter.AutoscalerClass] {
		refused[parameter.Metric] = true // means nothing without the class
	}
	rest := editor{object: runtime.DeepCopyJSON(e.object)}
	for _, path := range malformed {
		rest.set("1", path...)
	}
	annotations := manifest.Map(rest.object, "spec", "template", "metadata", "annotations")
	for p := range refused {
		for _, key := range knative.Spellings(annotationKey[p]) {
			delete(annotations, key)
		}
	}
	return rest.object
}

// checkResources refuses what is no quantity, and quantities that Kubernetes refuses in a
// pod, after Knative took them in a Service. Requests of the serving container are settled
// elsewhere.
func (e *expansion) checkResources() {
	malformed := malformedQuantities(e.object)
	var known map[string]bool
	if len(malformed) > 0 {
		known = e.refusedFields()
	}
	for _, path := range malformed {
		if at := (location{path: path}).field(); !known[at.String()] {
			v, _ := e.get(path)
			e.refuseQuantity(at, scalarText(v))
		}
	}
	gpus := e.Policies.GPUResources()
	for i, c := range manifest.Objects(e.podSpec(), "containers") {
		at := func(list, name string) *field.Path {
			return e.path.Child("spec", "containers").Index(i).Child("resources", list).Key(name)
		}
		if i == e.serving && !e.anyOdd(c) {
			continue
		}
		limits := e.askedResources(c, "limits")
		for _, list := range []string{"limits", "requests"} {
			asked := limits
			if list != "limits" {
				asked = e.askedResources(c, list)
			}
			for _, name := range slices.Sorted(maps.Keys(asked)) {
				q, limit := asked[name], limits[name]
				_, limited := limits[name]
				switch {
				case gpus.Match(name):
				case q.Sign() < 0:
					e.refuse(at(list, name), q.String(), "may not be negative")
				case fractionOfByte(name, q):
					e.refuseFraction(at(list, name), c, list, name, q)
				case list == "requests" && limited && limit.Cmp(q) < 0 && i != e.serving:
					filled := "requests"
					if statedIn(c, "requests", name) {
						filled = "limits"
					}
					e.refuse(at(list, name), q.String(), "is above the limit %s, with what %s fills in; state both", limit.String(), filledBy(filled, name))
				}
			}
		}
	}
}

// refuseFraction refuses parts of a byte that a container asks for, and says who wrote them.
func (e *expansion) refuseFraction(at *field.Path, c manifest.Object, list, name string, q resource.Quantity) {
	if statedIn(c, list, name) {
		text := scalarText(manifest.Map(c, "resources", list)[name])
		e.refuse(at, text, "%v", parameter.NoBytes(text))
		return
	}
	e.refuse(at, q.String(), "is not written here: %s fills it in, and %v; a cluster administrator can mend it there, else state the %s here",
		filledBy(list, name), parameter.NoBytes(q.String()), strings.TrimSuffix(list, "s"))
}

// statedIn tells whether a container itself says how much it asks for.
func statedIn(c manifest.Object, list, name string) bool {
	return manifest.Map(c, "resources", list)[name] != nil
}

// anyOdd tells whether a container asks for less than nothing of anything, or for parts of a
// byte, by itself or by what Knative fills in.
func (e *expansion) anyOdd(c manifest.Object) bool {
	odd := func(name string, q resource.Quantity) bool { return q.Sign() < 0 || fractionOfByte(name, q) }
	for _, list := range []string{"limits", "requests"} {
		for name, v := range manifest.Map(c, "resources", list) {
			if q, err := manifest.Quantity(v); err == nil && odd(name, q) {
				return true
			}
		}
		for _, name := range []string{"cpu", "memory", "ephemeral-storage"} {
			if q := e.Knative.ResourceDefault(list, name); q != nil && odd(name, *q) {
				return true
			}
		}
	}
	return false
}

func (e *expansion) checkTemplateMetadata() {
	var metadata *field.Path // of the template
	at := func(kind, key string) *field.Path {
		if metadata == nil {
			metadata = e.path.Child("metadata")
		}
		return metadata.Child(kind).Key(key)
	}
	labels := manifest.Texts(e.object, "spec", "template", "metadata", "labels")
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		e.result.Errors = append(e.result.Errors, metav1validation.ValidateLabels(map[string]string{key: labels[key]}, at("labels", key))...)
		if knative.IsAutoscaling(key) {
			e.refuse(at("labels", key), labels[key], "Knative reads this as an annotation only; put it under spec.template.metadata.annotations")
		}
	}
	if v, ok := manifest.Map(e.object, "metadata", "annotations")[knative.ProgressDeadlineKey].(string); ok {
		e.refuse(field.NewPath("metadata", "annotations").Key(knative.ProgressDeadlineKey), v, "Knative reads this on the template only; put it under spec.template.metadata.annotations, or use %s", parameter.ProgressDeadline.Key())
	}
	annotations := e.annotations()
	var looked []string // the keys that are looked at below
	for key := range annotations {
		if annotationOf[key] == nil && (knative.IsAutoscaling(key) || strings.HasPrefix(key, knative.SidecarPrefix)) {
			looked = append(looked, key)
		}
	}
	slices.Sort(looked)
	for _, key := range looked {
		text, ok := annotations[key].(string)
		if !ok {
			continue
		}
		canonical, known := knative.Canonical(key)
		switch {
		case !known && knative.IsAutoscaling(key):
			e.refuse(at("annotations", key), text, "Knative does not know this key and would ignore it; the nearest known one is %s", knative.Nearest(key))
		case known && canonical != knative.AlgorithmKey:
			if v, err := strconv.ParseFloat(text, 64); err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
				e.refuse(at("annotations", key), text, "must be a finite number")
			}
		case strings.HasPrefix(key, knative.SidecarPrefix):
			e.checkQueueProxy(at("annotations", key), key, text)
		}
	}
}

// checkQueueProxy checks a quantity that an annotation of the queue proxy states.
func (e *expansion) checkQueueProxy(path *field.Path, key, text string) {
	if !strings.HasSuffix(key, "-resource-request") && !strings.HasSuffix(key, "-resource-limit") {
		return
	}
	switch q, err := manifest.ParseQuantity(text); {
	case err != nil:
		e.refuseQuantity(path, text)
	case q.Sign() < 0:
		e.refuse(path, text, "may not be negative")
	case !strings.Contains(key, "/cpu-") && fractionOfByte("memory", q):
		e.refuse(path, text, "%v", parameter.NoBytes(text))
	}
}

func (e *expansion) refuseQuantity(path *field.Path, text string) {
	e.refuse(path, text, "invalid value: %s; allowed: a Kubernetes quantity, such as 500m, 2 or 16Gi", text)
}

// warnAboutPod warns of what Knative will add to the pod that users rarely expect.
func (e *expansion) warnAboutPod() {
	pod := e.podSpec()
	if timeout, ok := manifest.Whole(pod, "timeoutSeconds"); ok && pod["responseStartTimeoutSeconds"] == nil {
		if start := e.Knative.ResponseStartTimeout(); start > 0 && start < timeout {
			e.warn("timeoutSeconds is %d, yet Knative adds responseStartTimeoutSeconds: %d, which ends requests that have not answered by then; set it too", timeout, start)
		}
	}
	if !e.Knative.SecurePodDefaults() {
		return
	}
	for i, c := range manifest.Objects(pod, "containers") {
		user, ok := manifest.Whole(c, "securityContext", "runAsUser")
		if !ok {
			user, ok = manifest.Whole(pod, "securityContext", "runAsUser")
		}
		stated := manifest.At(c, "securityContext", "runAsNonRoot")
		if manifest.At(pod, "securityContext", "runAsNonRoot") != nil || (stated != nil && (stated == true || e.Knative.KeepsRoot())) {
			continue // and Knative adds nothing
		}
		at := fmt.Sprintf("spec.template.spec.containers[%d]", i)
		switch {
		case ok && user == 0 && stated == nil:
			e.warn("%s runs as user 0, yet the cluster's secure-pod-defaults adds runAsNonRoot: true, so it will not start", at)
		case stated == false:
			e.warn("%s states runAsNonRoot: false, which secure-pod-defaults of Knative %s makes true, so it does not start as user 0; state it for the pod, with kubernetes.podspec-securitycontext", at, e.Knative.Release())
		}
	}
}
