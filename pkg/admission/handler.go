package admission

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/semaphore"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/tracing"
)

// Decide gives the verdict on one request. It must not keep the request, nor the bytes of
// its objects, after it returned: they are overwritten. Its context ends when the API server stops waiting.
type Decide func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse

// Options are what [Handler] needs beside the verdict. The zero value works.
type Options struct {
	// Path is the label of the metrics and of the log lines, "/mutate" for example.
	Path string
	// Metrics counts requests. Nil counts nothing.
	Metrics *Metrics
	// Log gets one line per request at level 1, one per refusal at level 0 and the
	// stack of every panic. It never gets contents of an object.
	Log logr.Logger
	// MaxLarge is how many requests with a large body, or one of unknown length, are
	// read and decided at the same time; further ones wait for three quarters of their time
	// and get 429. It bounds the memory that callers can make the process hold; ordinary
	// requests never wait for a place. 0 means [DefaultMaxLarge].
	MaxLarge int
	// MaxValuesHeld is how many JSON values of reviews with more than some thousands are
	// decoded at the same time. 0 means [DefaultMaxValuesHeld]; below [MaxValues] it is that.
	MaxValuesHeld int
	// MaxConcurrent is how many requests are decided at the same time. All further ones are
	// answered with 429 under their uid, which holds whatever the failure policy; of those
	// above twice as many only the first bytes are kept. 0 means [DefaultMaxConcurrent].
	MaxConcurrent int
	// Caller says who may call; its error is answered with 403. Nil is anybody.
	Caller func(*http.Request) error
	// Tracer traces requests. Nil does not.
	Tracer *tracing.Tracer
}

const (
	// DefaultMaxLarge times [MaxBody], and as much again once decoded, is the most
	// that large bodies occupy.
	DefaultMaxLarge = 16
	// DefaultMaxConcurrent leaves room for many that wait for a slow API server, and keeps
	// what callers can make the process hold below its memory limit.
	DefaultMaxConcurrent = 512
	// largeBody is the length in bytes above which a body is large.
	largeBody = 128 << 10
	// defaultTimeout holds for callers that send no timeout; it is the API server's
	// own default.
	defaultTimeout = 10 * time.Second
	// maxTimeout is the longest timeout a webhook configuration can state.
	maxTimeout = 30 * time.Second
)

// Handler serves admission reviews, each decided by decide. A panic in decide is
// answered as a refusal with status 500, logged and counted.
func Handler(decide func(context.Context, *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse, o Options) http.Handler {
	if o.MaxLarge <= 0 {
		o.MaxLarge = DefaultMaxLarge
	}
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = DefaultMaxConcurrent
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	if o.MaxValuesHeld <= 0 {
		o.MaxValuesHeld = DefaultMaxValuesHeld
	}
	return &handler{
		decide: decide, Options: o, places: make(chan struct{}, o.MaxLarge),
		held: semaphore.NewWeighted(int64(max(o.MaxValuesHeld, MaxValues))),
	}
}

type handler struct {
	Options
	decide   Decide
	places   chan struct{}
	held     *semaphore.Weighted // JSON values
	inFlight atomic.Int64
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchange{w: w, r: r, control: http.NewResponseController(w), start: time.Now()}
	x.deadline = x.start.Add(timeout(r))
	// What was accepted is decided: only its own deadline ends it.
	ctx, span := h.Tracer.Admission(context.WithoutCancel(r.Context()), r.Header, h.Path)
	x.span = span
	defer span.End()
	// A body that trickles in must hold neither a place nor the connection for ever.
	// The server sets a new deadline before it reads the next request.
	_ = x.control.SetReadDeadline(x.deadline) // writers of tests have none

	flying := int(h.inFlight.Add(1))
	h.Metrics.flying(h.Path, 1)
	defer func() { h.inFlight.Add(-1); h.Metrics.flying(h.Path, -1) }()
	if fault := h.check(r); fault != nil {
		span.Refused(fault.code)
		h.refuseUnread(w, r, fault, x.start)
		return
	}
	if flying > 2*h.MaxConcurrent {
		span.Refused(http.StatusTooManyRequests)
		h.overloaded(w, r, x.start)
		return
	}
	if r.ContentLength < 0 || r.ContentLength > largeBody {
		if !h.enter(&x) {
			return
		}
		defer func() { <-h.places }()
	}
	body, request := h.read(ctx, &x)
	defer body.release() // the objects of the request are in it
	switch {
	case request == nil:
	case flying > h.MaxConcurrent:
		h.Metrics.reject(h.Path, rejectedAnswered)
		h.answer(&x, request, busy(tooMany))
	default:
		h.serve(ctx, &x, request, body.bytes)
	}
}

// exchange is one call, and where its answer goes.
type exchange struct {
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	span    *tracing.Admission
	// start is when it came, deadline when it is to be answered.
	start, deadline time.Time
}

// enter takes one of the places for large bodies, and answers where none becomes free in time.
func (h *handler) enter(x *exchange) bool {
	// The last part of the time is for the answer, for which some of the body is read.
	enough := time.NewTimer(time.Until(x.deadline) * 3 / 4)
	defer enough.Stop()
	select {
	case h.places <- struct{}{}:
		return true
	case <-enough.C:
		x.span.Refused(http.StatusTooManyRequests)
		h.overloaded(x.w, x.r, x.start)
		return false
	}
}

// read reads a request, and answers where that cannot be: then the request is nil.
func (h *handler) read(ctx context.Context, x *exchange) (body, *admissionv1.AdmissionRequest) {
	_, step := tracing.Step(ctx, tracing.Decode)
	var request *admissionv1.AdmissionRequest
	b, unread := readBody(x.r)
	fault := unread
	if unread == nil {
		request, fault = decode(b.bytes)
	}
	step.End()
	if fault == nil {
		return b, request
	}
	x.span.Refused(fault.code)
	if unread != nil {
		h.refuseUnder(x.w, x.r, headUID(b.head()), fault, x.start)
	} else {
		h.refuse(x.w, x.r, fault, x.start)
	}
	return b, nil
}

// serve decides and answers, by the deadline.
func (h *handler) serve(ctx context.Context, x *exchange, request *admissionv1.AdmissionRequest, body []byte) {
	_ = x.control.SetReadDeadline(time.Time{}) // the server now watches for the caller going away
	ctx, cancel := context.WithDeadline(ctx, x.deadline)
	defer cancel()
	decided := make(chan *admissionv1.AdmissionResponse, 1)
	go func() {
		decided <- h.safely(request, func() *admissionv1.AdmissionResponse {
			release, refused := h.hold(ctx, body)
			if refused != nil {
				return refused
			}
			defer release()
			return h.decide(ctx, request)
		})
	}()
	select {
	case response := <-decided:
		h.answer(x, request, response)
	case <-ctx.Done():
		h.answer(x, request, busy(noTime))
		_ = x.control.Flush()
		// What goes on beyond its deadline keeps its place, and its objects, until it ends.
		<-decided
	}
}

// answer sends a verdict, and tells what it was.
func (h *handler) answer(x *exchange, request *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse) {
	response.UID = request.UID
	if err := writeReview(x.w, response); err != nil {
		h.Log.V(1).Info("the answer did not reach the caller", "path", h.Path, "uid", request.UID, "error", err.Error())
	}
	verdict, code := h.observe(request, response, x.start)
	x.span.Decided(request, verdict, code)
}

// check refuses what need not be read at all.
func (h *handler) check(r *http.Request) *httpError {
	if h.Caller != nil {
		if err := h.Caller(r); err != nil {
			return &httpError{http.StatusForbidden, err.Error()}
		}
	}
	return checkHeader(r)
}

// safely decides and turns a panic, or no verdict at all, into a refusal.
func (h *handler) safely(request *admissionv1.AdmissionRequest, decide func() *admissionv1.AdmissionResponse) (response *admissionv1.AdmissionResponse) {
	defer func() {
		if cause := recover(); cause != nil {
			h.Metrics.panicked(h.Path)
			h.Log.Error(nil, "panic while deciding", "path", h.Path, "uid", request.UID,
				"panic", describePanic(cause), "stack", string(debug.Stack()))
			response = internalError(request)
		}
	}()
	if response = decide(); response == nil {
		h.Log.Error(nil, "no verdict", "path", h.Path, "uid", request.UID)
		response = internalError(request)
	}
	return response
}

// describePanic keeps values that might quote an object out of the log: only
// faults that the Go runtime worded itself are told in full.
func describePanic(cause any) string {
	if fault, ok := cause.(runtime.Error); ok {
		return fault.Error()
	}
	return fmt.Sprintf("%T", cause)
}

func internalError(request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{
		Status: metav1.StatusFailure,
		Code:   http.StatusInternalServerError,
		Reason: metav1.StatusReasonInternalError,
		Message: fmt.Sprintf("internal error in kubetorch-webhook, nothing was decided; "+
			"its log has the details under uid %s", request.UID),
	}}
}

// timeout is how long the API server waits, less a little, so that the answer
// "no time left" arrives before it gives up.
func timeout(r *http.Request) time.Duration {
	text, only := strings.CutPrefix(r.URL.RawQuery, "timeout=") // as API servers write it
	if !only || strings.ContainsAny(text, "&;%+") {
		text = r.URL.Query().Get("timeout")
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait <= 0 {
		wait = defaultTimeout
	}
	wait = min(wait, maxTimeout)
	return wait - min(wait/10, 200*time.Millisecond)
}
