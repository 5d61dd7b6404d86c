package policy

import (
	"slices"
	"strconv"
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
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

func validateBounds(b *v1alpha1.Bounds, path *field.Path) (errs field.ErrorList) {
	if b == nil {
		return nil
	}
	for _, kind := range validated {
		if stated := kind.stated(b); stated != nil {
			at := path.Child(kind.name)
			errs = append(errs, validateEnforcement(stated.enforcement(), at.Child("enforcement"))...)
			errs = append(errs, stated.validate(at)...)
		}
	}
	return errs
}
