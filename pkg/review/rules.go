package review

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// RisesByOtherRules tells whether a claim may rise by rules that are not known here: with
// other resources listed as GPUs, or other defaults of Knative. What does not rise for any
// device by itself, with the lowest defaults and with none, rises by no rules.
func (r *Request) RisesByOtherRules(ctx context.Context, w World) (bool, error) {
	if more, err := r.claimsMore(ctx, w); more || err != nil {
		return more, err
	}
	devices, err := r.devices(ctx, w)
	if err != nil {
		return false, err
	}
	for _, device := range devices {
		for _, initial := range []int32{1, math.MaxInt32} {
			other := w
			other.Policies = w.Policies.Counting(workload.OnlyGPUs(device))
			other.Knative = w.Knative.WithScaleDefaults(0, 1, 1)
			if initial > 1 {
				other.Knative = w.Knative.WithScaleDefaults(initial, 0, initial)
			}
			alone := *r
			alone.selected, alone.plan = nil, nil // what counts is part of them
			claims, err := alone.Claims(ctx, other)
			if err != nil {
				return false, err
			}
			if slices.ContainsFunc(claims, func(c Claim) bool { return !c.Settled && (total(c.New) > total(c.Old) || changesType(c)) }) {
				return true, nil
			}
		}
	}
	return false, nil
}

// claimsMore tells whether a request may bring more devices through resource claims, of classes that other
// rules may count: with other claims in its pods, or with more pods that have any.
func (r *Request) claimsMore(ctx context.Context, w World) (bool, error) {
	if r.of == workload.ResourceClaimKind || r.of == workload.ResourceClaimTemplateKind {
		return r.old == nil || r.leavesPod(), nil
	}
	if !workload.NamesClaims(r.object) {
		return false, nil
	}
	if r.old == nil || !manifest.Equal(claimsIn(r.object, nil), claimsIn(r.old, nil)) {
		return true, nil
	}
	w.Policies = w.Policies.Counting(workload.OnlyGPUs(""))
	alone := *r
	alone.plan = nil
	selected := alone.selectPolicies(w).WithClaims(&workload.ClaimIndex{Assume: true}, r.raw.Namespace) // each is one GPU
	alone.selected, alone.gpus = &selected, selected.GPUResources()
	claims, err := alone.Claims(ctx, w)
	return slices.ContainsFunc(claims, func(c Claim) bool { return !c.Settled && total(c.New) > total(c.Old) }), err
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
func (r *Request) devices(ctx context.Context, w World) ([]string, error) {
	found := map[string]bool{}
	collectDevices(r.object, found)
	collectDevices(r.old, found)
	for _, revision := range w.Revisions {
		collectDevices(revision, found)
	}
	read := func(kind schema.GroupKind, names ...string) error {
		objects, err := r.live(w).named(ctx, kind, names)
		for _, o := range objects {
			collectDevices(o, found)
		}
		return err
	}
	var err error
	switch r.kind() {
	case RouteKind:
		err = errors.Join(read(ConfigurationKind, workload.NamedConfigurations(r.object)...), read(RevisionKind, workload.NamedRevisions(r.object)...))
	case AutoscalerKind:
		if name := workload.ScaledDeployment(r.object); name != "" {
			err = read(DeploymentKind, name)
		}
	}
	return slices.Sorted(maps.Keys(found)), err
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
