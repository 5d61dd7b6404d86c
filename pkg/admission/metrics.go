package admission

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The values of the label verdict.
const (
	verdictAllowed  = "allowed"  // admitted as it is
	verdictPatched  = "patched"  // admitted with changes
	verdictDenied   = "denied"   // refused for what it asks
	verdictError    = "error"    // refused because no verdict could be reached
	verdictUnusable = "unusable" // not an admission review at all, answered 4xx or 503
)

// Metrics are the counters of all handlers of a process. It is a
// prometheus.Collector; the caller registers it, once. A nil *Metrics counts
// nothing.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	panics   *prometheus.CounterVec
}

// NewMetrics makes the counters, with a row for each of the paths from the start
// so that rates are right from the first request.
func NewMetrics(paths ...string) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubetorch_webhook_admission_requests_total",
			Help: "Admission requests by path, verdict (allowed, patched, denied, error, unusable) and status code.",
		}, []string{"path", "verdict", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kubetorch_webhook_admission_duration_seconds",
			Help: "Time from the header of an admission request to its answer.",
			Buckets: []float64{
				.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 3,
			},
		}, []string{"path"}),
		panics: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubetorch_webhook_admission_panics_total",
			Help: "Panics while deciding; each was answered as a refusal with status 500.",
		}, []string{"path"}),
	}
	for _, path := range paths {
		m.requests.WithLabelValues(path, verdictAllowed, "200")
		m.duration.WithLabelValues(path)
		m.panics.WithLabelValues(path)
	}
	return m
}

// Describe is part of prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	m.requests.Describe(out)
	m.duration.Describe(out)
	m.panics.Describe(out)
}

// Collect is part of prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.requests.Collect(out)
	m.duration.Collect(out)
	m.panics.Collect(out)
}

func (m *Metrics) observe(path, verdict string, code int, took time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(path, verdict, strconv.Itoa(code)).Inc()
	m.duration.WithLabelValues(path).Observe(took.Seconds())
}

func (m *Metrics) panicked(path string) {
	if m == nil {
		return
	}
	m.panics.WithLabelValues(path).Inc()
}
