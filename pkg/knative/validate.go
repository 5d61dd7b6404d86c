package knative

import (
	"context"
	stdjson "encoding/json"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	"sigs.k8s.io/json"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// Validate asks Knative's own code what it would refuse in a Service, after its own
// defaulting. What depends on features that newer versions of Knative have than the one
// compiled in is left to the cluster's Knative.
func (c *Config) Validate(service manifest.Object, create bool) field.ErrorList {
	typed, err := read(service)
	if err != nil {
		if errs := Mistyped(service); len(errs) > 0 {
			return errs
		}
		return field.ErrorList{field.Invalid(field.NewPath("spec"), field.OmitValueType{}, "cannot be read as the spec of a Knative Service")}
	}
	ctx := c.contextWith(context.Background(), c.validated())
	if create {
		ctx = apis.WithinCreate(ctx)
	}
	typed.SetDefaults(ctx)
	return c.hinted(append(c.taken(c.refusals(ctx, typed), service), c.refusedLater(service)...), service)
}

// Mistyped names every value of a Service that has another type than Knative gives it.
func Mistyped(service manifest.Object) field.ErrorList {
	return manifest.CheckType(service["spec"], reflect.TypeFor[servingv1.ServiceSpec](), field.NewPath("spec"), nil)
}

// SameTemplate tells whether two Services have the same template once Knative has filled in
// all the defaults of a new one.
func (c *Config) SameTemplate(a, b manifest.Object) bool {
	x, errX := read(a)
	y, errY := read(b)
	if errX != nil || errY != nil {
		return false
	}
	ctx := apis.WithinCreate(c.Context(context.Background()))
	x.SetDefaults(ctx)
	y.SetDefaults(ctx)
	return equality.Semantic.DeepEqual(x.Spec.Template, y.Spec.Template)
}

// read decodes a Service as Knative does: through JSON, where numbers that are too large
// show.
func read(service manifest.Object) (*servingv1.Service, error) {
	raw, err := stdjson.Marshal(withoutStatus(service))
	if err != nil {
		return nil, err
	}
	typed := &servingv1.Service{}
	return typed, json.UnmarshalCaseSensitivePreserveInts(raw, typed)
}

func withoutStatus(service manifest.Object) manifest.Object {
	copied := make(manifest.Object, len(service))
	for k, v := range service {
		if k != "status" {
			copied[k] = v
		}
	}
	return copied
}

func (c *Config) convert(err error) field.ErrorList {
	e, ok := err.(*apis.FieldError)
	if !ok {
		return field.ErrorList{field.Invalid(field.NewPath("spec"), "", err.Error())}
	}
	detail := e.Message
	if e.Details != "" {
		detail += ": " + e.Details
	}
	paths := e.Paths
	if len(paths) == 0 {
		paths = []string{"spec"}
	}
	var errs field.ErrorList
	for _, p := range paths {
		errs = append(errs, &field.Error{Type: field.ErrorTypeInvalid, Field: bracket(p), BadValue: field.OmitValueType{}, Detail: detail})
	}
	return errs
}

// bracket writes the key of an annotation as field paths do: Knative says
// metadata.annotations.a/b, Kubernetes metadata.annotations[a/b].
func bracket(path string) string {
	before, key, found := strings.Cut(path, "metadata.annotations.")
	if !found || strings.HasPrefix(key, "[") {
		return path
	}
	return before + "metadata.annotations[" + key + "]"
}
