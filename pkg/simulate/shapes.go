package simulate

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ShapeSyntax is what ParseShape reads.
const ShapeSyntax = "constant:RATE[,for=1h], spike:BASE,PEAK[,at=10m][,length=5m][,for=1h] or daily:LOW,HIGH[,peak=14h][,for=24h], " +
	"with rates in requests per second, or at a time with ,unit=concurrency"

// loadShape is a load that is described by a few numbers.
type loadShape struct {
	rates    []string // in the order in which they stand, as positions or by name
	defaults map[string]time.Duration
	spans    func(rates []float64, times map[string]time.Duration) []Span
}

var shapes = map[string]loadShape{
	"constant": {[]string{"rate"}, map[string]time.Duration{"for": time.Hour}, func(rates []float64, times map[string]time.Duration) []Span {
		return []Span{{times["for"].Seconds(), rates[0]}}
	}},
	"spike": {[]string{"base", "high"}, map[string]time.Duration{"at": 10 * time.Minute, "length": 5 * time.Minute, "for": time.Hour},
		func(rates []float64, times map[string]time.Duration) []Span {
			before, during, all := times["at"].Seconds(), times["length"].Seconds(), times["for"].Seconds()
			return []Span{{min(before, all), rates[0]}, {max(0, min(during, all-before)), rates[1]}, {max(0, all-before-during), rates[0]}}
		}},
	"daily": {[]string{"low", "high"}, map[string]time.Duration{"peak": 14 * time.Hour, "for": 24 * time.Hour}, daily},
}

// daily is a sine from the low to the high rate, in minutes.
func daily(rates []float64, times map[string]time.Duration) []Span {
	var spans []Span
	for at := 0.; at < times["for"].Seconds(); at += 60 {
		phase := 2 * math.Pi * (at + 30 - times["peak"].Seconds()) / 86400
		spans = append(spans, Span{min(60, times["for"].Seconds()-at), rates[0] + (rates[1]-rates[0])*(1+math.Cos(phase))/2})
	}
	return spans
}

// IsShape tells whether the name of a load is a shape, and not a file.
func IsShape(text string) bool {
	name, _, ok := strings.Cut(text, ":")
	_, known := shapes[name]
	return ok && known
}

// ParseShape reads a shape, see ShapeSyntax.
func ParseShape(text string) (*Load, error) {
	name, rest, _ := strings.Cut(text, ":")
	s, ok := shapes[name]
	if !ok {
		return nil, fmt.Errorf("%q is no shape of a load; allowed: %s", text, ShapeSyntax)
	}
	l := &Load{Name: text}
	rates, times := make([]float64, 0, len(s.rates)), map[string]time.Duration{}
	maps.Copy(times, s.defaults)
	for part := range strings.SplitSeq(rest, ",") {
		if err := s.part(l, part, &rates, times); err != nil {
			return nil, fmt.Errorf("%s: %w; allowed: %s", text, err, ShapeSyntax)
		}
	}
	if len(rates) != len(s.rates) {
		return nil, fmt.Errorf("%s: states %d of %d rates (%s); allowed: %s", text, len(rates), len(s.rates), strings.Join(s.rates, ", "), ShapeSyntax)
	}
	if times["for"] > longestLoad || times["at"] > times["for"] {
		return nil, fmt.Errorf("%s: a load may last up to 366 days, and a spike must start within it", text)
	}
	l.Spans = slices.DeleteFunc(s.spans(rates, times), func(s Span) bool { return s.Seconds == 0 })
	return l, l.check()
}

// part reads one part of a shape.
func (s loadShape) part(l *Load, part string, rates *[]float64, times map[string]time.Duration) error {
	key, value, named := strings.Cut(part, "=")
	if !named {
		if len(*rates) == len(s.rates) {
			return fmt.Errorf("%q is one rate too many", part)
		}
		key, value = s.rates[len(*rates)], part
	}
	switch {
	case key == "unit":
		if value != "rps" && value != "concurrency" {
			return fmt.Errorf("unit %q is not rps or concurrency", value)
		}
		l.Concurrency = value == "concurrency"
	case slices.Contains(s.rates, key):
		rate, err := strconv.ParseFloat(strings.TrimSuffix(value, "rps"), 64)
		if err != nil || math.IsNaN(rate) || math.IsInf(rate, 0) || rate < 0 {
			return fmt.Errorf("%q is no rate", value)
		}
		if i := slices.Index(s.rates, key); i != len(*rates) {
			return fmt.Errorf("%s stands at the wrong place", part)
		}
		*rates = append(*rates, rate)
	default:
		if _, known := s.defaults[key]; !known {
			return fmt.Errorf("%q is not known", part)
		}
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return fmt.Errorf("%q is no duration such as 90m", value)
		}
		times[key] = d
	}
	return nil
}
