package admission

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var reviewType = metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}

// Header values that never change.
var contentTypes, noSniff = []string{mediaType}, []string{"nosniff"}

// appendPlain appends the answer, as encoding/json writes it, where it has neither a status
// nor audit annotations, and texts that need no escapes. Else it is not ok.
func appendPlain(b []byte, response *admissionv1.AdmissionResponse) (_ []byte, ok bool) {
	if response.Result != nil || len(response.AuditAnnotations) > 0 || (response.PatchType != nil && *response.PatchType != admissionv1.PatchTypeJSONPatch) ||
		!isPlain(string(response.UID)) || slices.ContainsFunc(response.Warnings, func(w string) bool { return !isPlain(w) }) {
		return nil, false
	}
	b = append(b, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"`...)
	b = append(b, response.UID...)
	b = strconv.AppendBool(append(b, `","allowed":`...), response.Allowed)
	if len(response.Patch) > 0 {
		b = append(b, `,"patch":"`...)
		b = append(base64.StdEncoding.AppendEncode(b, response.Patch), '"')
	}
	if response.PatchType != nil {
		b = append(b, `,"patchType":"JSONPatch"`...)
	}
	for i, w := range response.Warnings {
		if i == 0 {
			b = append(b, `,"warnings":[`...)
		} else {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), w...), '"')
	}
	if len(response.Warnings) > 0 {
		b = append(b, ']')
	}
	return append(b, '}', '}', '\n'), true
}

// isPlain tells whether a text stands in JSON as it is.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

var answers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// writeReview answers 200 with the response in its envelope.
func writeReview(w http.ResponseWriter, response *admissionv1.AdmissionResponse) error {
	buffer := answers.Get().(*bytes.Buffer)
	defer func() {
		if buffer.Cap() <= keptBuffer {
			answers.Put(buffer)
		}
	}()
	buffer.Reset()
	if plain, ok := appendPlain(buffer.AvailableBuffer(), response); ok {
		buffer.Write(plain)
	} else if err := json.NewEncoder(buffer).Encode(admissionv1.AdmissionReview{TypeMeta: reviewType, Response: response}); err != nil {
		// No value of these types fails to encode; the caller must not see half an answer.
		http.Error(w, "the answer could not be encoded", http.StatusInternalServerError)
		return err
	}
	header := w.Header()
	header["Content-Type"], header["X-Content-Type-Options"] = contentTypes, noSniff
	header["Content-Length"] = []string{strconv.Itoa(buffer.Len())}
	_, err := w.Write(buffer.Bytes())
	return err
}

// refuse answers outside the protocol, in one line of text.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, fault *httpError, start time.Time) {
	switch fault.code {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusRequestEntityTooLarge, http.StatusRequestTimeout:
		// The rest of the body is not worth reading.
		w.Header().Set("Connection", "close")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, fault.text, fault.code)
	h.Metrics.unusable(h.Path, fault.code, time.Since(start))
	h.Log.V(1).Info("unusable request", "path", h.Path, "code", fault.code, "reason", fault.text, "remote", r.RemoteAddr)
}

// refusedBy is the audit annotation that names the policies and bounds of a refusal.
const refusedBy = "refused-by"

// observe counts and logs a decided request.
func (h *handler) observe(request *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse, start time.Time) (verdict string, code int) {
	took := time.Since(start)
	verdict, code = verdictOf(response)
	h.Metrics.decided(h.Path, request, verdict, code, len(response.Patch), took)

	level, message := 1, "admitted"
	if !response.Allowed {
		level, message = 0, "refused"
	}
	log := h.Log.V(level)
	if !log.Enabled() {
		return verdict, code
	}
	values := []any{
		"path", h.Path, "uid", request.UID, "operation", request.Operation,
		"group", request.Kind.Group, "kind", request.Kind.Kind, "subresource", request.SubResource,
		"namespace", request.Namespace, "name", request.Name, "user", request.UserInfo.Username,
		"verdict", verdict, "code", code, "warnings", len(response.Warnings), "duration", took.String(),
	}
	if result := response.Result; result != nil {
		values = append(values, "reason", result.Reason)
		if result.Details != nil {
			values = append(values, "causes", len(result.Details.Causes))
		}
	}
	if by := response.AuditAnnotations[refusedBy]; by != "" {
		values = append(values, "refusedBy", by)
	}
	log.Info(message, values...)
	return verdict, code
}

// verdictOf names the verdict for metrics and logs; the code is the status that
// the API server hands on to its client.
func verdictOf(response *admissionv1.AdmissionResponse) (verdict string, code int) {
	code = http.StatusOK
	if response.Allowed {
		if len(response.Patch) > 0 {
			return verdictPatched, code
		}
		return verdictAllowed, code
	}
	code = http.StatusBadRequest
	if response.Result != nil && response.Result.Code >= http.StatusBadRequest {
		code = int(response.Result.Code)
	}
	if code >= http.StatusInternalServerError {
		return verdictError, code
	}
	return verdictDenied, code
}
