package pods

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/simulate"
	"github.com/kubetorch/webhook/test/pods/observed"
)

// simulatedParameters are those of one manifest, under all loads that are simulated too.
var simulatedParameters = map[string]string{
	"gpus": "1", "target": "5", "concurrency": "10", "min-scale": "0", "max-scale": "10", "window": "20s", "scale-down-delay": "10s",
	"scale-to-zero-pod-retention-period": "0s",
}

// simulatedLoads are in requests a second, which take a second each.
var simulatedLoads = map[string][]simulate.Span{
	"a steady load":    {{Seconds: 90, Rate: 20}},
	"a spike":          {{Seconds: 40, Rate: 3}, {Seconds: 50, Rate: 24}, {Seconds: 70, Rate: 3}},
	"to zero and back": {{Seconds: 30, Rate: 6}, {Seconds: 95}, {Seconds: 40, Rate: 6}},
}

// How far pods may be from what was simulated, as docs/scaling.md explains: at every moment
// there are as many, give or take a pod, as the other has within so much time, and in all
// they differ by that share of their time. All pods are simulated to take the same time to
// become ready: what the slowest one took longer comes on top.
const (
	simulatedApart = 15 * time.Second
	simulatedShare = 0.25
)

// TestPodsAreAsManyAsSimulated sends the same requests to pods and to the simulation of the
// same manifest, with the time that pods were seen to take to become ready.
func TestPodsAreAsManyAsSimulated(t *testing.T) {
	t.Parallel()
	for name, spans := range simulatedLoads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			load := &simulate.Load{Name: name, Spans: spans}
			const hold = time.Second
			arrivals, err := load.Even(hold.Seconds())
			require.NoError(t, err)
			ns := newNamespace(t, "simulate")
			pods := observe(t.Context(), ns)
			expanded := create(t, services, ns, service("app", prefixed(simulatedParameters), nil))
			awaitReady(t, client.Resource(services).Namespace(ns), "app", "Ready")
			begin := time.Now()
			l := newLoad()
			l.quarters(t.Context(), throughIngress(ns, "app", hold), arrivals)
			end := begin.Add(time.Duration(load.Seconds()) * time.Second)
			startup := pods.startups()
			require.NotEmpty(t, startup)
			cold := startup[len(startup)/2]

			settings, err := simulate.SettingsOf(expanded.Object, 1, knative.Default())
			require.NoError(t, err)
			simulated := simulation(t, settings, arrivals, hold, cold)
			was := observed.Between(pods.end(), begin.Sub(pods.begin), end.Sub(pods.begin))
			apart, near := observed.Apart(was, simulated, observed.Live, 0), observed.Apart(was, simulated, observed.Live, 1)
			wasSum, simulatedSum := observed.PodSeconds(was, observed.Live), observed.PodSeconds(simulated, observed.Live)
			assert.Empty(t, l.failed())
			assert.LessOrEqual(t, near, simulatedApart+startup[len(startup)-1]-cold, "real and simulated pods are apart")
			assert.InEpsilon(t, wasSum, simulatedSum, simulatedShare, "pod-seconds")
			record(t, simulatedTable, []string{
				fmt.Sprintf("%s: %s", name, perSecondOf(spans)),
				fmt.Sprintf("%.1f s (median of %d, %.1f to %.1f s)", cold.Seconds(), len(startup), startup[0].Seconds(), startup[len(startup)-1].Seconds()),
				fmt.Sprintf("%d, %d", observed.Most(was, observed.Live), observed.Most(simulated, observed.Live)),
				fmt.Sprintf("%.0f, %.0f", wasSum, simulatedSum),
				fmt.Sprintf("%.1f s", apart.Seconds()), fmt.Sprintf("%.1f s", near.Seconds()),
				fmt.Sprintf("%d, %d failed", l.answers(), len(l.failed())),
			})
			drawIf(t, observed.Beside("simulated: "+name, "the load", heights(spans), was, simulated))
		})
	}
}

// simulation are the pods of a simulation, a sample a second.
func simulation(
	t *testing.T, settings simulate.ScalingSettings, arrivals simulate.Arrivals, hold, startup time.Duration,
) (samples []observed.Sample) {
	t.Helper()
	service, err := simulate.ParseDurations(hold.String())
	require.NoError(t, err)
	cold, err := simulate.ParseDurations(startup.String())
	require.NoError(t, err)
	r, err := simulate.Run(simulate.Scenario{
		Settings: settings, Arrivals: arrivals, Service: service, Startup: cold, Points: len(arrivals),
	})
	require.NoError(t, err)
	for _, p := range r.Series {
		samples = append(samples, observed.Sample{
			At:       time.Duration(p.Time * float64(time.Second)),
			PodCount: observed.PodCount{Ready: int(p.Ready), Live: p.Pods, All: p.Pods + p.Ending},
		})
	}
	return samples
}

// perSecondOf says a load in words.
func perSecondOf(spans []simulate.Span) (text string) {
	for i, s := range spans {
		if i > 0 {
			text += ", then "
		}
		text += fmt.Sprintf("%.0f/s for %.0f s", s.Rate, s.Seconds)
	}
	return text
}

// heights are the spans of a load for a picture.
func heights(spans []simulate.Span) (list []observed.Span) {
	most := 0.
	for _, s := range spans {
		most = max(most, s.Rate)
	}
	begin := time.Duration(0)
	for _, s := range spans {
		end := begin + time.Duration(s.Seconds*float64(time.Second))
		list = append(list, observed.Span{From: begin, To: end, Height: s.Rate / most})
		begin = end
	}
	return list
}

// quarters sends what arrives in each quarter of a second, spread over it, and waits for all
// answers.
func (l *load) quarters(ctx context.Context, to target, arrivals simulate.Arrivals) {
	const quarter = time.Second / 4
	begin := time.Now()
	var under sync.WaitGroup
	defer under.Wait()
	for k, n := range arrivals {
		for i := range n {
			select {
			case <-time.After(time.Until(begin.Add(time.Duration(k)*quarter + quarter*time.Duration(i)/time.Duration(n)))):
				under.Go(func() { l.send(ctx, to) })
			case <-ctx.Done():
				return
			}
		}
	}
	select {
	case <-time.After(time.Until(begin.Add(time.Duration(len(arrivals)) * quarter))):
	case <-ctx.Done():
	}
}
