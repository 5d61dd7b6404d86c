package audit

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubetorch/webhook/pkg/audit"
)

// Metrics tell what audits find. Only the replica that leads has them.
type Metrics struct {
	violations *prometheus.GaugeVec
	duration   prometheus.Histogram
	failures   prometheus.Counter
	success    prometheus.Gauge
	// shown are the rows of violations.
	shown map[row]float64
}

type row struct{ policy, bound, enforcement string }

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		violations: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubetorch_webhook_policy_violations",
			Help: "Objects that break a bound, as the last audit found them. Only the replica that audits has a value.",
		}, []string{"policy", "bound", "enforcement"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "kubetorch_webhook_audit_duration_seconds",
			Help:    "How long an audit takes.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300},
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kubetorch_webhook_audit_failures_total",
			Help: "Audits that could not read the cluster or write what they found.",
		}),
		success: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kubetorch_webhook_audit_last_success_timestamp_seconds",
			Help: "When the last audit of this replica ended well, in Unix seconds; 0 for none.",
		}),
	}
	for _, c := range []prometheus.Collector{m.violations, m.duration, m.failures, m.success} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

// found sets the gauges, with 0 for every bound that nothing breaks.
func (m *Metrics) found(r audit.Report) {
	now := map[row]float64{}
	for _, d := range r.Policies {
		for _, b := range d.Bounds {
			now[row{d.Name, b.Bound, string(b.Enforcement)}] = 0
		}
	}
	for _, f := range r.Findings {
		now[row{f.Policy, f.Bound, string(f.Enforcement)}]++
	}
	m.show(now)
}

// show replaces the rows; one that stays is never absent in between.
func (m *Metrics) show(now map[row]float64) {
	for r, n := range now {
		m.violations.WithLabelValues(r.policy, r.bound, r.enforcement).Set(n)
	}
	for r := range m.shown {
		if _, stays := now[r]; !stays {
			m.violations.DeleteLabelValues(r.policy, r.bound, r.enforcement)
		}
	}
	m.shown = now
}

func (m *Metrics) ended(took time.Duration, now time.Time, success bool) {
	m.duration.Observe(took.Seconds())
	if !success {
		m.failures.Inc()
		return
	}
	m.success.Set(float64(now.Unix()))
}

func (m *Metrics) forget() {
	m.show(nil)
	m.success.Set(0)
}
