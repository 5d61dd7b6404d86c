package serve

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kubetorch/webhook/pkg/admission"
	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
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
	kind := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "kubetorch_webhook_certificate_info",
		Help:        "Always 1; the label says where the serving certificate comes from: self-managed, files or self-signed.",
		ConstLabels: prometheus.Labels{"source": source.Kind()},
	}, func() float64 { return 1 })
	collectors := []prometheus.Collector{build, expiry, kind, requests}
	if own, ok := source.(*certificate.Managed); ok {
		collectors = append(collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kubetorch_webhook_ca_expiry_timestamp_seconds",
			Help: "When the webhook's own CA ends, in Unix seconds; 0 while there is none.",
		}, func() float64 {
			if at := own.CAExpiry(); !at.IsZero() {
				return float64(at.Unix())
			}
			return 0
		}))
	}
	for _, collector := range collectors {
		if err := registry.Register(collector); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// snapshotMetrics tell what verdicts are based on.
type snapshotMetrics struct {
	policies, policiesInvalid       prometheus.Gauge
	policyInfo                      *prometheus.GaugeVec
	decisions                       *prometheus.CounterVec
	knativeInvalid, knativeAdoption prometheus.Gauge
}

func newSnapshotMetrics(registry prometheus.Registerer) (*snapshotMetrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "kubetorch_webhook_" + name, Help: help})
	}
	m := &snapshotMetrics{
		policies:        gauge("policies", "ComputePolicies, the invalid ones included."),
		policiesInvalid: gauge("policies_invalid", "ComputePolicies that cannot be followed; what asks for more GPUs than before is refused."),
		policyInfo: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubetorch_webhook_policy_info",
			Help: "Always 1; the labels say how a policy's bounds are enforced. A policy with bounds of several kinds has several rows.",
		}, []string{"policy", "enforcement"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubetorch_webhook_policy_decisions_total",
			Help: "Requests that broke a bound, by what became of them (denied, clamped, warned, audited); dry runs are not counted.",
		}, []string{"policy", "bound", "enforcement", "outcome"}),
		knativeInvalid:  gauge("knative_config_invalid", "1 while Knative's ConfigMaps do not parse and their last good state is used."),
		knativeAdoption: gauge("knative_config_adopted_timestamp_seconds", "When the Knative configuration in use was read, in Unix seconds."),
	}
	for _, collector := range []prometheus.Collector{m.policies, m.policiesInvalid, m.policyInfo, m.decisions, m.knativeInvalid, m.knativeAdoption} {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

func (m *snapshotMetrics) policiesAre(set *policy.Set) {
	all := set.Describe()
	m.policies.Set(float64(len(all)))
	m.policiesInvalid.Set(float64(len(set.Invalid())))
	m.policyInfo.Reset()
	for _, d := range all {
		for _, mode := range modes(d) {
			m.policyInfo.WithLabelValues(d.Name, mode).Set(1)
		}
	}
}

// modes are how a policy is enforced: one that is invalid is of no other mode.
func modes(d policy.Description) []string {
	if len(d.Invalid) > 0 {
		return []string{"Invalid"}
	}
	var modes []string
	for _, mode := range d.Modes() {
		modes = append(modes, string(mode))
	}
	if len(modes) == 0 {
		return []string{"None"}
	}
	return modes
}

// decided counts what policies decided of one request.
func (m *snapshotMetrics) decided(decisions []review.Decision) {
	for _, d := range decisions {
		m.decisions.WithLabelValues(d.Policy, d.Bound, string(d.Enforcement), string(d.Outcome)).Inc()
	}
}

// logPolicies says which policies are used from now on and how, and which cannot be.
func logPolicies(log logr.Logger, set *policy.Set) {
	for name, errs := range set.Invalid() {
		log.Error(errs.ToAggregate(), "invalid ComputePolicy: until it is mended, whatever asks for more GPUs than before is refused", "policy", name)
	}
	all := set.Describe()
	enforcement := make(map[string]string, len(all))
	for _, d := range all {
		enforcement[d.Name] = strings.Join(modes(d), ", ")
	}
	log.Info("using new policies", "count", len(all), "enforcement", enforcement)
}

func (m *snapshotMetrics) knativeIs(valid bool, now time.Time) {
	if !valid {
		m.knativeInvalid.Set(1)
		return
	}
	m.knativeInvalid.Set(0)
	m.knativeAdoption.Set(float64(now.Unix()))
}
