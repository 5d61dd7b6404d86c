package monitoring

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/kubetorch/webhook/pkg/metric"
)

var (
	root    = filepath.Join("..", "..")
	grammar = parser.NewParser(parser.Options{})
)

// rules are those of the PrometheusRule, read as Prometheus reads a file of rules.
func rules(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "deploy", "monitoring", "rules.yaml"))
	require.NoError(t, err)
	var object struct {
		Spec map[string]any `yaml:"spec"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &object))
	file, err := yaml.Marshal(object.Spec)
	require.NoError(t, err)
	groups, errs := rulefmt.Parse(file, false, model.UTF8Validation, grammar, slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	all := map[string]rulefmt.Rule{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			require.NotContains(t, all, r.Alert)
			all[r.Alert] = r
		}
	}
	return all
}

// selectors checks that an expression parses and names only what there is.
func selectors(t *testing.T, expression string) (names []string) {
	t.Helper()
	parsed, err := grammar.ParseExpr(strings.ReplaceAll(expression, "$__rate_interval", "5m"))
	require.NoError(t, err, expression)
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		v, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		m := find(v.Name)
		if !assert.NotNil(t, m, "%s is no metric", v.Name) {
			return nil
		}
		names = append(names, m.Name)
		for _, matcher := range v.LabelMatchers {
			if matcher.Name != labels.MetricName {
				assert.Contains(t, m.Labels, matcher.Name, "%s has no such label", v.Name)
			}
		}
		return nil
	})
	// What is grouped by must be a label of one of the metrics, or of the scraped pod.
	known := []string{"le", "pod", "instance"}
	for _, m := range metric.Table() {
		if slices.Contains(names, m.Name) {
			known = append(known, m.Labels...)
		}
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if a, ok := node.(*parser.AggregateExpr); ok {
			for _, label := range a.Grouping {
				assert.Contains(t, known, label, expression)
			}
		}
		return nil
	})
	return names
}

// find is the metric that a series belongs to.
func find(series string) *metric.Metric {
	for _, m := range metric.Table() {
		if m.Kind == metric.Histogram {
			if rest, ok := strings.CutPrefix(series, m.Name); ok && slices.Contains([]string{"_bucket", "_count", "_sum"}, rest) {
				return m
			}
		} else if m.Name == series {
			return m
		}
	}
	return nil
}

func TestAlertsNameWhatThereIsAndHaveARunbook(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "observability.md"))
	require.NoError(t, err)
	for name, r := range rules(t) {
		t.Run(name, func(t *testing.T) {
			assert.NotEmpty(t, selectors(t, r.Expr))
			assert.Contains(t, []string{"critical", "warning", "info"}, r.Labels["severity"])
			assert.NotEmpty(t, r.Annotations["summary"])
			assert.True(t, strings.HasSuffix(r.Annotations["runbook_url"], "docs/observability.md#"+strings.ToLower(name)))
			assert.Contains(t, string(page), "\n### "+name+"\n")
		})
	}
}

func TestTheDashboardShowsWhatThereIs(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "deploy", "monitoring", "dashboard.json"))
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(raw, &dashboard))
	shown := map[string]bool{}
	ids := map[int]bool{}
	for _, p := range dashboard.Panels {
		assert.False(t, ids[p.ID], "panel %d is there twice", p.ID)
		ids[p.ID] = true
		assert.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			for _, name := range selectors(t, target.Expr) {
				shown[name] = true
			}
		}
	}
	for _, m := range metric.Table() {
		if slices.Contains([]string{"build_info", "certificate_info", "policy_info", "client_ca_invalid", "knative_config_invalid", "audit_duration_seconds", "audit_failures_total"},
			strings.TrimPrefix(m.Name, "kubetorch_webhook_")) {
			continue // told by an alert, or by a metric beside it
		}
		assert.True(t, shown[m.Name], "%s is on no panel", m.Name)
	}
}

// TestAlertsFire evaluates alerts over series in promtool's notation, one sample a minute.
func TestAlertsFire(t *testing.T) {
	all := rules(t)
	tested := map[string]bool{}
	for name, test := range map[string]struct {
		alert, series string
		minute        int
		fires         bool
	}{
		"a certificate that ends in 5 h":       {"CertificateExpires", `certificate_expiry_timestamp_seconds 18000x60`, 10, true},
		"one that ends in a day":               {"CertificateExpires", `certificate_expiry_timestamp_seconds 86400x60`, 10, false},
		"no certificate at all":                {"CertificateExpires", `certificate_expiry_timestamp_seconds 0x60`, 10, true},
		"one request in ten gets no verdict":   {"Errors", "admission_requests_total{path=\"/validate\",verdict=\"error\"} 0+6x60\nadmission_requests_total{path=\"/validate\",verdict=\"allowed\"} 0+54x60", 20, true},
		"refusals are no errors":               {"Errors", "admission_requests_total{path=\"/validate\",verdict=\"error\"} 0x60\nadmission_requests_total{path=\"/validate\",verdict=\"denied\"} 0+54x60", 20, false},
		"errors for a minute":                  {"Errors", "admission_requests_total{path=\"/validate\",verdict=\"error\"} 0 0 0 9 9 9 9 9 9 9 9 9 9 9 9\nadmission_requests_total{path=\"/validate\",verdict=\"allowed\"} 0+6x60", 6, false},
		"most requests take 2 s":               {"Slow", "admission_duration_seconds_bucket{path=\"/validate\",le=\"1\"} 0+1x60\nadmission_duration_seconds_bucket{path=\"/validate\",le=\"2\"} 0+60x60\nadmission_duration_seconds_bucket{path=\"/validate\",le=\"+Inf\"} 0+60x60", 30, true},
		"most requests take 1 ms":              {"Slow", "admission_duration_seconds_bucket{path=\"/validate\",le=\"0.001\"} 0+60x60\nadmission_duration_seconds_bucket{path=\"/validate\",le=\"+Inf\"} 0+60x60", 30, false},
		"a panic":                              {"Panics", `admission_panics_total{path="/mutate"} 0 0 0 1 1 1 1 1 1`, 6, true},
		"no panic":                             {"Panics", `admission_panics_total{path="/mutate"} 3x60`, 30, false},
		"requests above the ceiling":           {"Overloaded", `admission_rejected_total{path="/mutate",how="answered"} 0+10x60`, 10, true},
		"none above the ceiling":               {"Overloaded", `admission_rejected_total{path="/mutate",how="answered"} 0x60`, 10, false},
		"a watch that is closed":               {"CacheStale", `cache_age_seconds{cache="policies"} 0+60x60`, 20, true},
		"a watch that was closed for a moment": {"CacheStale", `cache_age_seconds{cache="policies"} 0 60 120 180 0 0 0 0 0 0 0 0`, 11, false},
		"a policy that cannot be followed":     {"PolicyInvalid", `policies_invalid 1x60`, 10, true},
		"all policies can be followed":         {"PolicyInvalid", `policies_invalid 0x60`, 10, false},
		"an exemption that has ended":          {"ExemptionsEnded", `policy_exemptions_ended{policy="p"} 0 0 1x60`, 20, true},
		"exemptions that hold":                 {"ExemptionsEnded", `policy_exemptions_ended{policy="p"} 0x60`, 20, false},
		"Knative's configuration is broken":    {"KnativeConfigInvalid", `knative_config_invalid 1x60`, 10, true},
		"client CAs are broken":                {"ClientCAInvalid", `client_ca_invalid 1x60`, 10, true},
		"a budget without room":                {"BudgetFull", "budget_gpus{budget=\"b\",state=\"available\"} 0x60\nbudget_gpus{budget=\"b\",state=\"max\"} 8x60", 30, true},
		"a budget with room":                   {"BudgetFull", "budget_gpus{budget=\"b\",state=\"available\"} 1x60\nbudget_gpus{budget=\"b\",state=\"max\"} 8x60", 30, false},
		"a budget of nothing":                  {"BudgetFull", "budget_gpus{budget=\"b\",state=\"available\"} 0x60\nbudget_gpus{budget=\"b\",state=\"max\"} 0x60", 30, false},
		"reservations that stay":               {"BudgetReservationsStuck", `budget_reservations{budget="b"} 2x90`, 60, true},
		"reservations that come and go":        {"BudgetReservationsStuck", `budget_reservations{budget="b"} ` + strings.Repeat("2 2 0 ", 30), 60, false},
		"a ledger that grows large":            {"BudgetLarge", `budget_bytes{budget="b"} 600000x60`, 20, true},
		"a ledger of the usual size":           {"BudgetLarge", `budget_bytes{budget="b"} 30000x60`, 20, false},
		"a ledger that cannot be written":      {"BudgetWritesFail", `budget_writes_total{budget="b",result="error"} 0+1x60`, 20, true},
		"conflicts are no failures":            {"BudgetWritesFail", `budget_writes_total{budget="b",result="conflict"} 0+1x60`, 20, false},
		"audits that fail":                     {"AuditFails", `audit_failures_total 0 1 2 3 4 5 6 7`, 7, true},
		"a configuration that is closed":       {"NotRegistered", "registered{configuration=\"mutating\"} 1x60\nregistered{configuration=\"validating\"} 0x60", 10, true},
		"configurations as they have to be":    {"NotRegistered", "registered{configuration=\"mutating\"} 1x60\nregistered{configuration=\"validating\"} 1x60", 10, false},
		"no replica":                           {"Absent", `policies 1x60`, 10, true},
		"a replica":                            {"Absent", `build_info 1x60`, 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			rule, ok := all["KubetorchWebhook"+test.alert]
			require.True(t, ok)
			load := "load 1m\n"
			for line := range strings.Lines(test.series) {
				load += "  kubetorch_webhook_" + strings.TrimSuffix(line, "\n") + "\n"
			}
			storage := promqltest.LoadedStorage(t, load)
			engine := promqltest.NewTestEngineWithOpts(t, promql.EngineOpts{MaxSamples: 100000, Timeout: time.Minute, Parser: grammar})
			// An alert fires once its expression has held for the time it states.
			fires := true
			now := time.Unix(0, 0).Add(time.Duration(test.minute) * time.Minute)
			for at := now.Add(-time.Duration(rule.For)); !at.After(now); at = at.Add(time.Minute) {
				query, err := engine.NewInstantQuery(t.Context(), storage, nil, rule.Expr, at)
				require.NoError(t, err)
				result := query.Exec(t.Context())
				require.NoError(t, result.Err)
				vector, err := result.Vector()
				require.NoError(t, err)
				fires = fires && len(vector) > 0
				query.Close()
			}
			assert.Equal(t, test.fires, fires, fmt.Sprint(rule.Expr))
		})
		tested[test.alert] = true
	}
	for name := range all {
		assert.True(t, tested[strings.TrimPrefix(name, "KubetorchWebhook")], "%s is never seen to fire", name)
	}
}
