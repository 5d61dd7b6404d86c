package policy

import (
	globs "path"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// statedBound is a bound as a policy states it.
type statedBound interface {
	enforcement() v1alpha1.Enforcement
	// validate refuses what cannot be held, but for the enforcement.
	validate(path *field.Path) field.ErrorList
	// rules are what to hold workloads to, once validate has passed it.
	rules() []Rule
}

// atMost is the rule of a maximum.
func atMost(q resource.Quantity) []Rule { return []Rule{{Max: q, hasMax: true}} }

type numberBound struct{ *v1alpha1.NumberBound }

func numberOf(n *v1alpha1.NumberBound) statedBound {
	if n == nil {
		return nil
	}
	return numberBound{n}
}

func (n numberBound) enforcement() v1alpha1.Enforcement { return n.Enforcement }

func (n numberBound) rules() []Rule { return atMost(workload.Number(*n.Max)) }

func (n numberBound) validate(path *field.Path) field.ErrorList {
	switch {
	case n.Max == nil:
		return field.ErrorList{field.Required(path.Child("max"), "say what the bound is")}
	case *n.Max < 0:
		return field.ErrorList{field.Invalid(path.Child("max"), *n.Max, "must be at least 0")}
	}
	return nil
}

type gpusBound struct{ *v1alpha1.GPUCountBound }

func gpusOf(g *v1alpha1.GPUCountBound) statedBound {
	if g == nil {
		return nil
	}
	return gpusBound{g}
}

func (g gpusBound) enforcement() v1alpha1.Enforcement { return g.Enforcement }

func (g gpusBound) rules() (rules []Rule) {
	if g.Max != nil {
		rules = atMost(workload.Number(*g.Max))
	}
	if len(g.Allowed) > 0 {
		allowed := make([]string, len(g.Allowed))
		for i, a := range g.Allowed {
			allowed[i] = strconv.FormatInt(a, 10)
		}
		rules = append(rules, Rule{allowed: allowed})
	}
	return rules
}

func (g gpusBound) validate(path *field.Path) (errs field.ErrorList) {
	if g.Max == nil && len(g.Allowed) == 0 {
		errs = append(errs, field.Required(path, "give max, allowed or both"))
	}
	if g.Max == nil && g.Enforcement == v1alpha1.Clamp {
		errs = append(errs, field.Invalid(path.Child("enforcement"), g.Enforcement, "only a max can be clamped"))
	}
	if g.Max != nil && *g.Max < 0 {
		errs = append(errs, field.Invalid(path.Child("max"), *g.Max, "must be at least 0"))
	}
	for i, a := range g.Allowed {
		if a < 0 {
			errs = append(errs, field.Invalid(path.Child("allowed").Index(i), a, "must be at least 0"))
		}
	}
	return errs
}

type quantityBound struct {
	*v1alpha1.QuantityBound
	measure *parameter.Type
}

func quantityOf(q *v1alpha1.QuantityBound, of *parameter.Parameter) statedBound {
	if q == nil {
		return nil
	}
	return quantityBound{q, of.Type}
}

func (q quantityBound) enforcement() v1alpha1.Enforcement { return q.Enforcement }

func (q quantityBound) rules() []Rule {
	v, _ := manifest.ParseQuantity(q.Max.String()) // validate has passed it
	return atMost(v)
}

func (q quantityBound) validate(path *field.Path) field.ErrorList {
	at, text := path.Child("max"), q.Max.String()
	if v, err := manifest.ParseQuantity(text); err != nil || v.Sign() <= 0 {
		return field.ErrorList{field.Invalid(at, text, "must be a quantity above 0, such as 64 or 512Gi")}
	}
	if err := q.measure.Check(text); err != nil {
		return field.ErrorList{field.Invalid(at, text, err.Error())}
	}
	return nil
}

type durationBound struct{ *v1alpha1.DurationBound }

func durationOf(d *v1alpha1.DurationBound) statedBound {
	if d == nil {
		return nil
	}
	return durationBound{d}
}

func (d durationBound) enforcement() v1alpha1.Enforcement { return d.Enforcement }

func (d durationBound) rules() []Rule {
	v, _ := time.ParseDuration(string(d.Max)) // validate has passed it
	return atMost(workload.Number(int64(v)))
}

func (d durationBound) validate(path *field.Path) field.ErrorList {
	if v, err := time.ParseDuration(string(d.Max)); err != nil || v < 0 {
		return field.ErrorList{field.Invalid(path.Child("max"), d.Max, "must be a duration such as 90s or 10m")}
	}
	return nil
}

// listedNames is what the names of a list are.
type listedNames struct {
	// full is a name as workloads have it.
	full func(string) string
	// check refuses one that stands at a path.
	check func(path *field.Path, name string) *field.Error
	types bool
}

var (
	gpuTypeNames = listedNames{
		full: func(s string) string { return s },
		check: func(path *field.Path, name string) *field.Error {
			if _, err := globs.Match(name, ""); err != nil || name == "" {
				return field.Invalid(path, name, "must be a GPU type or a pattern such as A100*")
			}
			return nil
		},
		types: true,
	}
	classNames = listedNames{
		full: func(s string) string {
			if class, err := parameter.ParseClass(s); err == nil {
				return class
			}
			return s
		},
		check: func(path *field.Path, name string) *field.Error {
			if _, err := parameter.ParseClass(name); err != nil {
				return field.NotSupported(path, name, []string{"kpa", "hpa", parameter.KPA, parameter.HPA})
			}
			return nil
		},
	}
)

type nameBound struct {
	*v1alpha1.NameBound
	kind listedNames
}

func namesOf(n *v1alpha1.NameBound, kind listedNames) statedBound {
	if n == nil {
		return nil
	}
	return nameBound{n, kind}
}

func (n nameBound) enforcement() v1alpha1.Enforcement { return n.Enforcement }

func (n nameBound) rules() []Rule {
	allowed := make([]string, len(n.Allowed))
	for i, a := range n.Allowed {
		allowed[i] = n.kind.full(a)
	}
	r := Rule{allowed: allowed}
	if n.kind.types {
		r.types = workload.NewTypeList(allowed)
	}
	return []Rule{r}
}

func (n nameBound) validate(path *field.Path) (errs field.ErrorList) {
	if n.Enforcement == v1alpha1.Clamp {
		errs = append(errs, field.Invalid(path.Child("enforcement"), n.Enforcement, "a list of names cannot be clamped"))
	}
	if len(n.Allowed) == 0 {
		errs = append(errs, field.Required(path.Child("allowed"), "list at least one name"))
	}
	for i, a := range n.Allowed {
		if err := n.kind.check(path.Child("allowed").Index(i), a); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
