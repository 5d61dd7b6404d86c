package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

func TestParseWeight(t *testing.T) {
	for text, want := range map[string]string{"1": "1", "2": "2", "1/7": "1/7", "2/14": "1/7", "0.5": "1/2", "1.25": "5/4", "7/7": "1", "1000000": "1000000"} {
		got, err := workload.ParseWeight(text)
		assert.NoError(t, err, text)
		assert.Equal(t, want, got.String(), text)
	}
	for text, want := range map[string]string{
		"":        "must be a number of GPUs such as 1, 0.5 or 1/7",
		"-1":      "must be a number of GPUs such as 1, 0.5 or 1/7",
		"1e3":     "must be a number of GPUs such as 1, 0.5 or 1/7",
		" 1":      "must be a number of GPUs such as 1, 0.5 or 1/7",
		"1/7/2":   "must be a number of GPUs such as 1, 0.5 or 1/7",
		"0":       "must be above 0; what counts nothing belongs under notGPUResources",
		"0/7":     "must be above 0; what counts nothing belongs under notGPUResources",
		"1/0":     "must be above 0; what counts nothing belongs under notGPUResources",
		"1000001": "must have a numerator and a denominator of at most 1000000",
	} {
		_, err := workload.ParseWeight(text)
		assert.EqualError(t, err, want, text)
	}
	assert.Equal(t, "1", workload.Weight{}.String(), "the zero value")
}

// TestSumsAreExactAndRoundedUpOncePerClaim: ten pods of a seventh are two GPUs, not ten.
func TestSumsAreExactAndRoundedUpOncePerClaim(t *testing.T) {
	known := workload.NewGPUResources(workload.Counting{Listed: []workload.ListedGPU{{Name: "nvidia.com/mig-1g.10gb", GPUs: weight("1/7")}, {Name: "nvidia.com/mig-3g.40gb", GPUs: weight("3/7")}}})
	for name, test := range map[string]struct {
		replicas string
		limits   string
		perPod   string
		want     int64
		asks     string
	}{
		"one seventh":          {"1", `{nvidia.com/mig-1g.10gb: 1}`, "1/7", 1, "1 GPU (1/7 x 1 pod)"},
		"ten sevenths":         {"10", `{nvidia.com/mig-1g.10gb: 1}`, "1/7", 2, "2 GPUs (1/7 x 10 pods)"},
		"a whole one":          {"7", `{nvidia.com/mig-1g.10gb: 1}`, "1/7", 1, "1 GPU (1/7 x 7 pods)"},
		"slices of both kinds": {"2", `{nvidia.com/mig-1g.10gb: 1, nvidia.com/mig-3g.40gb: 1}`, "4/7", 2, "2 GPUs (4/7 x 2 pods)"},
		"beside whole GPUs":    {"7", `{nvidia.com/mig-1g.10gb: 1, nvidia.com/gpu: 2}`, "15/7", 15, "15 GPUs (15/7 x 7 pods)"},
		"unlisted slices":      {"7", `{nvidia.com/mig-7g.80gb: 1}`, "1", 7, "7 GPUs (1 x 7 pods)"},
		"no pods":              {"0", `{nvidia.com/mig-1g.10gb: 1}`, "1/7", 0, "0 GPUs (1/7 x 0 pods)"},
		"too many to count":    {"2147483647", `{nvidia.com/mig-1g.10gb: 2147483647, nvidia.com/gpu: 2147483647}`, "17179869176/7", 5270498301865623554, "5270498301865623554 GPUs (17179869176/7 x 2147483647 pods)"},
	} {
		t.Run(name, func(t *testing.T) {
			d := workload.DeploymentUsage(read(`{spec: {replicas: `+test.replicas+`, template: {spec: {containers: [{resources: {limits: `+test.limits+`}}]}}}}`), workload.Controlled{}, known)
			assert.Equal(t, test.perPod, d.GPUs.Text())
			assert.Equal(t, test.want, d.Claim)
			assert.Equal(t, test.want, workload.Sum(d.Parts))
			assert.Equal(t, test.asks, d.Asks())
		})
	}
}

func TestPartsAreSummedBeforeTheyAreRounded(t *testing.T) {
	known := workload.NewGPUResources(workload.Counting{Listed: []workload.ListedGPU{{Name: "nvidia.com/mig-1g.10gb", GPUs: weight("1/7")}}})
	part := func(replicas, product string) []workload.Part {
		return workload.DeploymentUsage(read(`{spec: {replicas: `+replicas+`, template: {spec: {nodeSelector: {nvidia.com/gpu.product: `+product+`}, containers: [{resources: {limits: {nvidia.com/mig-1g.10gb: 1}}}]}}}}`), workload.Controlled{}, known).Parts
	}
	var parts []workload.Part
	for range 3 {
		parts = append(parts, part("2", "A")...)
	}
	parts = append(parts, part("4", "B")...)
	assert.EqualValues(t, 2, workload.Sum(parts), "10/7")
	assert.EqualValues(t, 1, workload.SumOf(parts, func(gpuType string) bool { return gpuType == "A" }), "6/7")
	assert.Equal(t, map[string]int64{"A": 1, "B": 1}, workload.SumsByType(parts))
}

func TestFractionsAreCompared(t *testing.T) {
	known := workload.NewGPUResources(workload.Counting{Listed: []workload.ListedGPU{{Name: "nvidia.com/mig-1g.10gb", GPUs: weight("1/7")}}})
	usage := func(slices string) *workload.Usage {
		d := workload.DeploymentUsage(read(`{spec: {template: {spec: {containers: [{resources: {limits: {nvidia.com/mig-1g.10gb: `+slices+`}}}]}}}}`), workload.Controlled{}, known)
		return &d
	}
	one, two, seven := usage("1"), usage("2"), usage("7")
	assert.True(t, one.WithinGPUs(two))
	assert.False(t, two.WithinGPUs(one), "both are 1 when rounded up")
	assert.True(t, one.WithinGPUs(one))
	assert.EqualValues(t, 14, one.GPUs.PodsWithin(2))
	assert.EqualValues(t, 2, seven.GPUs.PodsWithin(2))
	assert.EqualValues(t, 0, seven.GPUs.PodsWithin(0))
	assert.EqualValues(t, 14, known.Units("nvidia.com/mig-1g.10gb", 2))
	assert.EqualValues(t, 2, known.Units("nvidia.com/gpu", 2))
}

// TestWhatADeploymentControlsIsSummedExactly: ReplicaSets and pods of slices are no whole GPUs.
func TestWhatADeploymentControlsIsSummedExactly(t *testing.T) {
	known := workload.NewGPUResources(workload.Counting{Listed: []workload.ListedGPU{{Name: "nvidia.com/mig-1g.10gb", GPUs: weight("1/7")}}})
	const spec = `{containers: [{resources: {limits: {nvidia.com/mig-1g.10gb: 1}}}]}`
	rs := func(replicas string) manifest.Object {
		return read(`{apiVersion: apps/v1, kind: ReplicaSet, spec: {replicas: ` + replicas + `, template: {spec: ` + spec + `}}}`)
	}
	var pods workload.Held
	for range 7 {
		pods.Add(read(`{spec: `+spec+`}`), known)
	}
	deployment := read(`{spec: {replicas: 14, strategy: {type: Recreate}, template: {spec: ` + spec + `}}}`)
	d := workload.DeploymentUsage(deployment, workload.Controlled{ReplicaSets: []manifest.Object{rs("10"), rs("4")}, Pods: pods}, known)
	assert.EqualValues(t, 2, d.Claim)
	d = workload.DeploymentUsage(deployment, workload.Controlled{ReplicaSets: []manifest.Object{rs("10"), rs("5")}, Pods: pods}, known)
	assert.EqualValues(t, 3, d.Claim, "15/7")
	set := read(`{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 10, template: {spec: ` + spec + `}}}`)
	u := workload.StatefulSetUsage(set, known)
	u.Hold(pods)
	assert.EqualValues(t, 2, u.Claim)
}
