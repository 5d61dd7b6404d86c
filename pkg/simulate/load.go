package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Limits of a load.
const (
	longestLoad = 366 * 24 * time.Hour
	mostRPS     = 1e6
)

// Span is a rate that holds for some time.
type Span struct {
	Seconds float64
	// Rate in requests per second, or requests at a time if the load is a concurrency.
	Rate float64
}

// Load is a load over time.
type Load struct {
	// Name is where it comes from.
	Name string
	// Concurrency is whether rates are requests at a time.
	Concurrency bool
	Spans       []Span
	// Warnings say what of the input was passed over.
	Warnings []string
}

// Seconds is how long the load lasts.
func (l *Load) Seconds() float64 {
	sum := 0.
	for _, s := range l.Spans {
		sum += s.Seconds
	}
	return sum
}

// check refuses a load that nobody can have meant.
func (l *Load) check() error {
	seconds := l.Seconds()
	if seconds < 1 {
		return fmt.Errorf("%s: lasts %gs; a load must last 1s or more", l.Name, seconds)
	}
	if seconds > longestLoad.Seconds() {
		return fmt.Errorf("%s: lasts %.0f days; a load may last up to 366", l.Name, seconds/86400)
	}
	for _, s := range l.Spans {
		if math.IsNaN(s.Rate) || s.Rate < 0 || s.Rate > mostRPS {
			return fmt.Errorf("%s: a rate of %g; allowed: 0 to %g", l.Name, s.Rate, mostRPS)
		}
	}
	return nil
}

// Arrivals are requests by step of a quarter of a second.
type Arrivals []int32

// Even spreads requests evenly over each span. meanService turns a concurrency into a rate.
func (l *Load) Even(meanService float64) (Arrivals, error) {
	return l.arrivals(meanService, func(last float64) float64 { return last + 1 }, 0.5)
}

// Poisson draws requests from a Poisson process; the same seed gives the same ones.
func (l *Load) Poisson(meanService float64, seed uint64) (Arrivals, error) {
	random := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	return l.arrivals(meanService, func(last float64) float64 { return last + random.ExpFloat64() }, random.ExpFloat64())
}

// arrivals puts a request into the step in which the integral of the rate reaches the next
// value.
func (l *Load) arrivals(meanService float64, after func(float64) float64, first float64) (Arrivals, error) {
	perRate := 1.
	if l.Concurrency {
		if meanService <= 0 {
			return nil, fmt.Errorf("%s: is a concurrency, so requests must take longer than 0s", l.Name)
		}
		perRate = 1 / meanService
	}
	steps := make(Arrivals, int(math.Ceil(l.Seconds()*stepsPerSecond-1e-9)))
	begin, sum, next := 0., 0., first
	for _, s := range l.Spans {
		rate := s.Rate * perRate
		if rate > mostRPS {
			return nil, fmt.Errorf("%s: a concurrency of %g is %.0f requests per second if each takes %gs; allowed are %g", l.Name, s.Rate, rate, meanService, mostRPS)
		}
		end := sum + rate*s.Seconds
		for next <= end+1e-9 && rate > 0 {
			i := int((begin + (next-sum)/rate) * stepsPerSecond)
			steps[min(i, len(steps)-1)]++
			next = after(next)
		}
		begin, sum = begin+s.Seconds, end
	}
	return steps, nil
}
