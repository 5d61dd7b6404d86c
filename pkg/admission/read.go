package admission

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync"

	admissionv1 "k8s.io/api/admission/v1"
	kjson "sigs.k8s.io/json"
)

// MaxBody is the largest body that is read, in bytes: more than twice what etcd
// stores for one object, since an update carries the old and the new one.
const MaxBody = 7 << 20

// httpError is an answer outside the admission protocol: a 4xx or 5xx with one
// line of text.
type httpError struct {
	code int
	text string
}

func badRequest(text string) *httpError { return &httpError{http.StatusBadRequest, text} }

var tooLarge = &httpError{http.StatusRequestEntityTooLarge, "the body is larger than 7 MiB"}

// checkHeader refuses what need not be read at all.
func checkHeader(r *http.Request) *httpError {
	if r.Method != http.MethodPost {
		return &httpError{http.StatusMethodNotAllowed, "only POST is served here"}
	}
	if kind := r.Header.Get("Content-Type"); kind != mediaType && !isJSON(kind) {
		return &httpError{http.StatusUnsupportedMediaType, "the Content-Type must be application/json"}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return &httpError{http.StatusUnsupportedMediaType, "a Content-Encoding is not supported"}
	}
	if r.ContentLength > MaxBody {
		return tooLarge
	}
	return nil
}

const mediaType = "application/json"

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == mediaType
}

const (
	firstBuffer = 32 << 10
	// keptBuffer is the largest buffer that goes back to the pool; a rare large
	// request must not make the process large for good.
	keptBuffer = 1 << 20
)

var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, firstBuffer)
	return &b
}}

// body is a request's body in a borrowed buffer.
type body struct {
	bytes  []byte
	buffer *[]byte
}

// head is the part in which API servers write the uid.
func (b body) head() []byte { return b.bytes[:min(len(b.bytes), headBytes)] }

// release gives the buffer back. Nothing may point into it any more.
func (b body) release() {
	if cap(b.bytes) <= keptBuffer {
		*b.buffer = b.bytes[:0]
	}
	buffers.Put(b.buffer)
}

// readBody reads at most MaxBody bytes and one more to see that there are more. The
// buffer grows with what arrives, never with what a header promises. With a fault it is what was read
// until then.
func readBody(r *http.Request) (body, *httpError) {
	b := body{buffer: buffers.Get().(*[]byte)}
	b.bytes = (*b.buffer)[:0]
	for {
		if len(b.bytes) == cap(b.bytes) {
			grown := make([]byte, len(b.bytes), min(2*cap(b.bytes), MaxBody+1))
			copy(grown, b.bytes)
			b.bytes = grown
		}
		n, err := r.Body.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case len(b.bytes) > MaxBody:
			return b, tooLarge
		case errors.Is(err, io.EOF):
			if len(b.bytes) == 0 {
				return b, badRequest("the body is empty")
			}
			return b, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return b, &httpError{http.StatusRequestTimeout, "the body did not arrive in time"}
		case err != nil:
			return b, badRequest("the body could not be read to its end")
		}
	}
}

// decode reads the envelope. The objects in the result are parts of data.
func decode(data []byte) (*admissionv1.AdmissionRequest, *httpError) {
	if request, ok := scan(data); ok {
		return request, nil
	}
	return decodeAny(data)
}

// decodeAny reads an envelope that may be out of the ordinary.
func decodeAny(data []byte) (*admissionv1.AdmissionRequest, *httpError) {
	var review admissionv1.AdmissionReview
	duplicates, err := kjson.UnmarshalStrict(data, &review, kjson.DisallowDuplicateFields)
	switch {
	case err != nil:
		return nil, badRequest("the body is not a JSON AdmissionReview: " + oneLine(err.Error()))
	case len(duplicates) > 0:
		return nil, badRequest("the AdmissionReview is ambiguous: " + oneLine(duplicates[0].Error()))
	case review.APIVersion != admissionv1.SchemeGroupVersion.String() || review.Kind != "AdmissionReview":
		return nil, badRequest("the body must be an AdmissionReview of admission.k8s.io/v1")
	case review.Request == nil:
		return nil, badRequest("the AdmissionReview has no request")
	case review.Request.UID == "":
		return nil, badRequest("the AdmissionReview's request has no uid")
	}
	return review.Request, nil
}

// oneLine bounds and flattens a decoder's words, which may quote what was sent.
func oneLine(text string) string {
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
