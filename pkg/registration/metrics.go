package registration

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubetorch/webhook/pkg/metric"
)

// Metrics tell whether the configurations are as they are meant to be.
type Metrics struct{ gauge *prometheus.GaugeVec }

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{gauge: metric.Registered.GaugeVec()}
	return m, metric.Register(registry, m.gauge)
}

func (m *Metrics) registered(kind string, is bool) {
	value := 0.0
	if is {
		value = 1
	}
	m.gauge.WithLabelValues(kind).Set(value)
}
