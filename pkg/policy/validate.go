package policy

import (
	globs "path"
	"slices"
	"strconv"
	"strings"
	"time"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// Validate names every mistake in a policy: what the CRD's own rules refuse, so that
// policies from files meet the same checks, and what only the parameters' types know.
func Validate(p *v1alpha1.ComputePolicy) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	for _, problem := range apivalidation.NameIsDNSSubdomain(p.Name, false) {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), p.Name, problem))
	}
	errs = append(errs, validateSelector(p.Spec.NamespaceSelector, spec.Child("namespaceSelector"))...)
	errs = append(errs, validateSelector(p.Spec.WorkloadSelector, spec.Child("workloadSelector"))...)
	errs = append(errs, validateEnforcement(p.Spec.Enforcement, spec.Child("enforcement"))...)
	if d := p.Spec.Defaults; d != nil {
		errs = append(errs, validateSettings(d.Autoscale, spec.Child("defaults", "autoscale"))...)
		errs = append(errs, validateSettings(d.Compute, spec.Child("defaults", "compute"))...)
	}
	if pr := p.Spec.Profiles; pr != nil {
		path := spec.Child("profiles", "autoscale")
		names := map[v1alpha1.ProfileName]bool{}
		for i := range pr.Autoscale {
			errs = append(errs, validateName(pr.Autoscale[i].Name, names, path.Index(i))...)
			errs = append(errs, validateSettings(&pr.Autoscale[i].AutoscaleSettings, path.Index(i))...)
		}
		path = spec.Child("profiles", "compute")
		names = map[v1alpha1.ProfileName]bool{}
		for i := range pr.Compute {
			errs = append(errs, validateName(pr.Compute[i].Name, names, path.Index(i))...)
			errs = append(errs, validateSettings(&pr.Compute[i].ComputeSettings, path.Index(i))...)
		}
	}
	errs = append(errs, validateBounds(p.Spec.Bounds, spec.Child("bounds"))...)
	errs = append(errs, validateCounting(&p.Spec, spec)...)
	for i, e := range p.Spec.Exempt {
		path := spec.Child("exempt").Index(i)
		if len(e.Namespaces)+len(e.Users)+len(e.Groups)+len(e.ServiceAccounts) == 0 {
			errs = append(errs, field.Required(path, "an exemption names at least one namespace, user, group or service account"))
		}
		for j, sa := range e.ServiceAccounts {
			if ns, name, ok := strings.Cut(sa, "/"); !ok || ns == "" || name == "" || strings.Contains(name, "/") {
				errs = append(errs, field.Invalid(path.Child("serviceAccounts").Index(j), sa, "must be namespace/name"))
			}
		}
	}
	return errs
}

func validateSelector(s *metav1.LabelSelector, path *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	return metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, path)
}

var enforcements = []v1alpha1.Enforcement{v1alpha1.Deny, v1alpha1.Clamp, v1alpha1.Warn, v1alpha1.Audit}

func validateEnforcement(e v1alpha1.Enforcement, path *field.Path) field.ErrorList {
	if e == "" || slices.Contains(enforcements, e) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, e, enforcements)}
}

func validateName(name v1alpha1.ProfileName, seen map[v1alpha1.ProfileName]bool, path *field.Path) field.ErrorList {
	path = path.Child("name")
	if name == "true" || name == "false" {
		return field.ErrorList{field.Invalid(path, name, "a profile may not be called true or false")}
	}
	if name == "" || len(validation.IsValidLabelValue(string(name))) > 0 {
		return field.ErrorList{field.Invalid(path, name, "must be a label value: letters, digits, '-', '_' and '.', at most 63 characters")}
	}
	if seen[name] {
		return field.ErrorList{field.Duplicate(path, name)}
	}
	seen[name] = true
	return nil
}

func validateSettings[T v1alpha1.AutoscaleSettings | v1alpha1.ComputeSettings](s *T, path *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	var errs field.ErrorList
	values := SettingValues{}
	eachSetting(s, func(p *parameter.Parameter, name, text string) {
		if err := p.Type.Check(text); err != nil {
			errs = append(errs, field.Invalid(path.Child(name), text, err.Error()))
			return
		}
		values[p.Name] = text
	})
	scale := func(p *parameter.Parameter) (int64, bool) {
		n, err := parameter.ParseScale(values[p.Name])
		return n, err == nil
	}
	maximum, ok := scale(parameter.MaxScale)
	if !ok {
		return errs
	}
	if maximum == 0 {
		errs = append(errs, field.Invalid(path.Child("maxScale"), maximum, "0 is unlimited; must be at least 1"))
		return errs
	}
	for _, p := range []*parameter.Parameter{parameter.MinScale, parameter.InitialScale} {
		if n, ok := scale(p); ok && n > maximum {
			errs = append(errs, field.Invalid(path.Child(p.Field()), n, "may not be above maxScale, "+strconv.FormatInt(maximum, 10)))
		}
	}
	return errs
}

func validateBounds(b *v1alpha1.Bounds, path *field.Path) field.ErrorList {
	if b == nil {
		return nil
	}
	var errs field.ErrorList
	number := func(name string, n *v1alpha1.NumberBound) {
		if n == nil {
			return
		}
		errs = append(errs, validateEnforcement(n.Enforcement, path.Child(name, "enforcement"))...)
		switch {
		case n.Max == nil:
			errs = append(errs, field.Required(path.Child(name, "max"), "say what the bound is"))
		case *n.Max < 0:
			errs = append(errs, field.Invalid(path.Child(name, "max"), *n.Max, "must be at least 0"))
		}
	}
	quantity := func(name string, q *v1alpha1.QuantityBound, measure *parameter.Type) {
		if q == nil {
			return
		}
		errs = append(errs, validateEnforcement(q.Enforcement, path.Child(name, "enforcement"))...)
		if v, err := manifest.ParseQuantity(q.Max.String()); err != nil || v.Sign() <= 0 {
			errs = append(errs, field.Invalid(path.Child(name, "max"), q.Max.String(), "must be a quantity above 0, such as 64 or 512Gi"))
		} else if err := measure.Check(q.Max.String()); err != nil {
			errs = append(errs, field.Invalid(path.Child(name, "max"), q.Max.String(), err.Error()))
		}
	}
	duration := func(name string, d *v1alpha1.DurationBound) {
		if d == nil {
			return
		}
		errs = append(errs, validateEnforcement(d.Enforcement, path.Child(name, "enforcement"))...)
		if v, err := time.ParseDuration(string(d.Max)); err != nil || v < 0 {
			errs = append(errs, field.Invalid(path.Child(name, "max"), d.Max, "must be a duration such as 90s or 10m"))
		}
	}
	names := func(name string, n *v1alpha1.NameBound) {
		if n == nil {
			return
		}
		errs = append(errs, validateEnforcement(n.Enforcement, path.Child(name, "enforcement"))...)
		if n.Enforcement == v1alpha1.Clamp {
			errs = append(errs, field.Invalid(path.Child(name, "enforcement"), n.Enforcement, "a list of names cannot be clamped"))
		}
		if len(n.Allowed) == 0 {
			errs = append(errs, field.Required(path.Child(name, "allowed"), "list at least one name"))
		}
	}
	number("maxScale", b.MaxScale)
	number("minScale", b.MinScale)
	number("gpusPerWorkload", b.GPUsPerWorkload)
	if g := b.GPUsPerPod; g != nil {
		at := path.Child("gpusPerPod")
		errs = append(errs, validateEnforcement(g.Enforcement, at.Child("enforcement"))...)
		if g.Max == nil && len(g.Allowed) == 0 {
			errs = append(errs, field.Required(at, "give max, allowed or both"))
		}
		if g.Max == nil && g.Enforcement == v1alpha1.Clamp {
			errs = append(errs, field.Invalid(at.Child("enforcement"), g.Enforcement, "only a max can be clamped"))
		}
		if g.Max != nil && *g.Max < 0 {
			errs = append(errs, field.Invalid(at.Child("max"), *g.Max, "must be at least 0"))
		}
		for i, a := range g.Allowed {
			if a < 0 {
				errs = append(errs, field.Invalid(at.Child("allowed").Index(i), a, "must be at least 0"))
			}
		}
	}
	quantity("cpusPerPod", b.CPUsPerPod, parameter.CPUs.Type)
	quantity("memoryPerPod", b.MemoryPerPod, parameter.Memory.Type)
	duration("scaleToZeroPodRetentionPeriod", b.ScaleToZeroPodRetentionPeriod)
	duration("scaleDownDelay", b.ScaleDownDelay)
	duration("progressDeadline", b.ProgressDeadline)
	names("gpuTypes", b.GPUTypes)
	if g := b.GPUTypes; g != nil {
		for i, a := range g.Allowed {
			if _, err := globs.Match(a, ""); err != nil || a == "" {
				errs = append(errs, field.Invalid(path.Child("gpuTypes", "allowed").Index(i), a, "must be a GPU type or a pattern such as A100*"))
			}
		}
	}
	names("autoscalerClasses", b.AutoscalerClasses)
	if c := b.AutoscalerClasses; c != nil {
		for i, a := range c.Allowed {
			if _, err := parameter.ParseClass(a); err != nil {
				errs = append(errs, field.NotSupported(path.Child("autoscalerClasses", "allowed").Index(i), a, []string{"kpa", "hpa", parameter.KPA, parameter.HPA}))
			}
		}
	}
	return errs
}
