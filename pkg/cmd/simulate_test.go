package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/simulate"
)

// here is the folder of this package.
var here = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}()

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(here, "testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

// runIn runs a command in the folder of this package.
func runIn(t *testing.T, stdin string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Run(t.Context(), args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

const gpuService = `apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: llm
  labels: {kubetorch.com/autoscale: "true"}
  annotations:
    compute.kubetorch.com/gpus: "2"
    autoscale.kubetorch.com/concurrency: "4"
    autoscale.kubetorch.com/target: "4"
    autoscale.kubetorch.com/max-scale: "9"
spec:
  template:
    spec:
      containers:
      - image: a/b:v1
`

var clampPolicy = policyText("bounds: {maxScale: {max: 3, enforcement: Clamp}}")

func policyText(spec string) string {
	return "apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: platform}\nspec: {" + spec + "}\n"
}

func TestSimulate(t *testing.T) {
	dir := files(t, "a.yaml", gpuService, "b.yaml", strings.Replace(gpuService, `max-scale: "9"`, `max-scale: "2"`, 1))
	load := []string{"--load", "spike:0.2,6,at=10m,length=5m,for=40m", "--service-time", "1500ms", "--startup", "40s"}
	at := func(args ...string) []string { return append(append([]string{"simulate"}, load...), args...) }
	t.Chdir(dir)
	code, out, errOut := runIn(t, "", at("-f", "a.yaml", "--against", "b.yaml")...)
	assert.Equal(t, 0, code, errOut)
	golden(t, "simulate-against.txt", out)

	code, out, errOut = runIn(t, "", at("-f", "a.yaml", "-o", "html")...)
	assert.Equal(t, 0, code, errOut)
	golden(t, "simulate.html", out)

	code, out, errOut = runIn(t, gpuService, at("-f", "-", "--against", "b.yaml", "-o", "json")...)
	assert.Equal(t, 0, code, errOut)
	var results []map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &results))
	require.Len(t, results, 2, "one object per manifest")
	for _, r := range results {
		for _, field := range []string{"peakPods", "podHours", "gpuHours", "coldStarts", "waitedRequests", "waitSeconds"} {
			assert.IsType(t, 0., r[field], field)
		}
		assert.InDelta(t, r["podHours"].(float64)*2, r["gpuHours"], 1e-3)
		assert.NotEmpty(t, r["series"])
	}
	assert.Greater(t, results[0]["gpuHours"], results[1]["gpuHours"])
	assert.Less(t, results[0]["waitSeconds"], results[1]["waitSeconds"])
}

func TestSimulateSaysWhoCutsOff(t *testing.T) {
	dir := files(t, "a.yaml", gpuService, "p.yaml", clampPolicy)
	t.Chdir(dir)
	code, out, errOut := runIn(t, "", "simulate", "-f", "a.yaml", "--policy", "p.yaml", "--load", "constant:20,for=5m")
	assert.Equal(t, 0, code, errOut)
	assert.Contains(t, errOut, "max-scale 9 lowered to 3 by policy platform")
	assert.Contains(t, out, "Service default/llm: max-scale 3 (lowered by policy platform (bounds.maxScale.max)) kept the autoscaler from more pods for")
	assert.Contains(t, out, "the load needs up to 5 more, 0.42 pod-hours", "20 at a time at 2.8 in each are 8")

	code, out, errOut = runIn(t, strings.Replace(nativeService, `, autoscaling.knative.dev/min-scale: "6"`, "", 1), "simulate", "-f", "-", "--policy", "p.yaml", "--load", "constant:7,for=5m")
	assert.Equal(t, 0, code, errOut)
	assert.Contains(t, out, "Service default/plain: max-scale 3 (lowered by policy platform) kept the autoscaler from more pods")
}

// nativeService is not labelled.
const nativeService = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: plain}
spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "20", autoscaling.knative.dev/min-scale: "6"}}, spec: {containerConcurrency: 1, containers: [{image: a/b, resources: {limits: {nvidia.com/gpu: 1}}}]}}}
`

func budgetText(spec string) string {
	return "apiVersion: policy.kubetorch.com/v1alpha1\nkind: GPUBudget\nmetadata: {name: small}\nspec: {" + spec + "}\n"
}

func TestSimulateAtWhatFitsABudget(t *testing.T) {
	for name, test := range map[string]struct {
		manifest, policy string
		code             int
		want             []string
		lowered          map[string]any
		peak             float64
	}{
		"a labelled Service of which some pods fit": {gpuService, budgetText("max: 6"), 1, []string{
			"Service default/llm: refused as it is written: spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for 18 GPUs (2 x 9 pods); 6 of 6 are free in budget small; max-scale 3 fits",
			"Service default/llm: simulated with max-scale 3, which fits",
			"Service default/llm: max-scale 3 (budget small, of 9 pods asked for) kept the autoscaler from more pods for 359 s; the load needs up to 5 more, 0.5 pod-hours",
		}, map[string]any{"max-scale": "3"}, 3},
		"one that is not labelled, with a minimum that does not fit": {nativeService, budgetText("max: 4"), 1, []string{
			"Service default/plain: simulated with max-scale 4, min-scale 4, which fits",
			"Service default/plain: max-scale 4 (budget small, of 20 pods asked for) kept",
		}, map[string]any{"max-scale": "4", "min-scale": "4"}, 4},
		"a budget that warns": {gpuService, budgetText("max: 6, enforcement: Warn"), 0, []string{
			"Service default/llm: beyond budget small (Warn), which allows 3 pods, for 359 s (100 % of the time), by up to 6 pods",
		}, nil, 9},
		"a bound that is only audited": {gpuService, policyText("bounds: {gpusPerWorkload: {max: 12, enforcement: Audit}}"), 0, []string{
			"Service default/llm: beyond policy platform (Audit), which allows 6 pods, for 359 s (100 % of the time), by up to 3 pods",
		}, nil, 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(files(t, "p.yaml", test.policy))
			args := []string{"simulate", "-f", "-", "--policy", "p.yaml", "--load", "constant:20,for=6m", "--startup", "0s"}
			code, out, errOut := runIn(t, test.manifest, args...)
			assert.Equal(t, test.code, code, errOut)
			for _, want := range test.want {
				assert.Contains(t, out, want)
			}
			_, out, _ = runIn(t, test.manifest, append(args, "-o", "json")...)
			var results []map[string]any
			require.NoError(t, json.Unmarshal([]byte(out), &results))
			require.Len(t, results, 1)
			assert.Equal(t, test.peak, results[0]["peakPods"])
			if test.lowered == nil {
				assert.NotContains(t, results[0], "lowered")
			} else {
				assert.Equal(t, test.lowered, results[0]["lowered"])
			}
		})
	}
}

// TestSimulateLowersOnlyWhatIsRefused: what is lowered takes nothing from what is admitted as it is.
func TestSimulateLowersOnlyWhatIsRefused(t *testing.T) {
	small := strings.NewReplacer("name: llm", "name: small", `max-scale: "9"`, `max-scale: "2"`).Replace(gpuService)
	t.Chdir(files(t, "p.yaml", budgetText("max: 10"), "a.yaml", gpuService+"---\n"+small))
	code, out, errOut := runIn(t, "", "simulate", "-f", "a.yaml", "--policy", "p.yaml", "--load", "constant:20,for=6m", "-o", "json")
	assert.Equal(t, 1, code, errOut)
	var results []simulate.Simulation
	require.NoError(t, json.Unmarshal([]byte(out), &results))
	require.Len(t, results, 2)
	assert.Equal(t, map[string]string{"max-scale": "3"}, results[0].Lowered, "ten GPUs, of which the other has four")
	assert.Nil(t, results[1].Lowered)
	assert.Equal(t, 2, results[1].PeakPods)
}

func TestSimulateNothingOfWhatNoPodFits(t *testing.T) {
	t.Chdir(files(t, "p.yaml", budgetText("max: 1")))
	code, out, errOut := runIn(t, gpuService, "simulate", "-f", "-", "--policy", "p.yaml", "--load", "constant:20,for=6m")
	assert.Equal(t, 1, code)
	assert.Empty(t, out)
	assert.Contains(t, errOut, "refused, so nothing was simulated")
}

func TestSimulateSuggestsWithinPolicy(t *testing.T) {
	wasteful := strings.Replace(gpuService, `target: "4"`, `target: "1"
    autoscale.kubetorch.com/min-scale: "1"
    autoscale.kubetorch.com/scale-down-delay: 10m`, 1)
	dir := files(t, "a.yaml", wasteful, "p.yaml", policyText("bounds: {minScale: {max: 1}, scaleToZeroPodRetentionPeriod: {max: 5m}}"))
	t.Chdir(dir)
	load := []string{"simulate", "-f", "a.yaml", "--policy", dir + "/p.yaml", "--load", "spike:1,4,at=5m,length=10m,for=1h", "--startup", "30s", "--service-time", "500ms"}
	code, out, errOut := runIn(t, "", append(load, "--suggest", "--wait-limit", "2s")...)
	assert.Equal(t, 0, code, errOut)
	assert.Contains(t, out, "\nSuggestion for Service default/llm: ")
	assert.Contains(t, out, "GPU-hours instead of")
	golden(t, "simulate-suggest.txt", out[strings.Index(out, "\nSuggestion"):])

	code, out, errOut = runIn(t, "", append(load, "--suggest", "--wait-limit", "2s", "-o", "json")...)
	assert.Equal(t, 0, code, errOut)
	assert.NotContains(t, errOut, "Suggestion", "it is part of the document")
	var results []simulate.Simulation
	require.NoError(t, json.Unmarshal([]byte(out), &results))
	s := results[0].Suggestion
	require.NotNil(t, s)
	assert.Equal(t, map[string]string{"autoscale.kubetorch.com/target": "3"}, s.Changes)
	assert.Equal(t, "metadata.annotations", s.At)
	assert.Equal(t, 2., s.Limit)
	assert.Equal(t, results[0].GPUHours, s.Before.GPUHours)
	assert.Less(t, s.After.GPUHours, s.Before.GPUHours)
	code, out, errOut = runIn(t, "", append(load, "--suggest", "--wait-limit", "2s", "-o", "html")...)
	assert.Equal(t, 0, code, errOut)
	assert.Contains(t, out, "<h2>Suggestion for Service default/llm</h2>\n<p>2.00 GPU-hours instead of 3.41; 99 % of all requests wait up to 0s (limit 2s), before 0s.</p>")
	assert.Contains(t, out, "<caption>In metadata.annotations</caption>")
	assert.Contains(t, out, "<tr><td>autoscale.kubetorch.com/target</td><td>3</td></tr>")

	none := append(load, "--suggest", "--wait-limit", "0s", "--load", "spike:0,40,at=30m,length=30s,for=40m")
	code, _, errOut = runIn(t, "", none...)
	assert.Equal(t, 1, code)
	assert.Contains(t, errOut, "kubetorch-webhook: Service default/llm: no choice keeps the waiting limit: with map[")
	code, out, _ = runIn(t, "", append(none, "-o", "json")...)
	assert.Equal(t, 1, code)
	require.NoError(t, json.Unmarshal([]byte(out), &results))
	assert.Contains(t, results[0].Suggestion.None, "no choice keeps the waiting limit: with map[")

	code, out, errOut = runIn(t, nativeService, "simulate", "-f", "-", "--load", "constant:0.1", "--suggest", "--wait-limit", "1m", "--service-time", "500ms")
	assert.Equal(t, 0, code, errOut)
	assert.Contains(t, out, "\nIn spec.template.metadata.annotations:\n  autoscaling.knative.dev/min-scale: ", "what is not labelled scales by these")
}

func TestSimulateManyWorkloadsInTheirOrder(t *testing.T) {
	var manifests []string
	for i := range 12 {
		manifests = append(manifests, strings.Replace(gpuService, "name: llm", fmt.Sprintf("name: llm-%d", i), 1))
	}
	t.Chdir(files(t, "all.yaml", strings.Join(manifests, "---\n")))
	code, out, errOut := runIn(t, "", "simulate", "-f", "all.yaml", "--load", "constant:2,for=10m", "-o", "json")
	assert.Equal(t, 0, code, errOut)
	var results []simulate.Simulation
	require.NoError(t, json.Unmarshal([]byte(out), &results))
	require.Len(t, results, 12)
	for i, r := range results {
		assert.Equal(t, fmt.Sprintf("Service default/llm-%d", i), r.Workload)
		assert.Equal(t, results[0].PodHours, r.PodHours)
	}
}

func TestSimulateRefuses(t *testing.T) {
	dir := files(t, "a.yaml", gpuService, "p.yaml", policyText("bounds: {gpusPerWorkload: {max: 4}}"), "older.yaml", strings.Replace(gpuService, "image: a/b:v1", "image: a/b:v1\n        securityContext: {privileged: false}", 1), "none.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "load.csv", "time,rps\n0,x\n", "steady.csv", "time,rps\n0,1\n60,1\n")
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"what a policy refuses":      {[]string{"-f", "a.yaml", "--policy", "p.yaml", "--load", "constant:1"}, 1, "asks for 18 GPUs (2 x 9 pods); policy platform allows at most 4"},
		"no manifest":                {[]string{"--load", "constant:1"}, 2, "--filename: Required value: name the manifests to simulate"},
		"no load":                    {[]string{"-f", "a.yaml"}, 2, "--load: Required value: name a file with a load"},
		"a load that is not there":   {[]string{"-f", "a.yaml", "--load", "x.csv"}, 2, "reading the load: open x.csv: no such file or directory; a load is a file, or constant:RATE"},
		"a load that is none":        {[]string{"-f", "a.yaml", "--load", "load.csv"}, 2, `load.csv, line 2: "x" is no rate`},
		"nothing that scales":        {[]string{"-f", "none.yaml", "--load", "constant:1"}, 2, "none.yaml: holds no Knative Service, and no Deployment that becomes one"},
		"all flags that are wrong":   {[]string{"-f", "a.yaml", "--load", "constant:1", "-o", "yaml", "--service-time", "x", "--startup", "-1s", "--arrivals", "late", "--load-unit", "rpm"}, 2, "--startup: Invalid value"},
		"a unit for a shape":         {[]string{"-f", "a.yaml", "--load", "constant:1", "--load-unit", "concurrency"}, 2, "--load-unit: Forbidden: is for JSON alone; a shape says ,unit=concurrency itself"},
		"a unit for CSV":             {[]string{"-f", "a.yaml", "--load", "steady.csv", "--load-unit", "concurrency"}, 2, "--load-unit: is for JSON alone; steady.csv is CSV, and says in its header what it holds: time,rps, time,concurrency or time,requests"},
		"a version that is none":     {[]string{"-f", "a.yaml", "--load", "constant:1", "--knative-version", "new"}, 2, "--knative-version: "},
		"what an old Knative lacks":  {[]string{"-f", "older.yaml", "--load", "constant:1", "--knative-version", "1.16"}, 1, "must not set the field(s)"},
		"a suggestion without limit": {[]string{"-f", "a.yaml", "--load", "constant:1", "--suggest"}, 2, "--wait-limit: Required value: with --suggest, say how long"},
		"a limit without suggestion": {[]string{"-f", "a.yaml", "--load", "constant:1", "--wait-limit", "2s"}, 2, "--wait-limit: Forbidden: is of no use without --suggest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(dir)
			code, out, errOut := runIn(t, "", append([]string{"simulate"}, test.args...)...)
			assert.Equal(t, test.code, code)
			assert.Contains(t, errOut, test.want)
			assert.Empty(t, out)
		})
	}
}

func TestSimulateOnTheShippedLoads(t *testing.T) {
	for _, load := range []string{"llm-code.csv", "llm-conversation.csv", "serverless-day.csv"} {
		code, out, errOut := runIn(t, gpuService, "simulate", "-f", "-", "--load", "../../examples/loads/"+load, "-o", "json")
		require.Equal(t, 0, code, errOut)
		var results []struct {
			Requests         int64
			PeakPods         int
			UnservedRequests int64
		}
		require.NoError(t, json.Unmarshal([]byte(out), &results))
		assert.Greater(t, results[0].Requests, int64(8000))
		assert.Greater(t, results[0].PeakPods, 1)
	}
}
