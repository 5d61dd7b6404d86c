package policy

import (
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// fields maps the field names of a group's settings to its parameters.
func fields(g parameter.Group) map[string]*parameter.Parameter {
	m := map[string]*parameter.Parameter{}
	for _, p := range parameter.Table {
		if p.Group == g && !p.NoDefault {
			m[p.Field()] = p
		}
	}
	return m
}

var (
	autoscaleFields = fields(parameter.Autoscale)
	computeFields   = fields(parameter.Compute)
)

// settings turns v1alpha1.AutoscaleSettings or ComputeSettings into the texts that the
// parameters' own types read.
func settings[T v1alpha1.AutoscaleSettings | v1alpha1.ComputeSettings](s *T) SettingValues {
	if s == nil {
		return nil
	}
	values := SettingValues{}
	eachSetting(s, func(p *parameter.Parameter, _ string, text string) { values[p.Name] = text })
	return values
}

// eachSetting calls f with every setting that is given, and with the name of its field.
func eachSetting[T v1alpha1.AutoscaleSettings | v1alpha1.ComputeSettings](s *T, f func(p *parameter.Parameter, name, text string)) {
	table := computeFields
	if _, ok := any(s).(*v1alpha1.AutoscaleSettings); ok {
		table = autoscaleFields
	}
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			continue
		}
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		var text string
		switch x := v.Field(i).Interface().(type) {
		case *string:
			text = *x
		case *v1alpha1.Duration:
			text = string(*x)
		case *v1alpha1.TimeToLive:
			text = string(*x)
		case *bool:
			if !*x {
				continue
			}
			text = "true"
		case *int32:
			text = fmt.Sprint(*x)
		case *intstr.IntOrString:
			text = x.String()
		}
		f(table[name], name, text)
	}
}
