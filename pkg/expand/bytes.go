package expand

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// bytePlaces are the quantityPlaces where amounts of memory or storage may stand.
var bytePlaces = slices.DeleteFunc(slices.Clone(quantityPlaces), func(place []string) bool { return place[len(place)-1] == "divisor" })

// inBytes tells whether a resource, or a field of a volume, is an amount of bytes.
func inBytes(name string) bool {
	switch name {
	case "memory", "ephemeral-storage", "storage", "sizeLimit":
		return true
	}
	return strings.HasPrefix(name, "hugepages-")
}

// fractionOfByte tells whether memory or storage is asked for in parts of a byte, as by 512m.
func fractionOfByte(name string, q resource.Quantity) bool {
	rounded := q.DeepCopy()
	return inBytes(name) && !rounded.RoundUp(0)
}

// checkBytes refuses amounts of memory or storage, anywhere in the pod, that are in parts of a byte.
// What stood there before stays.
func (e *expansion) checkBytes() {
	var known map[string]bool
	fractions(e.object, func(at location, text string) {
		if known == nil {
			known = e.refusedFields()
		}
		if before, ok := textAt(e.Old, at); !known[at.field().String()] && (!ok || before != text) {
			e.refuse(at.field(), text, "%v", parameter.NoBytes(text))
		}
	})
}

// AsWritten gives errors about what was made of an object the words that fit the object: the text
// of parts of a byte as it stands there, and "required" where a number of 0 is that of nothing.
func AsWritten(errs field.ErrorList, o manifest.Object) field.ErrorList {
	errs = slices.Clone(errs)
	for i, e := range errs {
		if v, ok := manifest.Find(o, e.Field); e.Type == field.ErrorTypeInvalid && e.BadValue == int64(0) && (!ok || v == nil) {
			errs[i] = &field.Error{Type: field.ErrorTypeRequired, Field: e.Field, BadValue: "", Detail: e.Detail}
		}
	}
	fractions(o, func(at location, text string) {
		for i, e := range errs {
			if other, ok := e.BadValue.(string); ok && e.Field == at.field().String() && e.Detail == parameter.NoBytes(other).Error() {
				errs[i] = field.Invalid(at.field(), text, parameter.NoBytes(text).Error())
			}
		}
	})
	return errs
}

// fractions calls f with every amount in the pod of an object that is in parts of a byte.
func fractions(o manifest.Object, f func(at location, text string)) {
	pod := manifest.Map(o, "spec", "template", "spec")
	if !slices.ContainsFunc(bytePlaces, func(place []string) bool { return anyFraction(pod, place, "") }) {
		return
	}
	for _, place := range bytePlaces {
		each(pod, place, []any{"spec", "template", "spec"}, func(path []any, v any) {
			if name, _ := path[len(path)-1].(string); isFraction(name, v) {
				f(location{path: path}, scalarText(v))
			}
		})
	}
}

func isFraction(name string, v any) bool {
	text, ok := manifest.QuantityText(v)
	if !ok || !inBytes(name) || !strings.ContainsAny(text, "mun.-") {
		return false // most of them, without a look at the number
	}
	q, err := manifest.ParseQuantity(text)
	return err == nil && fractionOfByte(name, q)
}

// anyFraction tells whether one stands at a place; name is the key of v.
func anyFraction(v any, place []string, name string) bool {
	if v == nil {
		return false
	}
	if len(place) == 0 {
		return isFraction(name, v)
	}
	switch v := v.(type) {
	case manifest.Object:
		if place[0] != "{}" {
			return anyFraction(v[place[0]], place[1:], place[0])
		}
		for k, entry := range v {
			if anyFraction(entry, place[1:], k) {
				return true
			}
		}
	case []any:
		for _, entry := range v {
			if place[0] == "[]" && anyFraction(entry, place[1:], "") {
				return true
			}
		}
	}
	return false
}

// filledBy words what Knative fills in for a container that leaves a resource out.
func filledBy(list, name string) string {
	return knative.ResourceDefaultKey(list, name) + " of " + knative.DefaultsConfig
}
