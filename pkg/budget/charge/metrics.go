package charge

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubetorch/webhook/pkg/metric"
)

// WriteMetrics count what happens to ledgers. A nil *WriteMetrics counts nothing.
type WriteMetrics struct {
	writes  *prometheus.CounterVec
	charges *prometheus.CounterVec
	asked   *prometheus.CounterVec
}

// NewWriteMetrics makes the counters and registers them.
func NewWriteMetrics(registry prometheus.Registerer) (*WriteMetrics, error) {
	m := &WriteMetrics{writes: metric.BudgetWrites.CounterVec(), charges: metric.BudgetCharges.CounterVec(), asked: metric.BudgetForwarded.CounterVec()}
	if err := metric.Register(registry, m.writes, m.charges, m.asked); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *WriteMetrics) wrote(budget string, admissions int, err error) {
	if m == nil {
		return
	}
	switch {
	case err == nil:
		m.writes.WithLabelValues(budget, "stored").Inc()
		m.charges.WithLabelValues(budget).Add(float64(admissions))
	case apierrors.IsConflict(err):
		m.writes.WithLabelValues(budget, "conflict").Inc()
	default:
		m.writes.WithLabelValues(budget, "error").Inc()
	}
}

func (m *WriteMetrics) forwarded(budget string, err error) {
	switch {
	case m == nil:
	case err == nil:
		m.asked.WithLabelValues(budget, "answered").Inc()
	default:
		m.asked.WithLabelValues(budget, "error").Inc()
	}
}
