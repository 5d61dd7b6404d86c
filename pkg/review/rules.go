package review

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// RisesByOtherRules tells whether a claim may rise by rules that are not known here: with
// other resources listed as GPUs, or other defaults of Knative. What does not rise for any
// device by itself, with the lowest defaults and with none, rises by no rules.
func (r *Request) RisesByOtherRules(w World) bool {
	if r.claimsMore(w) {
		return true
	}
	for _, device := range r.devices(w) {
		for _, initial := range []int32{1, math.MaxInt32} {
			other := w
			other.Policies = w.Policies.Counting(workload.OnlyGPUs(device))
			other.Knative = w.Knative.WithScaleDefaults(0, 1, 1)
			if initial > 1 {
				other.Knative = w.Knative.WithScaleDefaults(initial, 0, initial)
			}
			alone := *r
			alone.selected = nil // what counts is part of it
			if slices.ContainsFunc(alone.Claims(other), func(c Claim) bool { return !c.Settled && (total(c.New) > total(c.Old) || changesType(c)) }) {
				return true
			}
		}
	}
	return false
}

// claimsMore tells whether a request may bring more devices through resource claims, of classes that other
// rules may count: with other claims in its pods, or with more pods that have any.
func (r *Request) claimsMore(w World) bool {
	if r.of == workload.ResourceClaimKind || r.of == workload.ResourceClaimTemplateKind {
		return r.old == nil || r.leavesPod()
	}
	if !workload.NamesClaims(r.object) {
		return false
	}
	if r.old == nil || !manifest.Equal(claimsIn(r.object, nil), claimsIn(r.old, nil)) {
		return true
	}
	w.Policies = w.Policies.Counting(workload.OnlyGPUs(""))
	alone := *r
	selected := alone.selectPolicies(w).WithClaims(&workload.Claims{Assume: true}, r.raw.Namespace) // each is one GPU
	alone.selected, alone.gpus = &selected, selected.GPUResources()
	return slices.ContainsFunc(alone.Claims(w), func(c Claim) bool { return !c.Settled && total(c.New) > total(c.Old) })
}

// claimsIn are the resource claims of pods, wherever they stand.
func claimsIn(v any, found []any) []any {
	switch v := v.(type) {
	case manifest.Object:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if key == "resourceClaims" {
				found = append(found, v[key])
			} else {
				found = claimsIn(v[key], found)
			}
		}
	case []any:
		for _, value := range v {
			found = claimsIn(value, found)
		}
	}
	return found
}

// devices are the extended resources that the request's pods ask for.
func (r *Request) devices(w World) []string {
	found := map[string]bool{}
	collectDevices(r.object, found)
	collectDevices(r.old, found)
	for _, revision := range w.Revisions {
		collectDevices(revision, found)
	}
	if w.Live != nil {
		switch r.kind() {
		case RouteKind:
			for _, o := range w.named(ConfigurationKind, workload.NamedConfigurations(r.object)) {
				collectDevices(o, found)
			}
			for _, o := range w.named(RevisionKind, workload.NamedRevisions(r.object)) {
				collectDevices(o, found)
			}
		case AutoscalerKind:
			collectDevices(w.one(DeploymentKind, workload.ScaledDeployment(r.object)), found)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// collectDevices finds the names of extended resources under limits and requests, wherever
// they stand.
func collectDevices(v any, found map[string]bool) {
	switch v := v.(type) {
	case manifest.Object:
		for key, value := range v {
			names, ok := value.(manifest.Object)
			if !ok || (key != "limits" && key != "requests") {
				collectDevices(value, found)
				continue
			}
			for name := range names {
				domain, _, extended := strings.Cut(name, "/")
				if extended && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io") {
					found[name] = true
				}
			}
		}
	case []any:
		for _, value := range v {
			collectDevices(value, found)
		}
	}
}
