package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/policy"
)

func TestTheMetricOfExemptionsCountsThoseThatHaveEnded(t *testing.T) {
	now := time.Date(2027, time.February, 1, 0, 0, 0, 0, time.UTC)
	until := func(d time.Duration) v1alpha1.Exemption {
		return v1alpha1.Exemption{Users: []string{"eve"}, Until: &metav1.Time{Time: now.Add(d)}}
	}
	registry := prometheus.NewRegistry()
	m, err := NewAuditMetrics(registry)
	require.NoError(t, err)
	shown := func(rows ...string) {
		t.Helper()
		want := ""
		if len(rows) > 0 {
			want = "# HELP kubetorch_webhook_policy_exemptions_ended Exemptions of a policy that have ended, as the last audit found them.\n# TYPE kubetorch_webhook_policy_exemptions_ended gauge\n" + strings.Join(rows, "\n") + "\n"
		}
		assert.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(want), "kubetorch_webhook_policy_exemptions_ended"))
	}
	report := audit.Report{Policies: []policy.Description{{Name: "none"}, {Name: "some", Exempt: []v1alpha1.Exemption{until(-time.Hour), until(0), until(time.Hour), {Users: []string{"bob"}}}}}}
	m.found(report, now)
	shown(`kubetorch_webhook_policy_exemptions_ended{policy="none"} 0`, `kubetorch_webhook_policy_exemptions_ended{policy="some"} 2`)

	m.found(report, now.Add(time.Hour))
	shown(`kubetorch_webhook_policy_exemptions_ended{policy="none"} 0`, `kubetorch_webhook_policy_exemptions_ended{policy="some"} 3`)

	report.Policies = report.Policies[:1]
	m.found(report, now)
	shown(`kubetorch_webhook_policy_exemptions_ended{policy="none"} 0`)

	m.forget()
	shown()
}
