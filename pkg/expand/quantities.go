package expand

import (
	"maps"
	"slices"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// quantityPlaces are where quantities stand in a pod spec; [] is every entry of a list, {}
// of an object.
var quantityPlaces = func() [][]string {
	places := [][]string{
		{"resources", "requests", "{}"}, {"resources", "limits", "{}"}, {"overhead", "{}"},
		{"volumes", "[]", "emptyDir", "sizeLimit"},
		{"volumes", "[]", "ephemeral", "volumeClaimTemplate", "spec", "resources", "requests", "{}"},
		{"volumes", "[]", "ephemeral", "volumeClaimTemplate", "spec", "resources", "limits", "{}"},
		{"volumes", "[]", "downwardAPI", "items", "[]", "resourceFieldRef", "divisor"},
		{"volumes", "[]", "projected", "sources", "[]", "downwardAPI", "items", "[]", "resourceFieldRef", "divisor"},
	}
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		places = append(places, []string{list, "[]", "resources", "requests", "{}"}, []string{list, "[]", "resources", "limits", "{}"},
			[]string{list, "[]", "env", "[]", "valueFrom", "resourceFieldRef", "divisor"})
	}
	return places
}()

// malformedQuantities are the paths of what should be quantities in an object's template
// and is none that can be read.
func malformedQuantities(o manifest.Object) [][]any {
	pod := manifest.Map(o, "spec", "template", "spec")
	if !slices.ContainsFunc(quantityPlaces, func(place []string) bool { return anyMalformed(pod, place) }) {
		return nil
	}
	var malformed [][]any
	for _, place := range quantityPlaces {
		template := []any{"spec", "template", "spec"}
		each(pod, place, template, func(path []any, v any) {
			if _, err := manifest.Quantity(v); err != nil {
				malformed = append(malformed, path)
			}
		})
	}
	return malformed
}

// anyMalformed tells so of the values at a place.
func anyMalformed(v any, place []string) bool {
	if v == nil {
		return false
	}
	if len(place) == 0 {
		_, err := manifest.Quantity(v)
		return err != nil
	}
	switch v := v.(type) {
	case manifest.Object:
		if place[0] != "{}" {
			return anyMalformed(v[place[0]], place[1:])
		}
		for _, entry := range v {
			if anyMalformed(entry, place[1:]) {
				return true
			}
		}
	case []any:
		for _, entry := range v {
			if place[0] == "[]" && anyMalformed(entry, place[1:]) {
				return true
			}
		}
	}
	return false
}

// each calls f with every value at a place, but for null, which is as good as absent.
func each(v any, place []string, path []any, f func(path []any, v any)) {
	if len(place) == 0 {
		if v != nil {
			f(slices.Clone(path), v)
		}
		return
	}
	step := place[0]
	switch v := v.(type) {
	case manifest.Object:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if k == step || step == "{}" {
				each(v[k], place[1:], append(path, k), f)
			}
		}
	case []any:
		for i := range v {
			if step == "[]" {
				each(v[i], place[1:], append(path, i), f)
			}
		}
	}
}
