package policy

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/workload"
)

const (
	resourceNameHint = "must be an extended resource name such as amd.com/gpu; a trailing * matches any suffix"
	deviceClassHint  = "must be the name of a DeviceClass such as gpu.nvidia.com; a trailing * matches any suffix"
)

// validateCounting checks the names that count as GPUs and those that do not.
func validateCounting(s *v1alpha1.ComputePolicySpec, spec *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, g := range s.GPUResources {
		at := spec.Child("gpuResources").Index(i)
		names[g.Name] = true
		if !validGPUResource(g.Name) {
			errs = append(errs, field.Invalid(at, g.Name, resourceNameHint))
		}
		if g.GPUs == "" {
			continue
		}
		if _, err := workload.ParseWeight(g.GPUs); err != nil {
			errs = append(errs, field.Invalid(at.Child("gpus"), g.GPUs, err.Error()))
		}
	}
	for i, n := range s.NotGPUResources {
		at := spec.Child("notGPUResources").Index(i)
		switch {
		case !validGPUResource(n):
			errs = append(errs, field.Invalid(at, n, resourceNameHint))
		case workload.IsBuiltInGPU(n):
			errs = append(errs, field.Invalid(at, n, "counts as GPUs everywhere; "+
				"a part of a GPU has a weight in gpuResources, such as {name: "+n+", gpus: \"1/7\"}"))
		case names[n]:
			errs = append(errs, field.Invalid(at, n, "is listed in gpuResources too; list it once"))
		}
	}
	for i, c := range s.GPUDeviceClasses {
		if !validDeviceClass(c) {
			errs = append(errs, field.Invalid(spec.Child("gpuDeviceClasses").Index(i), c, deviceClassHint))
		}
	}
	for i, c := range s.NotGPUDeviceClasses {
		at := spec.Child("notGPUDeviceClasses").Index(i)
		switch {
		case !validDeviceClass(c):
			errs = append(errs, field.Invalid(at, c, deviceClassHint))
		case workload.IsGPUDeviceClass(c):
			errs = append(errs, field.Invalid(at, c, "has GPUs everywhere"))
		case slices.Contains(s.GPUDeviceClasses, c):
			errs = append(errs, field.Invalid(at, c, "is listed in gpuDeviceClasses too; list it once"))
		}
	}
	return errs
}

func validGPUResource(g string) bool {
	name, pattern := strings.CutSuffix(g, "*")
	if pattern {
		name += "x" // any suffix
	}
	return strings.Contains(name, "/") && len(validation.IsQualifiedName(name)) == 0
}

func validDeviceClass(c string) bool {
	name, pattern := strings.CutSuffix(c, "*")
	if pattern {
		name += "x"
	}
	return c != "*" && len(validation.IsDNS1123Subdomain(name)) == 0
}
