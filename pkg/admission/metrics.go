package admission

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/metric"
)

// The values of the label verdict.
const (
	verdictAllowed  = "allowed"  // admitted as it is
	verdictPatched  = "patched"  // admitted with changes
	verdictDenied   = "denied"   // refused for what it asks
	verdictError    = "error"    // refused because no verdict could be reached
	verdictUnusable = "unusable" // not an admission review at all, answered 4xx or 503
)

// The values of the label how.
const (
	rejectedAnswered = "answered" // in the protocol, with the uid
	rejectedUnread   = "unread"   // with an HTTP status
)

// Metrics are the counters of all handlers of a process. It is a
// prometheus.Collector; the caller registers it, once. A nil *Metrics counts
// nothing.
type Metrics struct {
	requests, rejected, panics *prometheus.CounterVec
	duration, patch            *prometheus.HistogramVec
	inFlight                   *prometheus.GaugeVec
	paths                      map[string]pathMetrics

	mu sync.RWMutex
	// counters are those of requests; looking one up by its labels takes longer.
	counters map[decided]prometheus.Counter
}

// decided are the labels of a request that got an answer in the protocol.
type decided struct{ path, operation, kind, verdict, status string }

// counter is the one of some labels.
func (m *Metrics) counter(d decided) prometheus.Counter {
	m.mu.RLock()
	c := m.counters[d]
	m.mu.RUnlock()
	if c == nil {
		c = m.requests.WithLabelValues(d.path, d.operation, d.kind, d.verdict, d.status)
		m.mu.Lock()
		m.counters[d] = c
		m.mu.Unlock()
	}
	return c
}

// pathMetrics are the metrics of one path.
type pathMetrics struct {
	duration, patch prometheus.Observer
	inFlight        prometheus.Gauge
}

// of are the metrics of a path.
func (m *Metrics) of(path string) pathMetrics {
	if known, ok := m.paths[path]; ok {
		return known
	}
	return pathMetrics{m.duration.WithLabelValues(path), m.patch.WithLabelValues(path), m.inFlight.WithLabelValues(path)}
}

// NewMetrics makes the counters, with a row for each of the paths from the start
// so that rates are right from the first request.
func NewMetrics(paths ...string) *Metrics {
	m := &Metrics{
		requests: metric.AdmissionRequests.CounterVec(), rejected: metric.AdmissionRejected.CounterVec(),
		panics: metric.AdmissionPanics.CounterVec(), duration: metric.AdmissionDuration.HistogramVec(),
		patch: metric.AdmissionPatchSize.HistogramVec(), inFlight: metric.AdmissionInFlight.GaugeVec(),
		counters: map[decided]prometheus.Counter{},
	}
	known := make(map[string]pathMetrics, len(paths))
	for _, path := range paths {
		known[path] = m.of(path)
		m.panics.WithLabelValues(path)
		m.rejected.WithLabelValues(path, rejectedAnswered)
		m.rejected.WithLabelValues(path, rejectedUnread)
	}
	m.paths = known
	return m
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.rejected, m.panics, m.duration, m.patch, m.inFlight}
}

// Describe is part of prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(out)
	}
}

// Collect is part of prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(out)
	}
}

// decided counts a request that got an answer in the protocol.
func (m *Metrics) decided(path string, request *admissionv1.AdmissionRequest, verdict string, code, patch int, took time.Duration) {
	if m == nil {
		return
	}
	m.counter(decided{path, operation(request.Operation), kind(request.Kind), verdict, status(code)}).Inc()
	of := m.of(path)
	of.duration.Observe(took.Seconds())
	if patch > 0 {
		of.patch.Observe(float64(patch))
	}
}

// unusable counts a request that was answered outside the protocol.
func (m *Metrics) unusable(path string, code int, took time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(path, "", "", verdictUnusable, status(code)).Inc()
	m.duration.WithLabelValues(path).Observe(took.Seconds())
}

func (m *Metrics) panicked(path string) {
	if m != nil {
		m.panics.WithLabelValues(path).Inc()
	}
}

func (m *Metrics) reject(path, how string) {
	if m != nil {
		m.rejected.WithLabelValues(path, how).Inc()
	}
}

func (m *Metrics) flying(path string, by float64) {
	if m != nil {
		m.of(path).inFlight.Add(by)
	}
}

// Label values come from callers, so that only those known here are taken over.
var (
	operations = map[admissionv1.Operation]string{
		admissionv1.Create: "CREATE", admissionv1.Update: "UPDATE", admissionv1.Delete: "DELETE", admissionv1.Connect: "CONNECT",
	}
	groups = map[string]string{
		"Service": "serving.knative.dev", "Configuration": "serving.knative.dev", "Revision": "serving.knative.dev", "Route": "serving.knative.dev",
		"PodAutoscaler": "autoscaling.internal.knative.dev", "Deployment": "apps", "Scale": "autoscaling",
		"ComputePolicy": "policy.kubetorch.com", "GPUBudget": "policy.kubetorch.com",
	}
)

const other = "other"

func operation(o admissionv1.Operation) string {
	if known := operations[o]; known != "" {
		return known
	}
	return other
}

func kind(k metav1.GroupVersionKind) string {
	if group, known := groups[k.Kind]; known && group == k.Group {
		return k.Kind
	}
	return other
}

// status is a code as a label, without allocating for the usual ones.
func status(code int) string {
	switch code {
	case http.StatusOK:
		return "200"
	case http.StatusForbidden:
		return "403"
	case http.StatusUnprocessableEntity:
		return "422"
	case http.StatusTooManyRequests:
		return "429"
	}
	return strconv.Itoa(code)
}
