package admission

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Memory that a decoded object takes goes by how many JSON names and values it has, some 150 bytes
// each, and hardly by its bytes: 3 MB of short environment entries are a million values.
const (
	// MaxValues is how many JSON values one review may have, its old object included. The
	// largest manifests of public repositories have some thousands.
	MaxValues = 250_000
	// DefaultMaxValuesHeld is how many values of large reviews are decoded at the same
	// time: some 100 MB.
	DefaultMaxValuesHeld = 600_000
	// fewValues is what a review may have without waiting for a share of these. As many
	// reviews as are decided at the same time hold some 150 MB of it at most.
	fewValues = 2_000
)

// values is the number of JSON names and values in a text, or an upper bound of it that is at most
// enough: every value but the first follows a comma, a colon, or an opening bracket.
func values(text []byte, enough int) int {
	bound := 1
	for _, c := range [...]string{",", ":", "{", "["} {
		bound += bytes.Count(text, []byte(c))
	}
	if bound <= enough {
		return bound
	}
	n, quoted := 1, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && (c == ',' || c == ':' || c == '{' || c == '['):
			n++
		}
	}
	return n
}

// hold waits for room to decode a review, until its context ends. The answer is set if
// there is none.
func (h *handler) hold(ctx context.Context, text []byte) (release func(), refused *admissionv1.AdmissionResponse) {
	n := values(text, fewValues)
	if n <= fewValues {
		return func() {}, nil
	}
	if n > MaxValues {
		return nil, tooManyValues(n)
	}
	if h.held.Acquire(ctx, int64(n)) != nil {
		return nil, busy(tooMany)
	}
	return func() { h.held.Release(int64(n)) }, nil
}

func tooManyValues(n int) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusRequestEntityTooLarge, Reason: metav1.StatusReasonRequestEntityTooLarge,
		Message: fmt.Sprintf("the object, with its earlier state on an update, has %d JSON values; "+
			"kubetorch-webhook reads at most %d: take out environment, annotations or other lists that nothing reads", n, MaxValues),
	}}
}
