package app

import (
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kubetorch/webhook/pkg/admission"
	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/pkg/metric"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/version"
)

// metricsHandler serves ours and those of controller-runtime, Go and the process.
func metricsHandler(registry *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers{registry, ctrlmetrics.Registry}, promhttp.HandlerOpts{})
}

// registerProcess registers what every mode has.
func registerProcess(registry *prometheus.Registry, requests *admission.Metrics, source certificate.Provider) error {
	info := version.Get()
	build := metric.BuildInfo.GaugeVec()
	build.WithLabelValues(info.Version, info.Commit, info.Go).Set(1)
	expiry := metric.CertificateExpiry.GaugeFunc(func() float64 {
		at, err := certificate.Expiry(source)
		if err != nil {
			return 0
		}
		return float64(at.Unix())
	})
	kind := metric.CertificateInfo.GaugeVec()
	kind.WithLabelValues(source.Kind()).Set(1)
	authority := metric.CAExpiry.GaugeFunc(func() float64 {
		own, ok := source.(*certificate.Managed)
		if !ok || own.CAExpiry().IsZero() {
			return 0
		}
		return float64(own.CAExpiry().Unix())
	})
	return metric.Register(registry, build, expiry, kind, authority, requests)
}

// snapshotMetrics tell what verdicts are based on.
type snapshotMetrics struct {
	policies, policiesInvalid          prometheus.Gauge
	policyInfo, policyBounds, adoption *prometheus.GaugeVec
	decisions                          *prometheus.CounterVec
	knativeInvalid                     prometheus.Gauge
}

// The parts of a snapshot.
const partPolicies, partBudgets, partKnative = "policies", "budgets", "knative"

func newSnapshotMetrics(registry prometheus.Registerer) (*snapshotMetrics, error) {
	m := &snapshotMetrics{
		policies: metric.Policies.Gauge(), policiesInvalid: metric.PoliciesInvalid.Gauge(),
		policyInfo: metric.PolicyInfo.GaugeVec(), policyBounds: metric.PolicyBoundInfo.GaugeVec(),
		decisions: metric.PolicyDecisions.CounterVec(), adoption: metric.SnapshotAdopted.GaugeVec(),
		knativeInvalid: metric.KnativeInvalid.Gauge(),
	}
	for _, part := range []string{partPolicies, partBudgets, partKnative} {
		m.adoption.WithLabelValues(part)
	}
	return m, metric.Register(registry, m.policies, m.policiesInvalid, m.policyInfo, m.policyBounds, m.decisions, m.adoption, m.knativeInvalid)
}

func (m *snapshotMetrics) policiesAre(set *policy.Set) {
	all := set.Describe()
	m.policies.Set(float64(len(all)))
	m.policiesInvalid.Set(float64(len(set.Invalid())))
	m.policyInfo.Reset()
	m.policyBounds.Reset()
	for _, d := range all {
		for _, b := range d.Bounds {
			m.policyBounds.WithLabelValues(d.Name, b.Bound, string(b.Enforcement)).Set(1)
		}
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

// adopted says that a part of the snapshot was read just now.
func (m *snapshotMetrics) adopted(part string) {
	m.adoption.WithLabelValues(part).SetToCurrentTime()
}

func (m *snapshotMetrics) knativeIs(valid bool) {
	if !valid {
		m.knativeInvalid.Set(1)
		return
	}
	m.knativeInvalid.Set(0)
	m.adopted(partKnative)
}
