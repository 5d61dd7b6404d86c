package simulate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	autoscalingv1alpha1 "knative.dev/serving/pkg/apis/autoscaling/v1alpha1"
	"knative.dev/serving/pkg/autoscaler/metrics"
	"knative.dev/serving/pkg/autoscaler/scaling"
	"knative.dev/serving/pkg/reconciler/autoscaling/kpa/resources"
	aresources "knative.dev/serving/pkg/reconciler/autoscaling/resources"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/simulate"
)

// Ten loads and five settings, which tests compare with Knative under.
var (
	loads = map[string]string{
		"a steady trickle":                  "constant:0.02,for=3h",
		"a steady load":                     "constant:12,for=1h",
		"a load in bursts of half a second": "constant:300,for=10m",
		"a spike from nothing":              "spike:0,40,at=5m,length=90s,for=1h",
		"a spike that is short":             "spike:1,60,at=10m,length=10s,for=40m",
		"a spike at once":                   "spike:0,25,at=0s,length=10m,for=2h",
		"a spike and then nothing":          "spike:10,0,at=3m,length=2h,for=2h30m",
		"a day":                             "daily:0,15",
		"a night without requests":          "daily:0,0.2,peak=6h",
		"a concurrency":                     "spike:3,17,at=8m,length=20m,for=1h,unit=concurrency",
	}
	settingsOf = map[string]simulate.ScalingSettings{
		"as Knative comes":          settings(0, nil),
		"one request in a pod":      settings(1, map[string]string{knative.MaxScaleKey: "20", "autoscaling.knative.dev/target-burst-capacity": "-1"}),
		"kubetorch's defaults":      settings(10, map[string]string{knative.TargetKey: "5", knative.MaxScaleKey: "10", knative.ScaleDownDelayKey: "1m", knative.RetentionKey: "10m"}),
		"by requests, short window": settings(0, map[string]string{knative.MetricKey: "rps", knative.TargetKey: "2", knative.WindowKey: "6s", knative.MinScaleKey: "1"}),
		"weighted, activation of 3": settings(4, map[string]string{knative.AlgorithmKey: "weightedExponential", knative.ActivationScaleKey: "3", knative.InitialScaleKey: "2", knative.WindowKey: "2m"}),
	}
)

// knativeAutoscaler is Knative's own metric collector and autoscaler, which decides at every tick.
type knativeAutoscaler struct {
	collector *metrics.MetricCollector
	scaler    scaling.UniScaler
	key       types.NamespacedName
	ready     int
	err       error
}

func newKnativeAutoscaler(t *testing.T, s simulate.ScalingSettings) *knativeAutoscaler {
	t.Helper()
	pa := &autoscalingv1alpha1.PodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "r", Annotations: s.Annotations},
		Spec: autoscalingv1alpha1.PodAutoscalerSpec{ContainerConcurrency: s.Concurrency, Reachability: autoscalingv1alpha1.ReachabilityReachable}}
	k := &knativeAutoscaler{key: types.NamespacedName{Namespace: "n", Name: "r"}, err: apierrors.NewNotFound(schema.GroupResource{}, "r")}
	k.collector = metrics.NewMetricCollector(func(*autoscalingv1alpha1.Metric, *zap.SugaredLogger) (metrics.StatsScraper, error) { return nil, nil }, zap.NewNop().Sugar())
	scraped := "scraped"
	d := resources.MakeDecider(pa, s.Autoscaler)
	if d.Spec.TargetBurstCapacity == -1 {
		scraped = ""
	}
	require.NoError(t, k.collector.CreateOrUpdate(aresources.MakeMetric(pa, scraped, s.Autoscaler)))
	t.Cleanup(func() { k.collector.Delete("n", "r") })
	k.scaler = scaling.New(context.Background(), "n", "r", k.collector, k, &d.Spec)
	k.err = nil
	return k
}

func (k *knativeAutoscaler) ReadyCount() (int, error) { return k.ready, k.err }

func (k *knativeAutoscaler) NotReadyCount() (int, error) { return 0, errors.New("nobody asks") }

// TestDecisionsAreKnatives feeds Knative's own collector and autoscaler with the statistics
// of a simulation, and compares what they decide tick by tick.
func TestDecisionsAreKnatives(t *testing.T) {
	start := time.Date(2024, time.May, 6, 0, 0, 0, 0, time.UTC)
	for loadName, shape := range loads {
		for name, s := range settingsOf {
			t.Run(loadName+", "+name, func(t *testing.T) {
				t.Parallel()
				load, err := simulate.ParseShape(shape)
				require.NoError(t, err)
				service, startup := durations(t, "exponential:900ms"), durations(t, "25s")
				arrivals, err := load.Poisson(service.Mean(), 7)
				require.NoError(t, err)
				real := newKnativeAutoscaler(t, s)
				want, ticks := -1, 0
				var wrong []string
				_, err = simulate.Run(simulate.Scenario{Settings: s, Arrivals: arrivals, Service: service, Startup: startup, Observe: func(o simulate.Observation) {
					now := start.Add(o.Time)
					if o.Concurrency > 0 || o.Requests > 0 || (o.Ready > 0 && s.Annotations["autoscaling.knative.dev/target-burst-capacity"] != "-1") {
						real.collector.Record(real.key, now, metrics.Stat{PodName: "p", AverageConcurrentRequests: o.Concurrency, RequestCount: o.Requests})
					}
					if real.ready = o.Ready; o.First || o.Time%(2*time.Second) == 0 {
						if r := real.scaler.Scale(zap.NewNop().Sugar(), now); r.ScaleValid {
							want = int(r.DesiredPodCount)
						}
						ticks++
					}
					if o.Desired != want {
						wrong = append(wrong, fmt.Sprintf("%s: %d instead of Knative's %d", o.Time, o.Desired, want))
					}
				}})
				require.NoError(t, err)
				assert.Empty(t, wrong[:min(len(wrong), 10)])
				assert.GreaterOrEqual(t, ticks, len(arrivals)/8)
			})
		}
	}
	assert.Len(t, loads, 10)
	assert.Len(t, settingsOf, 5)
}

// TestASteadyLoadIsDecidedAsKnativeDoes has one second like the other: what panic mode wanted is held for a window after
// it ends, and then for the delay, and only then may ticks be left out.
func TestASteadyLoadIsDecidedAsKnativeDoes(t *testing.T) {
	s := settings(10, map[string]string{knative.TargetKey: "5", knative.MaxScaleKey: "50", knative.ScaleDownDelayKey: "20s", knative.WindowKey: "30s", "autoscaling.knative.dev/target-burst-capacity": "-1"})
	d, real := simulate.NewDecider(s), newKnativeAutoscaler(t, s)
	start, want := time.Date(2024, time.May, 6, 0, 0, 0, 0, time.UTC), -1
	for second := range 200 {
		now, concurrency := start.Add(time.Duration(second)*time.Second), 24.
		if second < 3 {
			concurrency = 40
		}
		d.Record(now, concurrency, 12)
		real.collector.Record(real.key, now, metrics.Stat{PodName: "p", AverageConcurrentRequests: concurrency, RequestCount: 12})
		if real.ready = 2; second >= 70 {
			real.ready = 4 // enough of them for panic mode to end
		}
		if second%2 > 0 {
			continue
		}
		if r := real.scaler.Scale(zap.NewNop().Sugar(), now); r.ScaleValid {
			want = int(r.DesiredPodCount)
		}
		d.Tick(now, real.ready)
		require.Equal(t, want, d.Desired(), "after %d seconds", second)
	}
	assert.Equal(t, 7, d.Desired(), "24 requests at a time, of 3.5 in each pod")
}
