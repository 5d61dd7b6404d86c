package simulate

import "math"

// Simulation is what became of one workload under a load.
type Simulation struct {
	// Manifest is the file, and Workload its kind, namespace and name.
	Manifest string `json:"manifest"`
	Workload string `json:"workload"`
	Load     string `json:"load"`
	// Seconds that the load lasts.
	Seconds  float64 `json:"seconds"`
	Requests int64   `json:"requests"`
	// PeakPods is the largest number of pods, those that end left out.
	PeakPods int `json:"peakPods"`
	// PodHours and GPUHours are held from the start of a pod until it has ended.
	PodHours float64 `json:"podHours"`
	GPUHours float64 `json:"gpuHours"`
	// GPUsPerPod are what makes GPUHours of PodHours.
	GPUsPerPod int64 `json:"gpusPerPod"`
	// ColdStarts is how often requests came while no pod was ready.
	ColdStarts int   `json:"coldStarts"`
	PodStarts  int64 `json:"podStarts"`
	// WaitedRequests did not start in the quarter of a second in which they came;
	// WaitSeconds is how long all of them waited together.
	WaitedRequests int64   `json:"waitedRequests"`
	WaitSeconds    float64 `json:"waitSeconds"`
	// WaitP99 and WaitMax are how long 99 % and all of all requests waited at most.
	WaitP99 float64 `json:"waitP99Seconds"`
	WaitMax float64 `json:"waitMaxSeconds"`
	// Unserved requests still waited at the end. They count as having waited until then.
	Unserved int64 `json:"unservedRequests"`
	// PanicSpans are when Knative's autoscaler was in panic mode.
	PanicSpans []Interval `json:"panicSpans"`
	// CutOff is what the largest number of pods kept the autoscaler from; absent if it never did.
	CutOff *CutOff `json:"cutOff,omitempty"`
	// Beyond is what of the pods is beyond bounds and budgets that only warn or audit.
	Beyond []Beyond `json:"beyond,omitempty"`
	// Refused says why the manifest as it is would not be admitted: what was simulated is as much
	// of it as its budgets have room for.
	Refused []string `json:"refused,omitempty"`
	// Suggestion is what was found if it was asked for.
	Suggestion *Suggestion `json:"suggestion,omitempty"`
	// Lowered are the parameters with which it would be, and was simulated.
	Lowered map[string]string `json:"lowered,omitempty"`
	Series  []Point           `json:"series"`
}

// Interval is a time, in seconds from the start.
type Interval struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

// CutOff is what a maximum of pods kept the autoscaler from.
type CutOff struct {
	MaxScale int `json:"maxScale"`
	// From says who set the maximum.
	From string `json:"from,omitempty"`
	// Seconds that the autoscaler wanted more, be it only to serve what waits.
	Seconds float64 `json:"seconds"`
	// MostPods more, and PodHours altogether, are what the load itself needs above the maximum:
	// what comes, over the autoscaler's window, at the workload's target.
	MostPods int     `json:"mostPods"`
	PodHours float64 `json:"podHours"`
}

// ReachedLimit is a number of pods that somebody is told about, and nothing holds them to.
type ReachedLimit struct {
	// From says whose it is.
	From string
	Pods int
}

// Beyond is what of the pods was beyond a limit.
type Beyond struct {
	From string `json:"from"`
	// Pods are how many are within it.
	Pods int `json:"pods"`
	// Seconds that there were more; MostPods more; PodHours more altogether.
	Seconds  float64 `json:"seconds"`
	MostPods int     `json:"mostPods"`
	PodHours float64 `json:"podHours"`
}

// Point is an interval of the series. Of pods and requests that wait it has the largest
// number, of the rest the mean.
type Point struct {
	// Time of its start, in seconds.
	Time        float64 `json:"time"`
	Requests    float64 `json:"requestsPerSecond"`
	Concurrency float64 `json:"concurrency"`
	Desired     int     `json:"desiredPods"`
	Pods        int     `json:"pods"`
	Ready       float64 `json:"readyPods"`
	Ending      int     `json:"endingPods"`
	Waiting     int64   `json:"waitingRequests"`
	Panic       bool    `json:"panic"`
}

func (r *Simulation) round() {
	for _, v := range []*float64{&r.PodHours, &r.GPUHours} {
		*v = math.Round(*v*1e4) / 1e4
	}
	if r.CutOff != nil {
		r.CutOff.PodHours = math.Round(r.CutOff.PodHours*1e4) / 1e4
	}
	for i := range r.Beyond {
		r.Beyond[i].PodHours = math.Round(r.Beyond[i].PodHours*1e4) / 1e4
	}
	if r.PanicSpans == nil {
		r.PanicSpans = []Interval{}
	}
	if r.Series == nil {
		r.Series = []Point{}
	}
}

// series gathers points.
type series struct {
	every int // steps
	list  []Point
	now   Point
	ready int
}

// intervals are the lengths that a point may have, in seconds.
var intervals = []int{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400}

func newSeries(points, steps int) *series {
	s := &series{}
	if points == 0 {
		return s
	}
	for _, length := range intervals {
		s.every = length * stepsPerSecond
		if (steps+s.every-1)/s.every <= points {
			break
		}
	}
	s.list = make([]Point, 0, steps/s.every+1)
	return s
}

func (s *series) add(k int, sim *simulation, came int64) {
	if s.every == 0 {
		return
	}
	p := &s.now
	p.Requests += float64(came)
	p.Concurrency += sim.requests.busy + float64(sim.requests.queued)
	p.Pods = max(p.Pods, sim.pods.replicas())
	p.Ending = max(p.Ending, len(sim.pods.ending))
	p.Waiting = max(p.Waiting, sim.requests.queued)
	p.Desired = max(p.Desired, sim.scaler.desired())
	p.Panic = p.Panic || sim.scaler.inPanic()
	s.ready += sim.pods.ready
	if (k+1)%s.every == 0 || k+1 == len(sim.Arrivals) {
		steps := float64((k % s.every) + 1)
		p.Time = float64(k-k%s.every) * step
		p.Requests = round3(p.Requests / (steps * step))
		p.Concurrency = round3(p.Concurrency / steps)
		p.Ready = round3(float64(s.ready) / steps)
		s.list = append(s.list, *p)
		s.now, s.ready = Point{}, 0
	}
}

func (s *series) points() []Point { return s.list }

func round3(v float64) float64 { return math.Round(v*1000) / 1000 }
