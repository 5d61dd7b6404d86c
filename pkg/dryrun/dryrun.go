// Package dryrun does with an object what both webhooks do with it, one after the other, and
// stores nothing.
package dryrun

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// Response is what became of an object before budgets are asked.
type Response struct {
	Allowed  bool
	Warnings []string
	// Causes are why it is refused.
	Causes []metav1.StatusCause
	// Object is what would be stored; nil if the mutating step refuses it.
	Object manifest.Object
	// Request is the validating one, and Claims what it claims; nil if the object is of a kind
	// that nobody judges, or was refused before.
	Request *review.Request
	Claims  []review.Claim
	// ForPods is whether no bound refuses it that has nothing to do with its number of pods or its type of GPUs.
	ForPods bool
}

// Request makes the request that writing an object is: an update if old is not nil.
func Request(object, old manifest.Object, namespace string, user authenticationv1.UserInfo) (*admissionv1.AdmissionRequest, error) {
	gv, err := schema.ParseGroupVersion(manifest.Text(object, "apiVersion"))
	if err != nil {
		return nil, err
	}
	kind := manifest.Text(object, "kind")
	raw := &admissionv1.AdmissionRequest{UID: "dry-run", Operation: admissionv1.Create, Namespace: namespace, Name: manifest.Text(object, "metadata", "name"),
		Kind:     metav1.GroupVersionKind{Group: gv.Group, Version: gv.Version, Kind: kind},
		Resource: metav1.GroupVersionResource{Group: gv.Group, Version: gv.Version, Resource: strings.ToLower(kind) + "s"},
		UserInfo: user}
	if raw.Object.Raw, err = identified(object, namespace); err != nil {
		return nil, err
	}
	if old != nil {
		raw.Operation = admissionv1.Update
		raw.OldObject.Raw, err = identified(old, namespace)
	}
	return raw, err
}

// identified is the object as JSON, with the namespace and a UID, as it has in a cluster.
func identified(o manifest.Object, namespace string) ([]byte, error) {
	o = maps.Clone(o)
	metadata := maps.Clone(manifest.Map(o, "metadata"))
	if metadata == nil {
		metadata = manifest.Object{}
	}
	metadata["namespace"] = namespace
	if manifest.Text(metadata, "uid") == "" {
		metadata["uid"] = "uid of " + manifest.Text(o, "kind") + " " + manifest.Text(metadata, "name")
	}
	o["metadata"] = metadata
	return json.Marshal(o)
}

// Admit answers a request in a world that reads only what is at hand. The error is about a request that
// cannot be made.
func Admit(w review.World, raw *admissionv1.AdmissionRequest) (Response, error) {
	return admit(context.Background(), w, raw)
}

// admit answers a request. The error is about a request that cannot be made, or of reading.
func admit(ctx context.Context, w review.World, raw *admissionv1.AdmissionRequest) (Response, error) {
	var r Response
	mutating, reply, err := read(ctx, w, raw)
	if err != nil {
		return r, err
	}
	if reply == nil {
		if reply, err = mutating.Mutate(ctx, w); err != nil {
			return r, err
		}
	}
	if r.Add(reply); !reply.Allowed {
		return r, nil
	}
	if len(reply.Patch) > 0 {
		patch, err := jsonpatch.DecodePatch(reply.Patch)
		if err != nil {
			return r, err
		}
		if raw.Object.Raw, err = patch.Apply(raw.Object.Raw); err != nil {
			return r, fmt.Errorf("applying the patch of the mutating webhook: %w", err)
		}
	}
	if r.Object, err = manifest.Decode(raw.Object.Raw); err != nil {
		return r, err
	}
	validating, reply, err := read(ctx, w, raw)
	if err != nil {
		return r, err
	}
	if reply == nil {
		if err := validating.Resolve(ctx, w); err != nil {
			return r, err
		}
		r.Request = validating
		if reply, err = validating.Validate(ctx, w); err != nil {
			return r, err
		}
		if r.Claims, err = validating.Claims(ctx, w); err != nil {
			return r, err
		}
	}
	r.ForPods = reply.Allowed || r.Request != nil && r.Request.RefusedForPods()
	r.Add(reply)
	return r, nil
}

// errGone is about what a request scales.
var errGone = errors.New("what is scaled is gone")

// read decodes a request, with what it scales if it scales something.
func read(ctx context.Context, w review.World, raw *admissionv1.AdmissionRequest) (*review.Request, *admissionv1.AdmissionResponse, error) {
	r, reply := review.ReadWith(raw, w.Policies.Operators())
	if reply != nil || r.Scaled() == "" {
		return r, reply, nil
	}
	if w.Reader == nil {
		return nil, nil, errGone
	}
	scaled, err := w.Reader.Get(ctx, r.Kind(), r.Namespace(), r.Scaled())
	if err == nil && scaled == nil {
		err = errGone
	}
	if err != nil {
		return nil, nil, err
	}
	r.ScaleOf(scaled)
	return r, nil, nil
}

// Add takes a reply to the request.
func (r *Response) Add(reply *admissionv1.AdmissionResponse) {
	r.Allowed = reply.Allowed
	for _, w := range reply.Warnings {
		r.Warn(w)
	}
	switch status := reply.Result; {
	case reply.Allowed || status == nil:
	case status.Details == nil || len(status.Details.Causes) == 0:
		r.Causes = append(r.Causes, metav1.StatusCause{Message: status.Message})
	default:
		r.Causes = append(r.Causes, status.Details.Causes...)
	}
}

// Warn adds a warning that was not said yet.
func (r *Response) Warn(text string) {
	if slices.Contains(r.Warnings, text) {
		return
	}
	r.Warnings = append(r.Warnings, text)
}
