package admission

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAnswersAreWrittenAsByEncodingJSON(t *testing.T) {
	jsonPatch, other := admissionv1.PatchTypeJSONPatch, admissionv1.PatchType("x")
	for name, response := range map[string]*admissionv1.AdmissionResponse{
		"admitted":            {UID: "u", Allowed: true},
		"no uid":              {Allowed: true},
		"a patch":             {UID: "u", Allowed: true, Patch: []byte(`[{"op":"add"}]`), PatchType: &jsonPatch},
		"an empty patch":      {UID: "u", Allowed: true, Patch: []byte{}, PatchType: &jsonPatch},
		"another type":        {UID: "u", Allowed: true, Patch: []byte("x"), PatchType: &other},
		"a warning":           {UID: "u", Allowed: true, Warnings: []string{"one"}},
		"warnings":            {UID: "u", Allowed: true, Warnings: []string{"one", "", "<two> & \"three\"", "grün\x7f\xff\u2028\n"}},
		"no warnings":         {UID: "u", Warnings: []string{}},
		"a uid with escapes":  {UID: "\"\\", Allowed: true},
		"a refusal":           {UID: "u", Result: &metav1.Status{Code: 422, Message: "no"}},
		"a patch and warning": {UID: "u", Allowed: true, Patch: []byte{0, 255, 1, 2}, PatchType: &jsonPatch, Warnings: []string{"a", "b"}},
		"audit annotations":   {UID: "u", Allowed: true, AuditAnnotations: map[string]string{"a": "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var want bytes.Buffer
			require.NoError(t, json.NewEncoder(&want).Encode(admissionv1.AdmissionReview{TypeMeta: reviewType, Response: response}))
			w := httptest.NewRecorder()
			require.NoError(t, writeReview(w, response))
			assert.Equal(t, want.String(), w.Body.String())
			assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
			assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		})
	}
}
