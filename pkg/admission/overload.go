package admission

import (
	"bytes"
	"io"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A refusal outside the admission protocol is an error to the API server, and an entry with
// failurePolicy Ignore admits then. So whatever cannot be decided for lack of places, memory
// or time, or cannot be read, is answered inside the protocol, under the request's uid.

const (
	// headBytes is how much of a body is read to find the uid: API servers write it first.
	headBytes = 512
	// mostDrained is more than API servers send at all: what an object takes in a request and in etcd, each six times
	// as long in JSON.
	mostDrained = 64 << 20
	// longestUID is more than the length of a UUID.
	longestUID = 64
)

var uidStart = []byte(`"request":{"uid":"`)

// headUID finds the uid in the first bytes of an AdmissionReview as API servers write it;
// empty if it is not there.
func headUID(head []byte) types.UID {
	_, rest, found := bytes.Cut(head, uidStart)
	end := bytes.IndexByte(rest, '"')
	if !found || end <= 0 || end > longestUID || bytes.ContainsRune(rest[:end], '\\') {
		return ""
	}
	return types.UID(rest[:end])
}

// overloaded answers a request whose body is not kept: 429 under its uid, or as an HTTP
// status if the uid is not where API servers write it. The rest of the body is thrown away as
// it arrives, so that the caller gets to read the answer.
func (h *handler) overloaded(w http.ResponseWriter, r *http.Request, start time.Time) {
	head := make([]byte, headBytes)
	n, err := io.ReadFull(r.Body, head)
	uid := headUID(head[:n])
	if uid == "" {
		h.Metrics.reject(h.Path, rejectedUnread)
		h.refuse(w, r, &httpError{http.StatusTooManyRequests, tooMany}, start)
		return
	}
	if err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, MaxBody)) // what is broken off gets its answer all the same
	}
	h.Metrics.reject(h.Path, rejectedAnswered)
	response := busy(tooMany)
	response.UID = uid
	if err := writeReview(w, response); err != nil {
		h.Log.V(1).Info("the answer did not reach the caller", "path", h.Path, "uid", uid, "error", err.Error())
	}
	h.Metrics.unusable(h.Path, http.StatusTooManyRequests, time.Since(start))
	h.Log.V(1).Info("refused above the limit of concurrent requests", "path", h.Path, "uid", uid)
}

// refuseUnread refuses what the header of a request shows to be unusable. Of a body that is too large only the uid is
// kept.
func (h *handler) refuseUnread(w http.ResponseWriter, r *http.Request, fault *httpError, start time.Time) {
	if fault != tooLarge {
		h.refuse(w, r, fault, start)
		return
	}
	head := make([]byte, headBytes)
	n, _ := io.ReadFull(r.Body, head) // without a uid it is refused all the same
	h.refuseUnder(w, r, headUID(head[:n]), fault, start)
}

// refuseUnder refuses what cannot be read under its uid, or as an HTTP status if that is not where API servers
// write it. The rest of the body is thrown away as it arrives.
func (h *handler) refuseUnder(w http.ResponseWriter, r *http.Request, uid types.UID, fault *httpError, start time.Time) {
	if uid == "" {
		h.refuse(w, r, fault, start)
		return
	}
	_, err := io.Copy(io.Discard, io.LimitReader(r.Body, mostDrained))
	if err != nil || fault != tooLarge {
		w.Header().Set("Connection", "close")
	}
	response := unread(fault)
	response.UID = uid
	if err := writeReview(w, response); err != nil {
		h.Log.V(1).Info("the answer did not reach the caller", "path", h.Path, "uid", uid, "error", err.Error())
	}
	h.Metrics.unusable(h.Path, fault.code, time.Since(start))
	h.Log.V(1).Info("refused unread", "path", h.Path, "uid", uid, "code", fault.code, "reason", fault.text)
}

// unread is the refusal of a review that was not read to its end.
func unread(fault *httpError) *admissionv1.AdmissionResponse {
	if fault != tooLarge {
		return busy(noTime)
	}
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusRequestEntityTooLarge, Reason: metav1.StatusReasonRequestEntityTooLarge,
		Message: "the object, with its earlier state on an update, takes more than the 7 MiB of JSON that kubetorch-webhook reads, " +
			"in which each <, > and & takes six bytes: take out environment, annotations or other texts",
	}}
}

const (
	tooMany = "too many requests at the same time"
	noTime  = "no time left to decide"
)

// busy refuses what a client may try again a moment later.
func busy(why string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests,
		Message: "kubetorch-webhook has " + why + ", please retry",
		Details: &metav1.StatusDetails{RetryAfterSeconds: 1},
	}}
}
