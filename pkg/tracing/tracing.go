// Package tracing sends OpenTelemetry traces of admissions to a collector. Nothing is
// traced, and nothing allocated for it, unless there is one.
package tracing

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	admissionv1 "k8s.io/api/admission/v1"
)

// The steps of an admission.
const (
	Decode  = "decode"  // the review is read and decoded
	Resolve = "resolve" // what the verdict depends on is read of the cluster
	Expand  = "expand"  // the mutating step
	Judge   = "judge"   // the validating step
	Charge  = "charge"  // budgets are charged
)

// ExportOptions say where traces go.
type ExportOptions struct {
	// Endpoint is the URL of an OTLP/HTTP collector, http://collector:4318 for example.
	// Without a path it is /v1/traces there.
	Endpoint string
	// Ratio is the part of the traces that begin here to send, from 0 to 1. Where the API
	// server's request belongs to a trace, that one's decision holds.
	Ratio float64
	// Version is that of the program.
	Version string
	// Instance names the process.
	Instance string
}

// Tracer traces admissions. Nil traces nothing.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// New starts a tracer. Spans are sent in the background; a collector that is away costs
// spans, never an admission.
func New(ctx context.Context, o ExportOptions) (*Tracer, error) {
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(o.Endpoint), otlptracehttp.WithTimeout(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("setting up traces to %s: %w", o.Endpoint, err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(o.Ratio))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "kubetorch-webhook"),
			attribute.String("service.version", o.Version),
			attribute.String("service.instance.id", o.Instance),
		)),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/kubetorch/webhook")}, nil
}

// Stop sends what is left, for at most a few seconds.
func (t *Tracer) Stop() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return t.provider.Shutdown(ctx)
}

// Admission is the span of one admission request. Nil is none.
type Admission struct{ span trace.Span }

var remote = propagation.TraceContext{}

// Admission begins the span of a request, as a child of the one that its header names.
func (t *Tracer) Admission(ctx context.Context, header http.Header, path string) (context.Context, *Admission) {
	if t == nil {
		return ctx, nil
	}
	ctx = remote.Extract(ctx, propagation.HeaderCarrier(header))
	ctx, span := t.tracer.Start(ctx, "admission "+path, trace.WithSpanKind(trace.SpanKindServer))
	if !span.IsRecording() {
		return ctx, nil
	}
	span.SetAttributes(attribute.String("url.path", path))
	return ctx, &Admission{span}
}

// Decided says what the request was about and what became of it. Attributes hold nothing
// of the object but its kind, namespace and name.
func (a *Admission) Decided(request *admissionv1.AdmissionRequest, verdict string, code int) {
	if a == nil {
		return
	}
	a.span.SetAttributes(
		attribute.String("admission.uid", string(request.UID)),
		attribute.String("admission.operation", string(request.Operation)),
		attribute.String("k8s.object.group", request.Kind.Group),
		attribute.String("k8s.object.kind", request.Kind.Kind),
		attribute.String("k8s.namespace.name", request.Namespace),
		attribute.String("k8s.object.name", request.Name),
		attribute.String("admission.verdict", verdict),
		attribute.Int("admission.code", code),
	)
	if code >= http.StatusInternalServerError {
		a.span.SetStatus(codes.Error, verdict)
	}
}

// Refused says that the request was answered outside the protocol.
func (a *Admission) Refused(code int) {
	if a != nil {
		a.span.SetAttributes(attribute.Int("http.response.status_code", code))
		a.span.SetStatus(codes.Error, http.StatusText(code))
	}
}

// End ends the span.
func (a *Admission) End() {
	if a != nil {
		a.span.End()
	}
}

var none trace.Span = noop.Span{}

// Step begins a part of what ctx traces, if it does. The caller ends it.
func Step(ctx context.Context, name string) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, none
	}
	return parent.TracerProvider().Tracer("github.com/kubetorch/webhook").Start(ctx, name)
}
