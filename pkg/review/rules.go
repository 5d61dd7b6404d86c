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
			alone.selected = nil // what counts is part of it
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
