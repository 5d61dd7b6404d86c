package registration

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubetorch/webhook/pkg/metric"
)

// StateMetrics tell whether the configurations are as they are meant to be.
type StateMetrics struct{ gauge *prometheus.GaugeVec }

// NewStateMetrics registers the metrics.
func NewStateMetrics(registry prometheus.Registerer) (*StateMetrics, error) {
	m := &StateMetrics{gauge: metric.Registered.GaugeVec()}
	return m, metric.Register(registry, m.gauge)
}

func (m *StateMetrics) registered(kind string, is bool) {
	value := 0.0
	if is {
		value = 1
	}
	m.gauge.WithLabelValues(kind).Set(value)
}
