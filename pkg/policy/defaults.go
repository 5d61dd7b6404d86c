package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Layer is a source of defaults.
type Layer struct {
	// From names the source, such as "policy platform".
	From   string
	Values SettingValues
}

// Defaults are the policies' defaults of a group, strongest first.
func (s Selection) Defaults(g parameter.Group) []Layer {
	var layers []Layer
	for _, p := range s.defaults {
		if v := p.defaults[g]; len(v) > 0 {
			layers = append(layers, Layer{From: "policy " + p.name, Values: v})
		}
	}
	return layers
}

// Profile finds a profile by name; of two with one name the stronger policy's wins.
func (s Selection) Profile(g parameter.Group, name string) (Layer, bool) {
	for _, p := range s.defaults {
		if v, ok := p.profiles[g][name]; ok {
			return Layer{From: "profile " + name + " of policy " + p.name, Values: v}, true
		}
	}
	return Layer{}, false
}

// ProfileNames lists the profiles of a group, sorted.
func (s Selection) ProfileNames(g parameter.Group) []string {
	names := map[string]bool{}
	for _, p := range s.defaults {
		for n := range p.profiles[g] {
			names[n] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// GPUResource is the resource that the parameter gpus asks for: the first name (no
// pattern) that a selecting policy lists, else nvidia.com/gpu.
func (s Selection) GPUResource() string {
	for _, p := range s.defaults {
		for _, g := range p.gpus {
			if !strings.HasSuffix(g.Name, "*") && s.gpus.Match(g.Name) {
				return g.Name
			}
		}
	}
	return workload.DefaultGPUResource
}

// GPUResources are the resource names that count as GPUs.
func (s Selection) GPUResources() workload.GPUResources { return s.gpus }

// WithClaims is the selection that counts resource claims of the pods of one namespace too.
func (s Selection) WithClaims(claims *workload.ClaimIndex, namespace string) Selection {
	s.gpus = s.gpus.WithClaims(claims, namespace)
	return s
}
