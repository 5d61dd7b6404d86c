package report_test

import (
	"bytes"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/report"
	"github.com/kubetorch/webhook/pkg/simulate"
)

var update = flag.Bool("update", false, "draw the README's picture anew")

// TestThePictureOfTheReadme draws two manifests under one load.
func TestThePictureOfTheReadme(t *testing.T) {
	content, err := os.ReadFile("../../examples/loads/llm-conversation.csv")
	require.NoError(t, err)
	load, err := simulate.ParseLoad("llm-conversation.csv", content, false)
	require.NoError(t, err)
	service, err := simulate.ParseDurations("lognormal:1s,p99=6s")
	require.NoError(t, err)
	startup, err := simulate.ParseDurations("45s")
	require.NoError(t, err)
	arrivals, err := load.Poisson(service.Mean(), 1)
	require.NoError(t, err)
	var results []simulate.Simulation
	for _, name := range []string{"warm", "tuned"} {
		docs, err := offline.ReadDocuments([]string{"../../examples/simulate/" + name + ".yaml"}, nil)
		require.NoError(t, err)
		o := offline.Expand(docs, offline.Inputs{Knative: knative.Default()})[0]
		require.False(t, o.Verdict.Refused())
		settings, err := simulate.SettingsOf(o.Object, o.Verdict.Demand.GPUs.PerPod, knative.Default())
		require.NoError(t, err)
		r, err := simulate.Run(simulate.Scenario{Settings: settings, Arrivals: arrivals, Service: service, Startup: startup, Points: 400})
		require.NoError(t, err)
		r.Workload = o.Title
		results = append(results, r)
	}
	assert.Less(t, results[1].GPUHours, results[0].GPUHours/2, "what the picture shows")
	assert.Less(t, results[1].WaitP99, 5., "one request of a hundred waits some seconds for it, while the load begins")
	var out bytes.Buffer
	require.NoError(t, report.Picture(&out, results))
	const path = "../../docs/simulate.svg"
	if *update {
		require.NoError(t, os.WriteFile(path, out.Bytes(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), out.String())
}

func TestWhatObjectsSayIsTextAndNothingElse(t *testing.T) {
	const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`
	finding := audit.Finding{Policy: evil, Enforcement: v1alpha1.Deny, ObjectViolation: v1alpha1.ObjectViolation{Namespace: evil, Kind: "Service", Name: evil, Message: evil}}
	var out bytes.Buffer
	require.NoError(t, report.Audit(&out, audit.Report{Objects: 1, Findings: []audit.Finding{finding}}, []audit.Finding{finding},
		[]audit.BudgetUse{{Name: evil, Max: 1, Holders: []v1alpha1.Holder{{Namespace: evil, Name: evil}}}}, time.Now()))
	r := simulate.Simulation{Manifest: evil, Workload: evil, Load: evil, Seconds: 2, Series: []simulate.Point{{}, {Time: 1}}, CutOff: &simulate.CutOff{From: evil},
		Refused: []string{evil}, Lowered: map[string]string{evil: evil}, Beyond: []simulate.Beyond{{From: evil}, {From: evil, Seconds: 1}},
		Suggestion: &simulate.Suggestion{Changes: map[string]string{evil: evil}, At: evil}}
	require.NoError(t, report.Simulation(&out, []simulate.Simulation{r}, []string{evil}))
	require.NoError(t, report.Picture(&out, []simulate.Simulation{r}))
	assert.NotContains(t, out.String(), "<script>alert")
	assert.NotContains(t, out.String(), "<img")
}
