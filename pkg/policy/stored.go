package policy

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// CompileStored prepares policies as they are stored. Storage may hold what no webhook has
// passed: a policy that was written while the API had another schema, or by hand. One that
// Decode refuses is invalid, as one is that Validate refuses; the others are in force.
func CompileStored(objects []manifest.Object) *Set {
	var decoded []v1alpha1.ComputePolicy
	refused := map[string]field.ErrorList{}
	var gpus []v1alpha1.GPUResource
	var classes []string
	for _, o := range objects {
		p, errs := Decode(o)
		if len(errs) == 0 {
			decoded = append(decoded, p)
			continue
		}
		refused[p.Name] = errs
		g, c := readableGPUs(o)
		gpus, classes = append(gpus, g...), append(classes, c...)
	}
	s := Compile(decoded)
	maps.Copy(s.invalid, refused)
	s.countAsGPUs(gpus, classes)
	s.gpus = workload.NewGPUResources(s.counting)
	return s
}

// readableGPUs is what a policy that cannot be decoded calls GPUs, as far as it can be read.
func readableGPUs(o manifest.Object) (gpus []v1alpha1.GPUResource, classes []string) {
	for _, v := range manifest.List(o, "spec", "gpuResources") {
		switch v := v.(type) {
		case string:
			gpus = append(gpus, v1alpha1.GPUResource{Name: v})
		case manifest.Object:
			gpus = append(gpus, v1alpha1.GPUResource{Name: manifest.Text(v, "name"), GPUs: manifest.Text(v, "gpus")})
		}
	}
	for _, v := range manifest.List(o, "spec", "gpuDeviceClasses") {
		if name, ok := v.(string); ok {
			classes = append(classes, name)
		}
	}
	return gpus, classes
}

// countAsGPUs adds names of resources and of DeviceClasses that count as GPUs. A weight that
// cannot be read is 1.
func (s *Set) countAsGPUs(gpus []v1alpha1.GPUResource, classes []string) {
	for _, g := range gpus {
		if !validGPUResource(g.Name) {
			continue
		}
		weight, err := workload.ParseWeight(g.GPUs)
		if err != nil {
			weight = workload.Weight{}
		}
		s.counting.Listed = append(s.counting.Listed, workload.ListedGPU{Name: g.Name, GPUs: weight, Weighted: err == nil})
	}
	for _, c := range classes {
		if validDeviceClass(c) {
			s.counting.DeviceClasses = append(s.counting.DeviceClasses, c)
		}
	}
}

// Decode gives a stored policy its type. A field that the type does not have is an error:
// it may be a bound. The name is there in any case.
func Decode(o manifest.Object) (v1alpha1.ComputePolicy, field.ErrorList) {
	var p v1alpha1.ComputePolicy
	name := manifest.Text(o, "metadata", "name")
	known := manifest.Object{"metadata": manifest.Object{"name": name}}
	if spec, ok := o["spec"]; ok {
		known["spec"] = spec
	}
	errs := decode(known, &p, func(path *field.Path, _ []string) *field.Error {
		return field.Forbidden(path, "this version of the webhook does not know the field")
	})
	p.Name = name
	return p, errs
}

// Read reads a policy as a file states it: every field that is not known, every value of
// another type, and whatever is wrong about the rest.
func Read(o manifest.Object) (v1alpha1.ComputePolicy, field.ErrorList) {
	var p v1alpha1.ComputePolicy
	errs := decode(o, &p, unknownField)
	if p.Name == "" {
		errs = append(errs, field.Required(field.NewPath("metadata", "name"), "a ComputePolicy needs a name"))
		p.Name = "unnamed"
	}
	return p, append(errs, manifest.Unsaid(Validate(&p), errs)...)
}

// ReadBudget reads a budget as Read does a policy.
func ReadBudget(o manifest.Object) (v1alpha1.GPUBudget, field.ErrorList) {
	var b v1alpha1.GPUBudget
	errs := decode(o, &b, unknownField)
	return b, append(errs, manifest.Unsaid(ValidateBudget(&b), errs)...)
}

func unknownField(path *field.Path, known []string) *field.Error {
	return field.Forbidden(path, "is no field; allowed here: "+strings.Join(known, ", "))
}

// decode gives an object its type, without what the type does not take, and says what that
// is.
func decode(o manifest.Object, into any, unknown manifest.UnknownField) field.ErrorList {
	t := reflect.TypeOf(into).Elem()
	errs := manifest.CheckType(o, t, nil, unknown)
	if len(errs) > 0 {
		o = manifest.Fitting(o, t, errs)
	}
	raw, err := json.Marshal(o)
	if err == nil {
		err = kjson.UnmarshalCaseSensitivePreserveInts(raw, into)
	}
	if err != nil && len(errs) == 0 {
		errs = append(errs, field.Invalid(field.NewPath("spec"), field.OmitValueType{}, "cannot be read as a policy"))
	}
	return errs
}
