package review

import (
	"context"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Concerns tells whether objects of a kind are expanded and judged.
func Concerns(kind schema.GroupKind) bool { return kind == ServiceKind }

// Judges tells whether objects of a kind are judged, and never changed (Request.Judge).
func Judges(kind schema.GroupKind) bool {
	return slices.Contains(children, kind) || kind == workload.HorizontalPodAutoscalerKind || kind == workload.LimitRangeKind
}

// MakesPods tells whether objects of a kind of Kubernetes' own, but for Deployments, have pods, and are
// judged, and never changed.
func MakesPods(kind schema.GroupKind) bool { return (&Request{of: kind}).hasPods() }

// AsksForDevices tells whether the pods of an object of such a kind ask for devices.
func AsksForDevices(o manifest.Object) bool { return asksForDevices(o) }

// Room is what an object leaves of the bounds that hold for it.
func (r *Request) Room(w World, d workload.Usage) []policy.Headroom { return r.selection(w).Room(d) }

// ForObject is the request that creating an object would make. The object must be of a
// kind that Concerns or Judges is true for, or a Deployment.
func ForObject(o manifest.Object, namespace string) *Request {
	gv, _ := schema.ParseGroupVersion(manifest.Text(o, "apiVersion"))
	raw := &admissionv1.AdmissionRequest{Operation: admissionv1.Create, Namespace: namespace, Name: manifest.Text(o, "metadata", "name"),
		Kind: metav1.GroupVersionKind{Group: gv.Group, Version: gv.Version, Kind: manifest.Text(o, "kind")}}
	r := &Request{raw: raw, of: groupKind(raw.Kind), object: o, name: raw.Name, operators: workload.BuiltInOperators()}
	if r.name == "" {
		r.name = manifest.Text(o, "metadata", "generateName")
	}
	return r
}

// With has the request go by another table of operators' kinds.
func (r *Request) With(operators workload.Operators) *Request {
	r.operators = operators
	return r
}

// Admit does what the mutating and the validating review do one after the other. It
// expands the object in place.
func (r *Request) Admit(ctx context.Context, w World) (Verdict, error) {
	v, err := r.expanded(ctx, w)
	if err != nil || v.Refused() {
		return v, err
	}
	r.filled = true // to expand twice changes nothing
	judged, err := r.Judge(ctx, w)
	judged.Patch, judged.Clamped, judged.Settings, judged.Room = v.Patch, v.Clamped, v.Settings, r.selection(w).Room(judged.Demand)
	judged.Warnings = shorten(append(v.Warnings, judged.Warnings...))
	return judged, err
}
