package simulate

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// strata is how many durations stand for a distribution: each for an equal share of it.
const strata = 32

// longest is the longest time that a request or the start of a pod may take.
const longest = 24 * time.Hour

// Durations is a distribution of durations, as equally likely values. Values are taken
// from it one after the other, so that few of them are spread over it too.
type Durations struct {
	text   string
	values []float64 // seconds, in the order in which they are taken
}

// DurationSyntax is what ParseDurations reads.
const DurationSyntax = "800ms, uniform:1s,3s, exponential:800ms (its mean) or lognormal:800ms,p99=5s (its median and 99th percentile)"

// ParseDurations reads a distribution, see DurationSyntax.
func ParseDurations(text string) (Durations, error) {
	shape, rest, named := strings.Cut(text, ":")
	if !named {
		shape, rest = "constant", text
	}
	parts := strings.Split(rest, ",")
	want := map[string]int{"constant": 1, "exponential": 1, "uniform": 2, "lognormal": 2}[shape]
	if want == 0 || len(parts) != want {
		return Durations{}, fmt.Errorf("%q is no duration or distribution; allowed: %s", text, DurationSyntax)
	}
	var v [2]float64
	for i, part := range parts {
		if i == 1 && shape == "lognormal" {
			var ok bool
			if part, ok = strings.CutPrefix(part, "p99="); !ok {
				return Durations{}, fmt.Errorf("%q: lognormal takes a median and p99=; allowed: %s", text, DurationSyntax)
			}
		}
		d, err := time.ParseDuration(part)
		if err != nil || d < 0 || d > longest {
			return Durations{}, fmt.Errorf("%q: %q is no duration from 0s to 24h, such as 800ms or 1m30s", text, part)
		}
		v[i] = d.Seconds()
	}
	switch {
	case shape == "uniform" && v[1] < v[0]:
		return Durations{}, fmt.Errorf("%q: the second duration is below the first", text)
	case shape == "lognormal" && (v[0] <= 0 || v[1] < v[0]):
		return Durations{}, fmt.Errorf("%q: the median must be above 0s, and p99 no less", text)
	case shape == "constant" || v[0] == v[1]:
		return Durations{text: text, values: v[:1]}, nil
	}
	return distribution(text, v, map[string]func(u float64, v [2]float64) float64{
		"uniform":     func(u float64, v [2]float64) float64 { return v[0] + u*(v[1]-v[0]) },
		"exponential": func(u float64, v [2]float64) float64 { return -v[0] * math.Log1p(-u) },
		"lognormal": func(u float64, v [2]float64) float64 {
			sigma := math.Log(v[1]/v[0]) / (math.Sqrt2 * math.Erfinv(2*0.99-1))
			return v[0] * math.Exp(sigma*math.Sqrt2*math.Erfinv(2*u-1))
		},
	}[shape]), nil
}

// distribution cuts one into equal shares and takes the mean of each, which keeps the mean
// of the whole.
func distribution(text string, v [2]float64, quantile func(u float64, v [2]float64) float64) Durations {
	const samples = 512
	d := Durations{text: text, values: make([]float64, strata)}
	for i := range strata {
		sum := 0.
		for j := range samples {
			sum += quantile((float64(i)+(float64(j)+0.5)/samples)/strata, v)
		}
		// Bit reversal takes low and high shares in turn.
		d.values[bits.Reverse8(uint8(i))>>3] = min(sum/samples, longest.Seconds())
	}
	return d
}

// Mean in seconds.
func (d Durations) Mean() float64 {
	sum := 0.
	for _, v := range d.values {
		sum += v
	}
	return sum / float64(len(d.values))
}

// String is what was parsed.
func (d Durations) String() string { return d.text }

func (d Durations) longest() float64 { return slices.Max(d.values) }
