package controller

import (
	"encoding/json"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/metric"
)

// LedgerMetrics show the budgets; only the replica that counts has them. A nil *LedgerMetrics shows
// nothing.
type LedgerMetrics struct {
	gpus         *prometheus.GaugeVec
	reservations *prometheus.GaugeVec
	workloads    *prometheus.GaugeVec
	bytes        *prometheus.GaugeVec
}

// NewLedgerMetrics makes the gauges and registers them.
func NewLedgerMetrics(registry prometheus.Registerer) (*LedgerMetrics, error) {
	m := &LedgerMetrics{
		gpus: metric.BudgetGPUs.GaugeVec(), reservations: metric.BudgetReservations.GaugeVec(), workloads: metric.BudgetWorkloads.GaugeVec(),
		bytes: metric.BudgetBytes.GaugeVec(),
	}
	if err := metric.Register(registry, m.gpus, m.reservations, m.workloads, m.bytes); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *LedgerMetrics) show(b *v1alpha1.GPUBudget) {
	if m == nil || b.Spec.Max == nil {
		return
	}
	for state, n := range map[string]int64{"max": *b.Spec.Max, "used": b.Status.Used, "reserved": b.Status.Reserved,
		"overlap": b.Status.Overlap, "available": b.Status.Available} {
		m.gpus.WithLabelValues(b.Name, state).Set(float64(n))
	}
	if flying, err := ledger.InFlight(&b.Status); err == nil {
		all, _ := flying.Reservations("")
		m.reservations.WithLabelValues(b.Name).Set(float64(all))
	}
	m.workloads.WithLabelValues(b.Name).Set(float64(b.Status.Workloads))
	if text, err := json.Marshal(b); err == nil {
		m.bytes.WithLabelValues(b.Name).Set(float64(len(text)))
	}
}

func (m *LedgerMetrics) gone(name string) {
	if m != nil {
		for _, v := range []*prometheus.GaugeVec{m.gpus, m.reservations, m.workloads, m.bytes} {
			v.DeletePartialMatch(prometheus.Labels{"budget": name})
		}
	}
}

func (m *LedgerMetrics) forget() {
	if m != nil {
		m.gpus.Reset()
		m.reservations.Reset()
		m.workloads.Reset()
		m.bytes.Reset()
	}
}
