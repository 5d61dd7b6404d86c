package knative

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ConfigError is one mistake in a ConfigMap.
type ConfigError struct {
	// ConfigMap is its name.
	ConfigMap string
	// Reason is a *field.Error about a key, or what Knative says of the whole.
	Reason error
}

func (e *ConfigError) Error() string { return "ConfigMap " + e.ConfigMap + ": " + e.Reason.Error() }

// ConfigErrors are all mistakes in Knative's ConfigMaps.
type ConfigErrors []*ConfigError

func (e ConfigErrors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}

// Errors are the mistakes one by one.
func (e ConfigErrors) Errors() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// Is tells whether one of the mistakes is an error.
func (e ConfigErrors) Is(target error) bool {
	return slices.ContainsFunc(e, func(one *ConfigError) bool { return errors.Is(one.Reason, target) })
}

// mistakes names every key of a ConfigMap that Knative's parser objects to: what cannot be
// read, each by itself, and then what it says of the others, until it has nothing to say.
func mistakes(name string, data map[string]string, parse func(map[string]string) error) (all ConfigErrors) {
	rest := maps.Clone(data)
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if must := form(parse(map[string]string{key: data[key]})); must != "" {
			at := field.NewPath("data").Key(key)
			all = append(all, &ConfigError{name, field.Invalid(at, data[key], must)})
			delete(rest, key)
		}
	}
	for {
		err := parse(rest)
		if err == nil {
			return all
		}
		all = append(all, &ConfigError{name, errors.New(strings.TrimPrefix(err.Error(), "failed to parse data: "))})
		named := false
		for key := range rest {
			if strings.Contains(err.Error(), key) {
				delete(rest, key)
				named = true
			}
		}
		if !named {
			return all
		}
	}
}

// form is what text must be that a parser of Knative's cannot read; empty if it can.
func form(err error) string {
	if err == nil {
		return ""
	}
	var number *strconv.NumError
	switch text := err.Error(); {
	case errors.As(err, &number) && number.Func == "ParseBool":
		return "must be true or false"
	case errors.As(err, &number) && number.Func == "ParseFloat":
		return "must be a number"
	case errors.As(err, &number):
		return "must be a whole number" + tooLarge(number)
	case errors.Is(err, resource.ErrFormatWrong), errors.Is(err, resource.ErrNumeric), errors.Is(err, resource.ErrSuffix):
		return "must be a quantity, such as 500m, 2 or 16Gi"
	case strings.Contains(text, ": time: "):
		return "must be a duration, such as 90s or 10m"
	case strings.HasPrefix(text, "template: "), strings.HasPrefix(text, "error executing template: "):
		return "must be a name, or a template of one by the object's metadata, such as user-container or {{.Name}}"
	case strings.Contains(text, "cannot be parsed, please check the format"):
		return "must be YAML: names of RuntimeClasses, each with a selector of labels, such as kata: {selector: {team: a}}"
	}
	return ""
}

func tooLarge(e *strconv.NumError) string {
	if errors.Is(e, strconv.ErrRange) {
		return " that Knative can hold, from -2147483648 to 2147483647"
	}
	return ""
}
