package controller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/metric"
)

// AuditMetrics tell what audits find. Only the replica that leads has them.
type AuditMetrics struct {
	violations *prometheus.GaugeVec
	exemptions *prometheus.GaugeVec
	duration   prometheus.Histogram
	failures   prometheus.Counter
	success    prometheus.Gauge
	// shown are the rows of violations.
	shown map[row]float64
}

type row struct{ policy, bound, enforcement string }

// NewAuditMetrics registers the metrics.
func NewAuditMetrics(registry prometheus.Registerer) (*AuditMetrics, error) {
	m := &AuditMetrics{
		violations: metric.PolicyViolations.GaugeVec(), exemptions: metric.PolicyExemptionsEnded.GaugeVec(), duration: metric.AuditDuration.Histogram(),
		failures: metric.AuditFailures.Counter(), success: metric.AuditSuccess.Gauge(),
	}
	if err := metric.Register(registry, m.violations, m.exemptions, m.duration, m.failures, m.success); err != nil {
		return nil, err
	}
	return m, nil
}

// found sets the gauges, with 0 for every bound that nothing breaks.
func (m *AuditMetrics) found(r audit.Report, at time.Time) {
	now := map[row]float64{}
	m.exemptions.Reset()
	for _, d := range r.Policies {
		m.exemptions.WithLabelValues(d.Name).Set(float64(len(d.Ended(at))))
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
func (m *AuditMetrics) show(now map[row]float64) {
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

func (m *AuditMetrics) ended(took time.Duration, now time.Time, success bool) {
	m.duration.Observe(took.Seconds())
	if !success {
		m.failures.Inc()
		return
	}
	m.success.Set(float64(now.Unix()))
}

func (m *AuditMetrics) forget() {
	m.show(nil)
	m.exemptions.Reset()
	m.success.Set(0)
}
