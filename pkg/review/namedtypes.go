package review

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// namedType is a GPU type that a policy or a budget names.
type namedType struct {
	at   *field.Path
	name string
}

// namedTypes are those of a policy or a budget that is written: of its bound, of its defaults and profiles, and of
// what a budget counts.
func (r *Request) namedTypes() (named []namedType) {
	if !r.isPolicy() {
		return nil
	}
	list := func(names ...string) {
		at := field.NewPath(names[0], names[1:]...)
		values, _ := manifest.At(r.object, names...).([]any)
		for i, value := range values {
			if name, ok := value.(string); ok {
				named = append(named, namedType{at.Index(i), name})
			}
		}
	}
	if r.kind() == budgetKind {
		list("spec", "gpuTypes")
		return named
	}
	list("spec", "bounds", "gpuTypes", "allowed")
	single := func(o manifest.Object, at *field.Path) {
		if name := manifest.Text(o, "gpuType"); name != "" {
			named = append(named, namedType{at.Child("gpuType"), name})
		}
	}
	single(manifest.Map(r.object, "spec", "defaults", "compute"), field.NewPath("spec", "defaults", "compute"))
	for i, profile := range manifest.Objects(r.object, "spec", "profiles", "compute") {
		single(profile, field.NewPath("spec", "profiles", "compute").Index(i))
	}
	return named
}

// NamesTypes tells whether a policy or a budget that is written names GPU types.
func (r *Request) NamesTypes() bool { return len(r.namedTypes()) > 0 }

// TypesOfNoNode warn of GPU types that a policy or a budget names and none of the nodes' products may be: of a
// misspelt one a budget counts nothing. Where no node has a product nothing is known.
func (r *Request) TypesOfNoNode(products []string) (warnings []string) {
	if len(products) == 0 {
		return nil
	}
	for _, t := range r.namedTypes() {
		list := workload.NewTypeList([]string{t.name})
		if !slices.ContainsFunc(products, list.MayBe) {
			warnings = append(warnings, fmt.Sprintf("%s: no node has GPUs of the type %s; nodes have %s", t.at, t.name, strings.Join(products, ", ")))
		}
	}
	return warnings
}
