package simulate

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
)

// Parameters are values by the name of a parameter, such as min-scale.
type Parameters map[string]string

// Candidate is a choice of parameters and what comes of it.
type Candidate struct {
	Parameters Parameters
	Result     Simulation
}

// Suggestion is a change of a manifest, and what comes of it.
type Suggestion struct {
	// Changes are keys and values, and At is where in the manifest they belong; none if nothing needs to be
	// changed.
	Changes map[string]string `json:"changes"`
	At      string            `json:"at"`
	// Limit is how long 99 % of all requests may wait.
	Limit  float64 `json:"limitSeconds"`
	Before Figures `json:"before"`
	After  Figures `json:"after"`
	// None says why there is no suggestion.
	None string `json:"none,omitempty"`
}

// Figures are what suggestions are compared by.
type Figures struct {
	PodHours float64 `json:"podHours"`
	GPUHours float64 `json:"gpuHours"`
	WaitP99  float64 `json:"waitP99Seconds"`
}

// FiguresOf are those of a result.
func FiguresOf(r Simulation) Figures { return Figures{r.PodHours, r.GPUHours, r.WaitP99} }

// ParameterSearch looks for the parameters that hold the fewest GPU-hours (pod-hours where pods have
// no GPU) while 99 % of all requests wait no longer than Limit seconds.
type ParameterSearch struct {
	Limit float64
	// Values to try, by parameter and in order.
	Values []Values
	// Simulate tells what comes of parameters. An error is for those that are refused.
	Simulate func(Parameters) (Simulation, error)
}

// Values of one parameter.
type Values struct {
	Parameter string
	Texts     []string
}

// rounds that go once through all parameters; it has not happened that a third one found more.
const rounds = 4

// Best changes one parameter after the other to the best of its values, until none helps.
// The error is ErrNoneFits if no choice keeps the limit; the candidate is then the one with
// the shortest wait.
func (s ParameterSearch) Best() (Candidate, error) {
	first, err := s.Simulate(Parameters{})
	if err != nil {
		return Candidate{}, err
	}
	best := Candidate{Parameters: Parameters{}, Result: first}
	for range rounds {
		before := best
		for _, values := range s.Values {
			best = s.bestOf(best, values)
		}
		if !s.better(best.Result, before.Result) {
			break
		}
	}
	if best.Result.WaitP99 > s.Limit {
		return best, fmt.Errorf("%w: with %v, the shortest, 99 %% of all requests wait up to %gs", ErrNoneFits, best.Parameters, best.Result.WaitP99)
	}
	return best, nil
}

// ErrNoneFits is the error if no choice of parameters keeps the waiting limit.
var ErrNoneFits = errors.New("no choice keeps the waiting limit")

// bestOf tries all values of one parameter at once.
func (s ParameterSearch) bestOf(from Candidate, values Values) Candidate {
	tried := make([]*Candidate, len(values.Texts))
	var wait sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, text := range values.Texts {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			p := Parameters{values.Parameter: text}
			for name, v := range from.Parameters {
				if name != values.Parameter {
					p[name] = v
				}
			}
			if r, err := s.Simulate(p); err == nil {
				tried[i] = &Candidate{p, r}
			}
		})
	}
	wait.Wait()
	best := from
	for _, c := range tried {
		if c != nil && s.better(c.Result, best.Result) {
			best = *c
		}
	}
	return best
}

// better prefers to keep the limit, then fewer GPU-hours, then a shorter wait.
func (s ParameterSearch) better(a, b Simulation) bool {
	keepsA, keepsB := a.WaitP99 <= s.Limit, b.WaitP99 <= s.Limit
	if keepsA != keepsB {
		return keepsA
	}
	order := [][2]float64{{a.GPUHours, b.GPUHours}, {a.PodHours, b.PodHours}, {a.WaitSeconds, b.WaitSeconds}}
	if !keepsA {
		order = slices.Insert(order, 0, [2]float64{a.WaitP99, b.WaitP99})
	}
	for _, pair := range order {
		if pair[0] != pair[1] {
			return pair[0] < pair[1]
		}
	}
	return false
}

// Tried are the values that a search goes through for a workload of the given limit of
// requests in a pod.
func Tried(class string, concurrency int64) []Values {
	if class == "hpa.autoscaling.knative.dev" {
		return []Values{{"target", []string{"40", "50", "60", "70", "80", "90"}}, {"window", []string{"6s", "30s", "1m", "2m", "5m", "10m"}}, {"min-scale", []string{"1", "2", "3", "4", "6", "8"}}}
	}
	var targets []string
	for _, n := range []int64{1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 32, 50, 64, 100, 200, 500, 1000} {
		if concurrency == 0 || n <= concurrency {
			targets = append(targets, fmt.Sprint(n))
		}
	}
	return []Values{
		{"min-scale", []string{"0", "1", "2", "3", "4", "6", "8", "12", "16"}},
		{"target", targets},
		{"window", []string{"6s", "15s", "30s", "1m", "2m", "5m", "10m"}},
		{"scale-down-delay", []string{"0s", "30s", "1m", "2m", "5m", "10m", "15m"}},
		{"scale-to-zero-pod-retention-period", []string{"0s", "1m", "5m", "10m", "20m", "30m", "1h"}},
	}
}
