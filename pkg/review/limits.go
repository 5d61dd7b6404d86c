package review

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// The most entries that are judged of lists which a request's time and memory depend on: several times what
// real objects have.
const (
	MaxTraffic    = 1000
	MaxContainers = 250
	MaxEnv        = 10_000   // in all containers of a pod
	MaxSelectors  = 64 << 10 // bytes of CEL expressions, in all requests of a claim
)

// beyondLimits names the lists of an object that are too long to be judged. One that was as long before may
// stay.
func (r *Request) beyondLimits() field.ErrorList {
	var errs field.ErrorList
	check := func(at *field.Path, most int, n func(manifest.Object) int, what string) {
		if now := n(r.object); now > most && (r.old == nil || now > n(r.old)) {
			errs = append(errs, &field.Error{Type: field.ErrorTypeTooMany, Field: at.String(), BadValue: now,
				Detail: fmt.Sprintf("must have at most %d %s; use fewer", most, what)})
		}
	}
	if r.of == ServiceKind || r.of == RouteKind {
		check(field.NewPath("spec", "traffic"), MaxTraffic, func(o manifest.Object) int { return len(manifest.List(o, "spec", "traffic")) }, "entries")
	}
	if spec := claimSpecPath(r); spec != nil {
		check(field.NewPath(spec[0], append(spec[1:], "devices", "requests")...), MaxSelectors,
			func(o manifest.Object) int { return selectorBytes(manifest.Map(o, spec...)) }, "bytes of CEL expressions in all")
	}
	path := podSpecPath(r)
	if path == nil {
		return errs
	}
	at := field.NewPath(path[0], path[1:]...)
	for _, list := range []string{"containers", "initContainers"} {
		check(at.Child(list), MaxContainers, func(o manifest.Object) int { return len(manifest.List(manifest.Map(o, path...), list)) }, "containers")
	}
	check(at.Child("containers"), MaxEnv, func(o manifest.Object) int {
		n := 0
		for _, list := range []string{"containers", "initContainers"} {
			for _, c := range manifest.Objects(manifest.Map(o, path...), list) {
				n += len(manifest.List(c, "env"))
			}
		}
		return n
	}, "environment variables in all")
	return errs
}

// claimSpecPath is where the objects of a request say which devices a claim asks for; nil where they do not.
func claimSpecPath(r *Request) []string {
	switch r.of {
	case workload.ResourceClaimKind:
		return []string{"spec"}
	case workload.ResourceClaimTemplateKind:
		return []string{"spec", "spec"}
	}
	return nil
}

// selectorBytes is how long the CEL expressions of a claim are together.
func selectorBytes(spec manifest.Object) (n int) {
	for _, request := range manifest.Objects(spec, "devices", "requests") {
		for _, of := range append(manifest.Objects(request, "firstAvailable"), manifest.Map(request, "exactly"), request) {
			for _, selector := range manifest.Objects(of, "selectors") {
				n += len(manifest.Text(selector, "cel", "expression"))
			}
		}
	}
	return n
}

// podSpecPath is where the objects of a request describe their pods; nil where they do not.
func podSpecPath(r *Request) []string {
	if kind, ok := workload.KindFor(r.of); ok {
		return kind.PodSpec
	}
	switch r.of {
	case ServiceKind, ConfigurationKind:
		return []string{"spec", "template", "spec"}
	case RevisionKind:
		return []string{"spec"}
	}
	return nil
}
