package openreports_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/audit/openreports"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
)

func finding(policyName, name string, e v1alpha1.Enforcement) audit.Finding {
	return audit.Finding{Policy: policyName, APIVersion: "serving.knative.dev/v1", Enforcement: e, ObjectViolation: v1alpha1.ObjectViolation{Namespace: "ml", Kind: "Service", Name: name, Bound: "maxScale.max", Message: "asks for up to 9 pods"}}
}

func TestReports(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	report := audit.Report{Objects: 9, Selected: map[string]int{"broken": 9, "clean": 5, "strict": 4}, Policies: []policy.Description{{Name: "broken", Invalid: field.ErrorList{field.Required(field.NewPath("spec"), "say something")}}, {Name: "clean"}, {Name: "strict"}},
		Findings: []audit.Finding{finding("strict", "a", v1alpha1.Deny), finding("strict", "a", v1alpha1.Warn), finding("strict", "b", v1alpha1.Clamp)}}
	exceeded := []audit.Finding{{Policy: "GPUBudget/all", Enforcement: v1alpha1.Deny, ObjectViolation: v1alpha1.ObjectViolation{Kind: "GPUBudget", Name: "all", Bound: "max", Message: "9 GPUs are claimed"}}}
	reports := openreports.Reports(report, exceeded, now)
	require.Len(t, reports, 4)
	var summaries []string
	for _, r := range reports {
		summaries = append(summaries, fmt.Sprint(manifest.Text(r, "metadata", "name"), manifest.Map(r, "summary")))
	}
	assert.Equal(t, []string{
		"kubetorch-policy-brokenmap[error:1 fail:0 pass:0 skip:0 warn:0]",
		"kubetorch-policy-cleanmap[error:0 fail:0 pass:5 skip:0 warn:0]",
		"kubetorch-policy-strictmap[error:0 fail:2 pass:2 skip:0 warn:1]",
		"kubetorch-budget-allmap[error:0 fail:1 pass:0 skip:0 warn:0]",
	}, summaries)
	text, err := yaml.Marshal(manifest.Objects(reports[2], "results")[0])
	require.NoError(t, err)
	assert.YAMLEq(t, `
source: kubetorch-webhook
policy: strict
rule: maxScale.max
category: GPU bounds
severity: high
scored: true
result: fail
message: asks for up to 9 pods
timestamp: {seconds: 1800000000, nanos: 0}
properties: {enforcement: Deny}
resources:
- {apiVersion: serving.knative.dev/v1, kind: Service, namespace: ml, name: a}
`, string(text))
	later := openreports.Reports(report, exceeded, now.Add(time.Hour))
	assert.True(t, openreports.Same(reports[2], later[2]), "only the times differ")
	assert.False(t, openreports.Same(reports[2], reports[1]))
}

func TestAReportHoldsAsManyResultsAsAnObjectMay(t *testing.T) {
	report := audit.Report{Objects: 5000, Policies: []policy.Description{{Name: "p"}}}
	for i := range 5000 {
		report.Findings = append(report.Findings, finding("p", fmt.Sprint(i), v1alpha1.Deny))
	}
	reports := openreports.Reports(report, nil, time.Now())
	results := manifest.Objects(reports[0], "results")
	require.Len(t, results, 1001)
	assert.Equal(t, "skip", results[1000]["result"])
	assert.Equal(t, "this report holds 1000 of 5000 violations; `kubetorch-webhook audit` lists all", results[1000]["message"], "what is left out is said")
	assert.EqualValues(t, 5000, manifest.Map(reports[0], "summary")["fail"], "the summary counts all")
	raw, err := yaml.Marshal(reports[0])
	require.NoError(t, err)
	assert.Less(t, len(raw), 1_000_000)

	report.Findings = report.Findings[:1000]
	assert.Len(t, manifest.List(openreports.Reports(report, nil, time.Now())[0], "results"), 1000, "nothing is left out")
}
