package simulate_test

import (
	"maps"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/simulate"
)

// settings are those of a template with these annotations.
func settings(concurrency int64, annotations map[string]string) simulate.ScalingSettings {
	all := map[string]string{knative.ClassKey: "kpa.autoscaling.knative.dev", knative.MetricKey: "concurrency"}
	maps.Copy(all, annotations)
	c := knative.Default()
	return simulate.ScalingSettings{Annotations: all, Concurrency: concurrency, GPUs: 1, Autoscaler: c.Autoscaler(), ProgressDeadline: c.ProgressDeadline()}
}

func durations(t testing.TB, text string) simulate.Durations {
	t.Helper()
	d, err := simulate.ParseDurations(text)
	require.NoError(t, err)
	return d
}

// BenchmarkThreeDaysUnderTenSettings is what --suggest and comparisons rest on: three days
// under ten settings take less than two seconds.
func BenchmarkThreeDaysUnderTenSettings(b *testing.B) {
	load, err := simulate.ParseShape("daily:2,30,for=72h")
	require.NoError(b, err)
	service, startup := durations(b, "lognormal:1s,p99=6s"), durations(b, "45s")
	arrivals, err := load.Poisson(service.Mean(), 1)
	require.NoError(b, err)
	targets := []string{"1", "2", "3", "4", "5", "6", "8", "10", "15", "20"}
	for b.Loop() {
		var wait sync.WaitGroup
		slots := make(chan struct{}, runtime.GOMAXPROCS(0))
		for _, target := range targets {
			wait.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				r, err := simulate.Run(simulate.Scenario{Settings: settings(20, map[string]string{knative.TargetKey: target}), Arrivals: arrivals, Service: service, Startup: startup, Points: 1000})
				require.NoError(b, err)
				require.Positive(b, r.PodHours)
			})
		}
		wait.Wait()
	}
}

func run(t *testing.T, shape, service, startup string, s simulate.ScalingSettings) simulate.Simulation {
	t.Helper()
	load, err := simulate.ParseShape(shape)
	require.NoError(t, err)
	d := durations(t, service)
	arrivals, err := load.Even(d.Mean())
	require.NoError(t, err)
	r, err := simulate.Run(simulate.Scenario{Settings: s, Arrivals: arrivals, Service: d, Startup: durations(t, startup), CPUPerRequest: 0.5, Points: 10000})
	require.NoError(t, err)
	return r
}

func TestAWorkloadWithoutRequestsGoesToZeroWhenKnativeSays(t *testing.T) {
	r := run(t, "constant:0,for=1h", "1s", "30s", settings(0, map[string]string{knative.ScaleDownDelayKey: "1m", knative.RetentionKey: "10m"}))
	// One pod: active for the window of 60s, then retained for 10m, and 30s until it has ended.
	assert.InDelta(t, (60+600+30)/3600., r.PodHours, 4/3600.)
	assert.Equal(t, 1, r.PeakPods)
	assert.Zero(t, r.ColdStarts)
	assert.Zero(t, r.Requests)
}

func TestTheFirstRequestAfterZeroWaitsForAPod(t *testing.T) {
	r := run(t, "spike:0,1,at=30m,length=10s,for=40m", "500ms", "30s", settings(0, map[string]string{knative.RetentionKey: "0s"}))
	assert.Equal(t, 1, r.ColdStarts)
	assert.EqualValues(t, 10, r.Requests)
	assert.EqualValues(t, 10, r.WaitedRequests, "all of them came before the pod was ready")
	assert.InDelta(t, 30, r.WaitMax, 1)
	assert.Zero(t, r.Unserved)
}

func TestMaxScaleCutsOff(t *testing.T) {
	s := settings(1, map[string]string{knative.MaxScaleKey: "4"})
	s.MaxScaleFrom = "policy platform (bounds.maxScale.max)"
	r := run(t, "constant:7,for=10m", "1s", "10s", s)
	assert.Equal(t, 4, r.PeakPods)
	require.NotNil(t, r.CutOff)
	assert.Equal(t, "policy platform (bounds.maxScale.max)", r.CutOff.From)
	assert.Equal(t, 4, r.CutOff.MaxScale)
	assert.Greater(t, r.CutOff.Seconds, 500.)
	assert.InDelta(t, 3*600, float64(r.Unserved), 200, "seven come, four are served")
	assert.NotEmpty(t, r.PanicSpans)
}

// TestTheQueueOfTheStartIsNotWhatTheLoadNeeds: in panic mode the autoscaler goes on wanting what it
// wanted for the longest queue, for as long as the load is more than one that needs no panic.
func TestTheQueueOfTheStartIsNotWhatTheLoadNeeds(t *testing.T) {
	s := settings(1, map[string]string{knative.MaxScaleKey: "6", knative.TargetKey: "1", knative.UtilizationKey: "100", knative.InitialScaleKey: "1"})
	r := run(t, "constant:6,for=1h", "1s", "1m", s)
	require.NotNil(t, r.CutOff)
	assert.Greater(t, r.CutOff.Seconds, 3000., "what waited since the start is never served")
	assert.Zero(t, r.CutOff.MostPods, "six at a time need six pods")
	assert.Zero(t, r.CutOff.PodHours)

	s.Annotations[knative.MaxScaleKey] = "4"
	r = run(t, "constant:6,for=1h", "1s", "1m", s)
	assert.Equal(t, 2, r.CutOff.MostPods)
	assert.InDelta(t, 2, r.CutOff.PodHours, 0.05, "two pods for an hour")
}

func TestPodsBeyondALimitAreCounted(t *testing.T) {
	s := settings(0, map[string]string{knative.TargetKey: "10", knative.UtilizationKey: "100"})
	s.Limits = []simulate.ReachedLimit{{From: "budget b (Warn)", Pods: 3}, {From: "policy p (Audit)", Pods: 5}}
	r := run(t, "constant:40,for=1h", "1s", "0s", s)
	last := r.Series[len(r.Series)-1]
	require.Equal(t, 4, last.Pods)
	require.Len(t, r.Beyond, 2)
	assert.Equal(t, 1, r.Beyond[0].MostPods)
	assert.InDelta(t, 3600, r.Beyond[0].Seconds, 120)
	assert.InDelta(t, r.Beyond[0].Seconds/3600, r.Beyond[0].PodHours, 1e-3)
	assert.Equal(t, simulate.Beyond{From: "policy p (Audit)", Pods: 5}, r.Beyond[1])
}

func TestASteadyLoadHasThePodsOfLittlesLaw(t *testing.T) {
	r := run(t, "constant:40,for=2h", "1s", "5s", settings(0, map[string]string{knative.TargetKey: "10", knative.UtilizationKey: "80"}))
	last := r.Series[len(r.Series)-1]
	assert.Equal(t, 5, last.Pods, "40 at a time, 8 in each")
	assert.InDelta(t, 40, last.Concurrency, 0.5)
	assert.InDelta(t, 40, last.Requests, 0.5)
}

func TestClassHPAFollowsTheCPU(t *testing.T) {
	s := settings(0, map[string]string{knative.ClassKey: "hpa.autoscaling.knative.dev", knative.MetricKey: "cpu", knative.TargetKey: "80", knative.MaxScaleKey: "20", knative.WindowKey: "60s"})
	s.CPU = 2
	// 16 requests per second cost half a core-second each: 8 cores, 5 pods at 80 % of 2.
	r := run(t, "spike:0,16,at=10m,length=1h,for=2h", "1s", "20s", s)
	assert.Equal(t, 5, r.PeakPods)
	assert.Equal(t, 1, r.Series[0].Pods)
	assert.Equal(t, 1, r.Series[len(r.Series)-1].Pods, "never zero")
	at := func(seconds float64) (pods int) {
		for _, p := range r.Series {
			if p.Time <= seconds {
				pods = p.Pods
			}
		}
		return pods
	}
	assert.Equal(t, 1, at(610), "the window of a minute holds pods back")
	assert.Equal(t, 5, at(1200))
}

func TestWhatCannotBeSimulatedIsSaid(t *testing.T) {
	for name, test := range map[string]struct {
		annotations map[string]string
		cpu         float64
		want        string
	}{
		"hpa by memory":             {map[string]string{knative.ClassKey: "hpa.autoscaling.knative.dev", knative.MetricKey: "memory"}, 1, "class hpa with metric memory: a load says nothing of it"},
		"hpa without a cpu request": {map[string]string{knative.ClassKey: "hpa.autoscaling.knative.dev", knative.MetricKey: "cpu"}, 0, "set compute.kubetorch.com/cpus"},
		"hpa without a cost":        {map[string]string{knative.ClassKey: "hpa.autoscaling.knative.dev", knative.MetricKey: "cpu"}, 1, "--cpu-per-request"},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(0, test.annotations)
			s.CPU = test.cpu
			_, err := simulate.Run(simulate.Scenario{Settings: s, Arrivals: make(simulate.Arrivals, 8), Service: durations(t, "1s"), Startup: durations(t, "1s")})
			assert.ErrorContains(t, err, test.want)
		})
	}
}

func TestSearchFindsFewerGPUHoursWithinTheLimit(t *testing.T) {
	tried := []simulate.Values{{Parameter: "target", Texts: []string{"1", "5", "10"}}, {Parameter: "min-scale", Texts: []string{"0", "1"}}}
	world := map[[2]string]simulate.Simulation{
		{"", ""}: {GPUHours: 50, WaitP99: 0}, {"1", ""}: {GPUHours: 90}, {"5", ""}: {GPUHours: 30, WaitP99: 1}, {"10", ""}: {GPUHours: 10, WaitP99: 9},
		{"5", "0"}: {GPUHours: 20, WaitP99: 4}, {"5", "1"}: {GPUHours: 25, WaitP99: 0}, {"1", "0"}: {GPUHours: 80}, {"10", "0"}: {GPUHours: 5, WaitP99: 30}, {"10", "1"}: {GPUHours: 12, WaitP99: 2}, {"1", "1"}: {GPUHours: 90},
	}
	simulated := func(p simulate.Parameters) (simulate.Simulation, error) {
		if p["min-scale"] == "0" && p["target"] == "5" {
			return simulate.Simulation{}, assert.AnError // a policy refuses it
		}
		return world[[2]string{p["target"], p["min-scale"]}], nil
	}
	best, err := simulate.ParameterSearch{Limit: 5, Values: tried, Simulate: simulated}.Best()
	require.NoError(t, err)
	assert.Equal(t, simulate.Candidate{Parameters: simulate.Parameters{"target": "10", "min-scale": "1"}, Result: world[[2]string{"10", "1"}]}, best)

	_, err = simulate.ParameterSearch{Limit: -1, Values: tried, Simulate: simulated}.Best()
	assert.ErrorIs(t, err, simulate.ErrNoneFits)
}
