package simulate

import (
	"context"
	"math"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/serving/pkg/apis/autoscaling"
	"knative.dev/serving/pkg/autoscaler/aggregation"
	knconfig "knative.dev/serving/pkg/autoscaler/config"
	"knative.dev/serving/pkg/autoscaler/metrics"
	"knative.dev/serving/pkg/autoscaler/scaling"
	"knative.dev/serving/pkg/reconciler/autoscaling/kpa/resources"
	aresources "knative.dev/serving/pkg/reconciler/autoscaling/resources"
)

// tickInterval is how often Knative's autoscaler decides.
const tickInterval = 2 * time.Second

// epoch is when a simulation starts. Any time would do that is a multiple of a tick.
var epoch = time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC)

// window is one of the averages that Knative's metric collector keeps.
type window interface {
	Record(now time.Time, value float64)
	WindowAverage(now time.Time) float64
	IsEmpty(now time.Time) bool
}

// kpa decides as Knative's autoscaler and its KPA reconciler do.
type kpa struct {
	state   autoscalerState
	decider *scaling.Decider
	scaler  scaling.UniScaler
	log     *zap.SugaredLogger
	rps     bool
	scraped bool // pods are scraped, and not the activator's word alone taken

	stable, burst window
	ready         int
	created       bool
	panicking     bool

	stablePods, panicPods float64 // the averages that the decider sees
	empty                 bool
	same                  same
}

// same counts ticks that were alike, so that more of them may be left out.
type same struct {
	stable, burst float64
	ready         int
	count         int
	enough        int // from that many on, another one changes nothing
	skipped       time.Time
}

func newKPA(s ScalingSettings) *kpa {
	pa := s.podAutoscaler()
	d := resources.MakeDecider(pa, s.Autoscaler)
	metric := aresources.MakeMetric(pa, "scraped", s.Autoscaler)
	k := &kpa{decider: d, rps: isRPS(d.Spec.ScalingMetric), scraped: d.Spec.TargetBurstCapacity != -1}
	k.stable, k.burst = newWindow(metric.Spec.StableWindow, metric.AggregationAlgorithm()), newWindow(metric.Spec.PanicWindow, metric.AggregationAlgorithm())
	k.log = zap.New(panicWatch{k}).Sugar()
	k.scaler = scaling.New(context.Background(), d.Namespace, d.Name, k, k, &d.Spec)
	k.created = true
	// Panic mode ends after a window, and what it wanted is delayed from then on.
	k.same.enough = int((d.Spec.ScaleDownDelay+metric.Spec.StableWindow)/tickInterval) + 3
	d.Status = initialStatus(&d.Spec)
	b := boundsOf(s, d)
	k.state = autoscalerState{bounds: b, active: active, since: epoch, initialized: true, proxied: d.Status.ExcessBurstCapacity < 0, proxySince: epoch}
	if k.initial() == 0 {
		k.state.active, k.state.proxied = inactive, true
	}
	return k
}

// initialStatus restates MultiScaler.createScaler.
func initialStatus(spec *scaling.DeciderSpec) scaling.DeciderStatus {
	status := scaling.DeciderStatus{DesiredScale: scaleUnknown}
	if burst := spec.TargetBurstCapacity; burst == -1 || burst == 0 {
		status.ExcessBurstCapacity = int32(burst)
	} else {
		status.ExcessBurstCapacity = int32(float64(spec.InitialScale)*spec.TotalValue - burst)
	}
	return status
}

// newWindow restates the choice of metrics.newCollection.
func newWindow(length time.Duration, algorithm string) window {
	if algorithm == autoscaling.MetricAggregationAlgorithmWeightedExponential {
		return aggregation.NewWeightedFloat64Buckets(length, knconfig.BucketSize)
	}
	return aggregation.NewTimedFloat64Buckets(length, knconfig.BucketSize)
}

// initial is how many pods are ready when a revision begins to serve.
func (k *kpa) initial() int { return int(max(k.state.initialScale, k.state.minScale)) }

// observe records what pods and activator report. Pods report that there is nothing to do,
// the activator reports nothing then.
func (k *kpa) observe(now time.Time, s stat) {
	if s.concurrency == 0 && s.requests == 0 && (s.ready == 0 || !k.scraped) {
		return
	}
	value := s.concurrency
	if k.rps {
		value = s.requests
	}
	k.stable.Record(now, value)
	k.burst.Record(now, value)
}

// every is the number of seconds between two decisions.
func (k *kpa) every() int { return int(tickInterval / time.Second) }

// tick lets the decider decide.
func (k *kpa) tick(now time.Time, ready int) {
	stable, burst := k.stable.WindowAverage(now), k.burst.WindowAverage(now)
	empty := k.scraped && k.stable.IsEmpty(now)
	s := &k.same
	if s.stable == stable && s.burst == burst && s.ready == ready && !empty && !k.empty {
		if s.count++; s.count > s.enough {
			s.skipped = now
			return
		}
	} else {
		if !s.skipped.IsZero() {
			// Of the ticks left out, the last leaves in the decider what all would have left.
			k.decide(s.skipped)
		}
		*s = same{stable: stable, burst: burst, ready: ready, enough: s.enough}
	}
	k.stablePods, k.panicPods, k.empty, k.ready = stable, burst, empty, ready
	k.decide(now)
}

func (k *kpa) decide(now time.Time) {
	result := k.scaler.Scale(k.log, now)
	if result.ScaleValid {
		k.decider.Status = scaling.DeciderStatus{DesiredScale: result.DesiredPodCount, ExcessBurstCapacity: result.ExcessBurstCapacity}
	}
}

// desired is how many pods the decider wants; scaleUnknown at first.
func (k *kpa) desired() int { return int(k.decider.Status.DesiredScale) }

// replicas is how many pods the Deployment is to have, scaleUnknown for as many as it has.
func (k *kpa) replicas(now time.Time, ready int) int {
	return int(k.state.reconcile(now, k.decider.Status, int32(ready)))
}

// limit is the largest number of pods; 0 is none.
func (k *kpa) limit() int { return int(k.state.maxScale) }

// window is the stable window in seconds.
func (k *kpa) window() int { return int(k.decider.Spec.StableWindow / time.Second) }

// needs are the pods that have a load at the target, as the decider has them where nothing waits.
func (k *kpa) needs(perSecond, atATime float64) int {
	value := atATime
	if k.rps {
		value = perSecond
	}
	return int(math.Ceil(value/k.decider.Spec.TargetValue - 1e-9))
}

// inPanic tells whether the decider is in panic mode.
func (k *kpa) inPanic() bool { return k.panicking }

// pokes tells whether a first request makes the decider decide at once.
func (k *kpa) pokes() bool { return k.decider.Status.DesiredScale == 0 }

// StableAndPanicConcurrency gives the decider its averages.
func (k *kpa) StableAndPanicConcurrency(types.NamespacedName, time.Time) (stable, burst float64, err error) {
	if k.empty {
		return 0, 0, metrics.ErrNoData
	}
	return k.stablePods, k.panicPods, nil
}

// StableAndPanicRPS gives the decider its averages.
func (k *kpa) StableAndPanicRPS(key types.NamespacedName, now time.Time) (stable, burst float64, err error) {
	return k.StableAndPanicConcurrency(key, now)
}

// ReadyCount gives the decider the number of ready pods: there is no such Service yet when
// the decider of a new revision is made.
func (k *kpa) ReadyCount() (int, error) {
	if !k.created {
		return 0, apierrors.NewNotFound(schema.GroupResource{Resource: "services"}, k.decider.Name)
	}
	return k.ready, nil
}

// NotReadyCount is asked for by nobody.
func (k *kpa) NotReadyCount() (int, error) { return 0, nil }

// panicWatch learns from the decider's log when it enters and leaves panic mode: it keeps
// that to itself otherwise.
type panicWatch struct{ k *kpa }

func (panicWatch) Enabled(level zapcore.Level) bool { return level == zapcore.InfoLevel }

func (w panicWatch) With([]zapcore.Field) zapcore.Core { return w }

func (w panicWatch) Check(e zapcore.Entry, _ *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	switch e.Message {
	case "PANICKING.":
		w.k.panicking = true
	case "Un-panicking.":
		w.k.panicking = false
	}
	return nil
}

func (panicWatch) Write(zapcore.Entry, []zapcore.Field) error { return nil }

func (panicWatch) Sync() error { return nil }
