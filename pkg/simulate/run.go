package simulate

import (
	"fmt"
	"math"
	"time"

	knautoscaling "knative.dev/serving/pkg/apis/autoscaling"
)

// Drain is how long a Knative pod takes to end: its queue-proxy goes on serving that long.
const Drain = 30 * time.Second

// Scenario is what a simulation depends on.
type Scenario struct {
	Settings ScalingSettings
	Arrivals Arrivals
	// Service is how long requests take, Startup how long pods take to become ready.
	Service, Startup Durations
	// CPUPerRequest in core-seconds, for class hpa.
	CPUPerRequest float64
	// Points is how many points the series has at most; 0 leaves it out.
	Points int
	// Observe is told at the end of each second what was measured and decided; nil for nobody.
	Observe func(Observation)
}

// Observation is what was measured, and what was decided on it.
type Observation struct {
	// Time from the start; not a whole second if the activator reports the first request to
	// a workload without pods.
	Time time.Duration
	// Concurrency on average over the second, and Requests that came in it.
	Concurrency, Requests float64
	// Ready pods, when it was decided.
	Ready int
	// Desired is what the decider wants, Replicas what the Deployment has then.
	Desired, Replicas int
	// First is whether it is the report of a first request.
	First bool
}

// stat is what is measured over a second: requests in pods and activator on average, those
// of them that are being served, how many came, and how many pods are ready at its end.
type stat struct {
	concurrency, serving, requests float64
	ready                          int
}

// scaler decides how many pods there are.
type scaler interface {
	every() int // seconds between two decisions
	observe(now time.Time, s stat)
	tick(now time.Time, ready int)
	replicas(now time.Time, ready int) int
	desired() int
	limit() int
	// window is how many seconds decisions look back on; needs are the pods for a load at the target.
	window() int
	needs(perSecond, atATime float64) int
	initial() int
	inPanic() bool
	pokes() bool
}

// simulation is the state of one.
type simulation struct {
	Scenario
	scaler   scaler
	pods     pods
	requests *requests
	result   Simulation
	series   *series
	recent   recent

	held     float64 // requests in flight over this second, times steps
	serving  float64 // those being served
	came     int64   // requests of this second
	reported bool    // one of them was reported at once
	cold     bool    // requests wait for the first pod
}

// Run simulates.
func Run(in Scenario) (Simulation, error) {
	if err := in.Settings.validate(); err != nil {
		return Simulation{}, err
	}
	s := &simulation{Scenario: in, requests: newRequests(in.Service)}
	if in.Settings.class() == knautoscaling.HPA {
		if in.CPUPerRequest <= 0 {
			return Simulation{}, fmt.Errorf("class hpa scales by cpu: say how much of it a request costs (--cpu-per-request)")
		}
		s.scaler = newHPA(in.Settings, in.CPUPerRequest/max(in.Service.Mean(), 1e-3))
	} else {
		s.scaler = newKPA(in.Settings)
	}
	s.pods = pods{startup: in.Startup, drain: int(Drain.Seconds() * stepsPerSecond), ready: s.scaler.initial(), peak: s.scaler.initial()}
	s.pods.started = int64(s.pods.ready)
	s.series = newSeries(in.Points, len(in.Arrivals))
	s.recent = recent{counts: make([]int64, max(s.scaler.window(), 1))}
	for _, l := range in.Settings.Limits {
		s.result.Beyond = append(s.result.Beyond, Beyond{From: l.From, Pods: l.Pods})
	}
	for k := range in.Arrivals {
		s.step(k)
	}
	s.finish()
	return s.result, nil
}

// step is a quarter of a second.
func (s *simulation) step(k int) {
	s.pods.advance(k)
	s.requests.begin(k)
	count := int64(s.Arrivals[k])
	s.requests.arrive(k, count)
	if s.pods.ready > 0 {
		s.cold = false
	} else if count > 0 && !s.cold {
		s.cold = true
		s.result.ColdStarts++
	}
	if count > 0 && s.scaler.pokes() {
		s.poke(k)
	}
	s.requests.start(k, s.places())
	s.held += s.requests.busy + float64(s.requests.queued)
	s.serving += s.requests.busy
	s.came += count
	s.pods.count()
	s.series.add(k, s, count)
	if (k+1)%stepsPerSecond == 0 {
		s.second(k + 1)
	}
}

// places is how many requests all ready pods take at a time.
func (s *simulation) places() float64 {
	switch {
	case s.pods.ready == 0:
		return 0
	case s.Settings.Concurrency == 0:
		return math.Inf(1)
	}
	return float64(s.pods.ready) * float64(s.Settings.Concurrency)
}

// poke is what the activator does with the first request to a revision without pods: it
// reports it at once, and the autoscaler decides at once.
func (s *simulation) poke(k int) {
	now := at(k)
	measured := stat{concurrency: 1, requests: 1, ready: s.pods.ready}
	s.scaler.observe(now, measured)
	s.reported = true
	s.scaler.tick(now, s.pods.ready)
	s.reconcile(k, now)
	s.tell(k, measured, true)
}

// second is the end of one: pods and activator report, and every other time the autoscaler
// decides.
func (s *simulation) second(k int) {
	now := at(k)
	measured := stat{s.held / stepsPerSecond, s.serving / stepsPerSecond, float64(s.came), s.pods.ready}
	if s.reported {
		measured.concurrency, measured.requests = max(measured.concurrency-1, 0), measured.requests-1
	}
	s.scaler.observe(now, measured)
	s.recent.add(s.came)
	s.held, s.serving, s.came, s.reported = 0, 0, 0, false
	if k/stepsPerSecond%s.scaler.every() == 0 {
		s.scaler.tick(now, s.pods.ready)
	}
	s.reconcile(k, now)
	s.account(k)
	s.tell(k, measured, false)
}

func (s *simulation) tell(k int, measured stat, first bool) {
	if s.Observe != nil {
		s.Observe(Observation{Time: at(k).Sub(epoch), Concurrency: measured.concurrency, Requests: measured.requests, Ready: measured.ready,
			Desired: s.scaler.desired(), Replicas: s.pods.replicas(), First: first})
	}
}

func (s *simulation) reconcile(k int, now time.Time) {
	if replicas := s.scaler.replicas(now, s.pods.ready); replicas >= 0 {
		s.pods.scale(k, replicas)
	}
}

// account notes panic spans, what the maximum cut off, and what is beyond limits.
func (s *simulation) account(k int) {
	if spans := &s.result.PanicSpans; s.scaler.inPanic() {
		if n := len(*spans); n > 0 && (*spans)[n-1].To == seconds(k)-1 {
			(*spans)[n-1].To = seconds(k)
		} else {
			*spans = append(*spans, Interval{From: seconds(k) - 1, To: seconds(k)})
		}
	}
	for i := range s.result.Beyond {
		b := &s.result.Beyond[i]
		if over := s.pods.replicas() - b.Pods; over > 0 {
			b.Seconds++
			b.MostPods = max(b.MostPods, over)
			b.PodHours += float64(over) / 3600
		}
	}
	if limit := s.scaler.limit(); limit != 0 && s.scaler.desired() > limit {
		s.cut(limit)
	}
}

// cut notes that the autoscaler wanted more for a second. In panic mode it goes on wanting what it
// wanted for the longest queue: how many more are missing is told by what comes.
func (s *simulation) cut(limit int) {
	c := s.result.CutOff
	if c == nil {
		c = &CutOff{MaxScale: limit, From: s.Settings.MaxScaleFrom}
		s.result.CutOff = c
	}
	c.Seconds++
	perSecond := s.recent.mean()
	if over := s.scaler.needs(perSecond, perSecond*s.Service.Mean()) - limit; over > 0 {
		c.MostPods = max(c.MostPods, over)
		c.PodHours += float64(over) / 3600
	}
}

// recent counts what came in the last seconds.
type recent struct {
	counts []int64 // a ring
	sum    int64
	seen   int // seconds
}

func (r *recent) add(came int64) {
	at := &r.counts[r.seen%len(r.counts)]
	r.sum += came - *at
	*at = came
	r.seen++
}

// mean is how many came in a second.
func (r *recent) mean() float64 { return float64(r.sum) / float64(max(min(r.seen, len(r.counts)), 1)) }

func (s *simulation) finish() {
	r := &s.result
	r.Unserved = s.requests.unserved(len(s.Arrivals))
	r.Seconds = float64(len(s.Arrivals)) * step
	r.Requests = s.requests.served + r.Unserved
	r.PeakPods = s.pods.peak
	r.PodStarts = s.pods.started
	r.PodHours = float64(s.pods.steps) * step / 3600
	r.GPUsPerPod = s.Settings.GPUs
	r.GPUHours = r.PodHours * float64(s.Settings.GPUs)
	r.WaitedRequests = s.requests.waited
	r.WaitSeconds = float64(s.requests.waitedStep) * step
	r.WaitP99 = s.requests.percentile(0.99)
	r.WaitMax = s.requests.percentile(1)
	r.Series = s.series.points()
	r.round()
}

// at is the time of the start of step k.
func at(k int) time.Time { return epoch.Add(time.Duration(k) * time.Second / stepsPerSecond) }

func seconds(k int) float64 { return float64(k) * step }
