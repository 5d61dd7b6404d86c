package knative

import (
	"context"
	stdjson "encoding/json"
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
	if c.plain(service) {
		return nil
	}
	return c.validate(service, create)
}

// validate asks about any Service.
func (c *Config) validate(service manifest.Object, create bool) field.ErrorList {
	typed, err := read(service)
	if err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("spec"), "", "cannot be read as a Knative Service: "+err.Error())}
	}
	ctx := c.Context(context.Background())
	if create {
		ctx = apis.WithinCreate(ctx)
	}
	typed.SetDefaults(ctx)
	return hinted(c.refusals(ctx, typed), service)
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
		if c.newerFeature(p, e.Message) {
			continue
		}
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

// newerFlags are features that the compiled-in Knative refuses always and newer ones
// allow behind a flag.
var newerFlags = map[string]string{
	"hostNetwork":      "kubernetes.podspec-hostnetwork",
	"hostPID":          "kubernetes.podspec-hostpid",
	"hostIPC":          "kubernetes.podspec-hostipc",
	"hostPath":         "kubernetes.podspec-volumes-hostpath",
	"csi":              "kubernetes.podspec-volumes-csi",
	"ephemeral":        "kubernetes.podspec-volumes-ephemeral",
	"image":            "kubernetes.podspec-volumes-image",
	"mountPropagation": "kubernetes.podspec-volumes-mount-propagation",
}

func (c *Config) newerFeature(path, message string) bool {
	last := path[strings.LastIndex(path, ".")+1:]
	if flag, ok := newerFlags[last]; ok && c.Feature(flag) {
		return true
	}
	if strings.HasPrefix(message, "expected exactly one, got neither") && strings.Contains(path, "volumes[") {
		for _, name := range []string{"hostPath", "csi", "ephemeral", "image"} {
			if c.Feature(newerFlags[name]) {
				return true
			}
		}
	}
	return false
}
