package budgets

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// Metrics show the budgets; only the replica that counts has them. A nil *Metrics shows
// nothing.
type Metrics struct {
	gpus         *prometheus.GaugeVec
	reservations *prometheus.GaugeVec
	workloads    *prometheus.GaugeVec
}

// NewMetrics makes the gauges and registers them.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		gpus: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kubetorch_webhook_budget_gpus",
			Help: "GPUs of a GPUBudget by state: max, used, reserved, overlap, available."}, []string{"budget", "state"}),
		reservations: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kubetorch_webhook_budget_reservations",
			Help: "Reservations of a GPUBudget: claims of admissions that are not seen stored yet."}, []string{"budget"}),
		workloads: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "kubetorch_webhook_budget_workloads",
			Help: "Claims in the ledger of a GPUBudget."}, []string{"budget"}),
	}
	for _, c := range []prometheus.Collector{m.gpus, m.reservations, m.workloads} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) show(b *v1alpha1.GPUBudget) {
	if m == nil || b.Spec.Max == nil {
		return
	}
	for state, n := range map[string]int64{"max": *b.Spec.Max, "used": b.Status.Used, "reserved": b.Status.Reserved,
		"overlap": b.Status.Overlap, "available": b.Status.Available} {
		m.gpus.WithLabelValues(b.Name, state).Set(float64(n))
	}
	m.reservations.WithLabelValues(b.Name).Set(float64(len(b.Status.Reservations)))
	m.workloads.WithLabelValues(b.Name).Set(float64(b.Status.Workloads))
}

func (m *Metrics) gone(name string) {
	if m != nil {
		for _, v := range []*prometheus.GaugeVec{m.gpus, m.reservations, m.workloads} {
			v.DeletePartialMatch(prometheus.Labels{"budget": name})
		}
	}
}

func (m *Metrics) forget() {
	if m != nil {
		m.gpus.Reset()
		m.reservations.Reset()
		m.workloads.Reset()
	}
}
