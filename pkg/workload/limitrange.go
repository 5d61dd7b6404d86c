package workload

import (
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// DefaultedDevices are the places where a LimitRange gives containers devices that they do not ask
// for: as default or defaultRequest, and as max or min, which become these where they are absent.
// Each has the resource as its last key, and is an error that says so.
func DefaultedDevices(limitRange manifest.Object) field.ErrorList {
	var errs field.ErrorList
	for i, item := range manifest.Objects(limitRange, "spec", "limits") {
		if manifest.Text(item, "type") != "Container" {
			continue // those of pods and claims only limit
		}
		for _, list := range []string{"default", "defaultRequest", "max", "min"} {
			amounts := manifest.Map(item, list)
			for _, name := range sortedKeys(amounts) {
				if !IsDevice(name) {
					continue
				}
				if q, err := manifest.Quantity(amounts[name]); err == nil && q.IsZero() {
					continue
				}
				errs = append(errs, field.Forbidden(field.NewPath("spec", "limits").Index(i).Child(list).Key(name),
					"gives devices to every container that does not ask for any"))
			}
		}
	}
	return errs
}

// LimitRangeUsage is what a LimitRange gives to containers that ask for no device: it cannot be counted.
func LimitRangeUsage(limitRange manifest.Object) Usage {
	limits := field.NewPath("spec", "limits")
	return Usage{
		Fixed: true, GPUs: GPUCount{Unknown: DefaultedDevices(limitRange)},
		Paths: map[string]*field.Path{PeakKey: limits, knative.MaxScaleKey: limits, knative.MinScaleKey: limits}, pod: limits,
	}
}

// IsDevice tells whether a resource is one of a device: a name with a domain that is not
// Kubernetes' own, or of a class of devices.
func IsDevice(resource string) bool {
	if strings.HasPrefix(resource, resourcev1.ResourceDeviceClassPrefix) {
		return true
	}
	domain, _, found := strings.Cut(resource, "/")
	return found && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io")
}

func sortedKeys(m manifest.Object) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
