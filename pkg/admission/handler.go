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
	start := time.Now()
	deadline := start.Add(timeout(r))
	// What was accepted is decided: only its own deadline ends it.
	ctx, span := h.Tracer.Admission(context.WithoutCancel(r.Context()), r.Header, h.Path)
	defer span.End()
	// A body that trickles in must hold neither a place nor the connection for ever.
	// The server sets a new deadline before it reads the next request.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(deadline) // writers of tests have none

	flying := int(h.inFlight.Add(1))
	h.Metrics.flying(h.Path, 1)
	defer func() { h.inFlight.Add(-1); h.Metrics.flying(h.Path, -1) }()
	if fault := h.check(r); fault != nil {
		span.Refused(fault.code)
		h.refuseUnread(w, r, fault, start)
		return
	}
	if flying > 2*h.MaxConcurrent {
		span.Refused(http.StatusTooManyRequests)
		h.overloaded(w, r, start)
		return
	}
	if r.ContentLength < 0 || r.ContentLength > largeBody {
		// The last part of the time is for the answer, for which some of the body is read.
		enough := time.NewTimer(time.Until(deadline) * 3 / 4)
		defer enough.Stop()
		select {
		case h.places <- struct{}{}:
			defer func() { <-h.places }()
		case <-enough.C:
			span.Refused(http.StatusTooManyRequests)
			h.overloaded(w, r, start)
			return
		}
	}
	_, step := tracing.Step(ctx, tracing.Decode)
	body, fault := readBody(r)
	defer body.release() // the objects of the request are in it
	if fault != nil {
		step.End()
		span.Refused(fault.code)
		h.refuseUnder(w, r, headUID(body.head()), fault, start)
		return
	}
	request, fault := decode(body.bytes)
	step.End()
	if fault != nil {
		span.Refused(fault.code)
		h.refuse(w, r, fault, start)
		return
	}

	if flying > h.MaxConcurrent {
		h.Metrics.reject(h.Path, rejectedAnswered)
		h.answer(w, request, busy(tooMany), start, span)
		return
	}
	_ = control.SetReadDeadline(time.Time{}) // the server now watches for the caller going away
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	decided := make(chan *admissionv1.AdmissionResponse, 1)
	go func() {
		decided <- h.safely(request, func() *admissionv1.AdmissionResponse {
			release, refused := h.hold(ctx, body.bytes)
			if refused != nil {
				return refused
			}
			defer release()
			return h.decide(ctx, request)
		})
	}()
	select {
	case response := <-decided:
		h.answer(w, request, response, start, span)
	case <-ctx.Done():
		h.answer(w, request, busy(noTime), start, span)
		_ = control.Flush()
		// What goes on beyond its deadline keeps its place, and its objects, until it ends.
		<-decided
	}
}

// answer sends a verdict, and tells what it was.
func (h *handler) answer(w http.ResponseWriter, request *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse, start time.Time, span *tracing.Admission) {
	response.UID = request.UID
	if err := writeReview(w, response); err != nil {
		h.Log.V(1).Info("the answer did not reach the caller", "path", h.Path, "uid", request.UID, "error", err.Error())
	}
	verdict, code := h.observe(request, response, start)
	span.Decided(request, verdict, code)
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
