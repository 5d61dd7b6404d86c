package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/kubetorch/webhook/pkg/tracing"
)

// collect is an OTLP/HTTP collector.
type collect struct {
	mu    sync.Mutex
	spans []*traces.Span
	raw   []byte
}

func (c *collect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(body, &request) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, body...)
	for _, r := range request.ResourceSpans {
		for _, s := range r.ScopeSpans {
			c.spans = append(c.spans, s.Spans...)
		}
	}
}

func TestTracesOfAdmissionsReachACollector(t *testing.T) {
	received := &collect{}
	server := httptest.NewServer(received)
	defer server.Close()
	tracer, err := tracing.New(t.Context(), tracing.ExportOptions{Endpoint: server.URL, Ratio: 1, Version: "v1", Instance: "pod-1"})
	require.NoError(t, err)
	r := startWith(t, 0, HTTPOptions{Tracer: tracer})

	const secret = "s3cret-value"
	var review admissionv1.AdmissionReview
	review.APIVersion, review.Kind, review.Request = "admission.k8s.io/v1", "AdmissionReview", service(t, labelled)
	review.Request.Object.Raw = []byte(strings.Replace(string(review.Request.Object.Raw), `"image":`, `"env":[{"name":"TOKEN","value":"`+secret+`"}],"image":`, 1))
	for _, path := range []string{MutatePath, ValidatePath} {
		code, body := r.do(t, http.MethodPost, path, review)
		require.Equal(t, 200, code, body)
	}
	code, _ := r.do(t, http.MethodGet, MutatePath, nil)
	require.Equal(t, 405, code)
	r.stop()
	r.await(t, 2*time.Second)
	require.NoError(t, tracer.Stop())

	received.mu.Lock()
	defer received.mu.Unlock()
	names := map[string]string{}
	for _, s := range received.spans {
		names[string(s.SpanId)] = s.Name
	}
	tree := map[string][]string{}
	for _, s := range received.spans {
		parent := names[string(s.ParentSpanId)]
		tree[parent] = append(tree[parent], s.Name)
		assert.LessOrEqual(t, s.StartTimeUnixNano, s.EndTimeUnixNano)
	}
	assert.ElementsMatch(t, []string{"admission /mutate", "admission /validate", "admission /mutate"}, tree[""])
	assert.ElementsMatch(t, []string{"decode", "resolve", "expand"}, tree["admission /mutate"])
	assert.ElementsMatch(t, []string{"decode", "resolve", "judge", "charge"}, tree["admission /validate"])

	attributes := map[string]bool{}
	for _, s := range received.spans {
		for _, a := range s.Attributes {
			attributes[a.Key] = true
		}
	}
	assert.Equal(t, map[string]bool{
		"url.path": true, "admission.uid": true, "admission.operation": true, "admission.verdict": true, "admission.code": true,
		"k8s.object.group": true, "k8s.object.kind": true, "k8s.namespace.name": true, "k8s.object.name": true, "http.response.status_code": true,
	}, attributes)
	assert.NotContains(t, string(received.raw), secret)
	assert.Contains(t, string(received.raw), "pod-1")
}

func TestATraceOfTheAPIServerIsContinued(t *testing.T) {
	received := &collect{}
	server := httptest.NewServer(received)
	defer server.Close()
	tracer, err := tracing.New(t.Context(), tracing.ExportOptions{Endpoint: server.URL, Ratio: 0})
	require.NoError(t, err)
	for _, parent := range []string{"", "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"} {
		_, span := tracer.Admission(t.Context(), http.Header{"Traceparent": {parent}}, MutatePath)
		span.End()
	}
	require.NoError(t, tracer.Stop())
	require.Len(t, received.spans, 1, "the other one is not sampled")
	assert.Equal(t, []byte{1, 2, 3, 4, 5, 6, 7, 8}, received.spans[0].ParentSpanId)
}

func TestWithoutTracesNothingIsAllocatedForThem(t *testing.T) {
	var none *tracing.Tracer
	header := http.Header{"Traceparent": {"00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"}}
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		ctx, span := none.Admission(t.Context(), header, MutatePath)
		_, step := tracing.Step(ctx, tracing.Judge)
		step.End()
		span.Decided(nil, "", 0)
		span.End()
	}))
}
