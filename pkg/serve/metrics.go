package serve

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kubetorch/webhook/pkg/admission"
	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/pkg/version"
)

// metricsHandler serves ours and those of controller-runtime, Go and the process.
func metricsHandler(registry *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers{registry, ctrlmetrics.Registry}, promhttp.HandlerOpts{})
}

// registerProcess registers what every mode has.
func registerProcess(registry *prometheus.Registry, requests *admission.Metrics, source certificate.Source) error {
	info := version.Get()
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "kubetorch_webhook_build_info",
		Help:        "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": info.Version, "commit": info.Commit, "go": info.Go},
	}, func() float64 { return 1 })
	expiry := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kubetorch_webhook_certificate_expiry_timestamp_seconds",
		Help: "When the serving certificate ends, in Unix seconds; 0 while there is none.",
	}, func() float64 {
		at, err := certificate.Expiry(source)
		if err != nil {
			return 0
		}
		return float64(at.Unix())
	})
	for _, collector := range []prometheus.Collector{build, expiry, requests} {
		if err := registry.Register(collector); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// snapshotMetrics tell what verdicts are based on.
type snapshotMetrics struct {
	policies, policiesInvalid       prometheus.Gauge
	knativeInvalid, knativeAdoption prometheus.Gauge
}

func newSnapshotMetrics(registry prometheus.Registerer) (*snapshotMetrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "kubetorch_webhook_" + name, Help: help})
	}
	m := &snapshotMetrics{
		policies:        gauge("policies", "ComputePolicies in force."),
		policiesInvalid: gauge("policies_invalid", "ComputePolicies that cannot be followed; what they select is refused."),
		knativeInvalid:  gauge("knative_config_invalid", "1 while Knative's ConfigMaps do not parse and their last good state is used."),
		knativeAdoption: gauge("knative_config_adopted_timestamp_seconds", "When the Knative configuration in use was read, in Unix seconds."),
	}
	for _, collector := range []prometheus.Collector{m.policies, m.policiesInvalid, m.knativeInvalid, m.knativeAdoption} {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

func (m *snapshotMetrics) policiesAre(all, invalid int) {
	m.policies.Set(float64(all))
	m.policiesInvalid.Set(float64(invalid))
}

func (m *snapshotMetrics) knativeIs(valid bool, now time.Time) {
	if !valid {
		m.knativeInvalid.Set(1)
		return
	}
	m.knativeInvalid.Set(0)
	m.knativeAdoption.Set(float64(now.Unix()))
}
