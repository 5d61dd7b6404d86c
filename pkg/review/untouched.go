package review

import (
	"bytes"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/kubetorch/webhook/pkg/jsonscan"
	"github.com/kubetorch/webhook/pkg/policy"
)

// domain is part of every label and annotation that means anything to the mutating step.
var domain = []byte("kubetorch.com")

// Untouched tells of a request whose objects were not decoded that Mutate admits it as it is:
// a Knative Service without a key of ours, where nothing is clamped, and an update that leaves
// the spec and our keys as they are. It may be false of other such requests. Whether the
// objects can be read is for the validating step to say.
func Untouched(raw *admissionv1.AdmissionRequest, object, old jsonscan.Outline, policies *policy.Set) bool {
	if groupKind(raw.Kind) != ServiceKind || raw.SubResource != "" || object.Spec == nil {
		return false
	}
	switch raw.Operation {
	case admissionv1.Update:
		// API servers write equal objects alike.
		if bytes.Equal(object.Spec, old.Spec) && sameKeys(object.Labels, old.Labels) && sameKeys(object.Annotations, old.Annotations) {
			return true
		}
	case admissionv1.Create:
	default:
		return false
	}
	return !policies.Clamps() && free(object.Labels) && free(object.Annotations)
}

// free tells whether labels or annotations have no key of ours.
func free(texts []byte) bool {
	if !mayHaveKeys(texts) {
		return true
	}
	var room [32][]byte
	ours, ok := keys(texts, room[:0])
	return ok && len(ours) == 0
}

// mayHaveKeys is false where no string begins with a name in our domain, and none has letters
// that are written as escapes.
func mayHaveKeys(texts []byte) bool {
	if bytes.Contains(texts, []byte(`\u`)) {
		return true
	}
	for rest := texts; ; {
		at := bytes.Index(rest, domain)
		if at < 0 {
			return false
		}
		begin := at
		for begin > 0 && (rest[begin-1] == '.' || ('a' <= rest[begin-1] && rest[begin-1] <= 'z')) {
			begin--
		}
		// A quote behind a backslash is inside of a string.
		if begin == 0 || (rest[begin-1] == '"' && (begin == 1 || rest[begin-2] != '\\')) {
			return true
		}
		rest = rest[at+len(domain):]
	}
}

// sameKeys tells whether two objects' labels or annotations agree on our keys, in their order.
func sameKeys(now, old []byte) bool {
	if bytes.Equal(now, old) {
		return true
	}
	var room [2][32][]byte
	is, ok := keys(now, room[0][:0])
	was, readable := keys(old, room[1][:0])
	if !ok || !readable || len(is) != len(was) {
		return false
	}
	for i := range is {
		if !bytes.Equal(is[i], was[i]) {
			return false
		}
	}
	return true
}

// keys are our keys and their values, one after the other. It is not ok where a key is written
// with escapes.
func keys(texts []byte, to [][]byte) (found [][]byte, ok bool) {
	if texts == nil {
		return nil, true
	}
	ok = jsonscan.Pairs(texts, func(key, value []byte) {
		if bytes.Contains(key, domain) {
			to = append(to, key, value)
		}
	})
	return to, ok
}
