package admission

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/kubetorch/webhook/pkg/jsonscan"
)

func TestWhatIsUntouchedIsNotDecided(t *testing.T) {
	const body = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u-1","operation":"UPDATE",` +
		`"object":{"metadata":{"labels":{"a":"b"}},"spec":{"x":1}},"oldObject":{"metadata":{"annotations":{"c":"d"}}}}}`
	const decided = `"response":{"uid":"u-1","allowed":true,"warnings":["decided"]}`
	for name, test := range map[string]struct {
		body      string
		untouched func(*admissionv1.AdmissionRequest, jsonscan.Outline, jsonscan.Outline) bool
		want      string
	}{
		"untouched": {
			body: body,
			untouched: func(r *admissionv1.AdmissionRequest, object, old jsonscan.Outline) bool {
				assert.Equal(t, admissionv1.Update, r.Operation)
				assert.Equal(t, jsonscan.Outline{Labels: []byte(`{"a":"b"}`), Spec: []byte(`{"x":1}`)}, object)
				assert.Equal(t, jsonscan.Outline{Annotations: []byte(`{"c":"d"}`)}, old)
				return true
			},
			want: `"response":{"uid":"u-1","allowed":true}`,
		},
		"not untouched": {
			body:      body,
			untouched: func(*admissionv1.AdmissionRequest, jsonscan.Outline, jsonscan.Outline) bool { return false },
			want:      decided,
		},
		"a panic": {
			body: body,
			untouched: func(*admissionv1.AdmissionRequest, jsonscan.Outline, jsonscan.Outline) bool {
				panic("secret of the object")
			},
			want: `"message":"internal error in kubetorch-webhook, nothing was decided; its log has the details under uid u-1"`,
		},
		"an object of which nothing is known": {
			body: `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u-1","object":{"spec":1,"sp\u0065c":2}}}`,
			untouched: func(*admissionv1.AdmissionRequest, jsonscan.Outline, jsonscan.Outline) bool {
				t.Error("asked")
				return true
			},
			want: decided,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := Handler(func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
				return &admissionv1.AdmissionResponse{Allowed: true, Warnings: []string{"decided"}}
			}, Options{Untouched: test.untouched})
			got := serve(h, post(test.body))
			assert.Equal(t, 200, got.code)
			assert.Contains(t, got.body, test.want)
		})
	}
}
