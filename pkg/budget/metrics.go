package budget

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what happens to ledgers. A nil *Metrics counts nothing.
type Metrics struct {
	writes  *prometheus.CounterVec
	charges *prometheus.CounterVec
}

// NewMetrics makes the counters and registers them.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubetorch_webhook_budget_writes_total",
			Help: "Writes of a GPUBudget's ledger by admissions, by budget and result (stored, conflict, error).",
		}, []string{"budget", "result"}),
		charges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubetorch_webhook_budget_charges_total",
			Help: "Admissions charged to a GPUBudget; divided by the stored writes it is how many share one.",
		}, []string{"budget"}),
	}
	for _, c := range []prometheus.Collector{m.writes, m.charges} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) wrote(budget string, admissions int, err error) {
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
