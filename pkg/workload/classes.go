package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// DeviceClass is what counting needs of a DeviceClass of resource.k8s.io.
type DeviceClass struct {
	Name string
	// ExtendedResource is the resource name that stands for its devices; empty for none.
	ExtendedResource string
	// Product is the GPU product that its selectors pin devices to; empty for none.
	Product string
	// Selectors is a digest of what its devices are selected by; empty if nothing is.
	Selectors string
	Created   time.Time
}

// ReadDeviceClass reads a DeviceClass.
func ReadDeviceClass(o manifest.Object) DeviceClass {
	c := DeviceClass{
		Name:             manifest.Text(o, "metadata", "name"),
		ExtendedResource: manifest.Text(o, "spec", "extendedResourceName"),
	}
	selectors := manifest.Objects(o, "spec", "selectors")
	c.Product = selectedProduct(selectors)
	for _, selector := range selectors {
		sum := sha256.Sum256([]byte(c.Selectors + manifest.Text(selector, "cel", "expression")))
		c.Selectors = hex.EncodeToString(sum[:8])
	}
	c.Created, _ = time.Parse(time.RFC3339, manifest.Text(o, "metadata", "creationTimestamp"))
	return c
}

// gpuDeviceClasses have GPUs as devices, and otherDeviceClasses something else: the classes
// that the vendors' DRA drivers install.
var (
	gpuDeviceClasses = []string{
		"gpu.nvidia.com", "mig.nvidia.com", "vfio.gpu.nvidia.com", "gpu.amd.com", "gpu.intel.com",
	}
	otherDeviceClasses = []string{"compute-domain-default-channel.nvidia.com", "compute-domain-daemon.nvidia.com"}
)

// IsGPUDeviceClass tells whether the devices of a class are GPUs everywhere.
func IsGPUDeviceClass(name string) bool { return slices.Contains(gpuDeviceClasses, name) }

// classRules say which DeviceClasses have GPUs.
type classRules struct {
	gpus, others []string
	// claimed are the resource names that classes claim, by class.
	claimed map[string]string
	// products are what classes pin devices to, by class.
	products map[string]string
}

func (c Counting) classRules() classRules {
	r := classRules{
		gpus:     slices.Concat(gpuDeviceClasses, c.DeviceClasses),
		others:   slices.Concat(otherDeviceClasses, c.NotDeviceClasses),
		claimed:  map[string]string{},
		products: map[string]string{},
	}
	for _, class := range c.Classes {
		if class.Product != "" {
			r.products[class.Name] = class.Product
		}
		if class.ExtendedResource != "" {
			r.claimed[class.Name] = class.ExtendedResource
		}
	}
	return r
}

// given are the products of the GPUs that the scheduler may take from a class for a resource name, any number.
func (r *classRules) given(class string) byType {
	if class == "" {
		return nil
	}
	switch r.class(class) {
	case notGPU:
		return nil
	case gpuName:
		return byType{r.products[class]: Unbounded}
	}
	return byType{"": Unbounded}
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, ok := strings.CutSuffix(pattern, "*")
		return name == pattern || (ok && strings.HasPrefix(name, prefix))
	})
}

// class says what the devices of a class are. What is called a GPU somewhere is one.
func (r *classRules) class(name string) nameKind {
	switch {
	case matchesAny(r.gpus, name):
		return gpuName
	case matchesAny(r.others, name):
		return notGPU
	}
	return unknownClass
}

// winners are the classes that claim a resource name, by that name: of several the one that
// was made last, of those made at the same time the lower name, as the scheduler takes them.
func (c Counting) winners() map[string]DeviceClass {
	winners := map[string]DeviceClass{}
	for _, class := range c.Classes {
		had, ok := winners[class.ExtendedResource]
		if class.ExtendedResource == "" {
			continue
		}
		if !ok || class.Created.After(had.Created) || (class.Created.Equal(had.Created) && class.Name < had.Name) {
			winners[class.ExtendedResource] = class
		}
	}
	return winners
}

// aliases lets the names that classes claim count as the larger of what the name counts and
// what the class does.
func (c Counting) aliases(r *rules) {
	for name, class := range c.winners() {
		what := r.larger(r.byName(name), class.Name)
		what.class = class.Name
		r.exact[name] = what
	}
}

// larger is the larger of what a name counts and what a class does.
func (r *rules) larger(what counted, class string) counted {
	switch kind := r.classes.class(class); {
	case what.kind == gpuName && kind == gpuName && what.weight.compare(Weight{}) < 0:
		what.weight = Weight{}
	case what.kind == gpuName, kind == notGPU:
		// What the name says.
	case kind == gpuName:
		return counted{kind: gpuName}
	default:
		return counted{kind: unknownClass, class: class}
	}
	return what
}

// implicit says what a name counts that spells a class: the larger of what is listed under
// that name or under the one that the class claims, and what the class counts.
func (r *rules) implicit(name, class string) counted {
	what, found := r.exact[name]
	if !found {
		what, _ = r.matching(name)
	}
	if claimed := r.classes.claimed[class]; claimed != "" && what.kind != gpuName {
		if other, ok := r.exact[claimed]; ok && other.kind == gpuName {
			what = other
		}
	}
	what = r.larger(what, class)
	what.class = class
	return what
}
