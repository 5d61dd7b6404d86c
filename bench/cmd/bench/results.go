package main

import (
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
)

// results are all lines of a part.
type results struct {
	lines []line
	// config is what the lines say of the machine and of versions.
	config map[string]string
}

type line struct {
	keys   map[string]string
	values map[string]float64
}

// read reads Go benchmark text; a file that is not there has no lines.
func read(file string) (*results, error) {
	r := &results{config: map[string]string{}}
	f, err := os.Open(file)
	if os.IsNotExist(err) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	reader := benchfmt.NewReader(f, file)
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			return nil, record
		case *benchfmt.Result:
			l := line{keys: map[string]string{}, values: map[string]float64{}}
			_, keys := record.Name.Parts()
			for _, key := range keys {
				if name, value, ok := strings.Cut(strings.TrimPrefix(string(key), "/"), "="); ok {
					l.keys[name] = value
				}
			}
			for _, v := range record.Values {
				unit, value := v.Unit, v.Value
				if v.OrigUnit != "" {
					unit, value = v.OrigUnit, v.OrigValue
				}
				l.values[unit] = value
			}
			for _, c := range record.Config {
				if c.Key == "cpu" && r.config["cpu"] != "" {
					continue
				}
				r.config[c.Key] = string(c.Value)
			}
			r.lines = append(r.lines, l)
		}
	}
	return r, reader.Err()
}

// values of a key, in the order in which they first come.
func (r *results) values(unit, key string) []string {
	var all []string
	for _, l := range r.lines {
		if _, has := l.values[unit]; has && l.keys[key] != "" && !slices.Contains(all, l.keys[key]) {
			all = append(all, l.keys[key])
		}
	}
	return all
}

// summary is the median of what matches all of key=value; none is false if nothing does.
func (r *results) summary(unit string, match ...string) (s benchmath.Summary, some bool) {
	values := r.all(unit, match...)
	if len(values) == 0 {
		return s, false
	}
	return summary(values), true
}

func summary(values []float64) benchmath.Summary {
	return benchmath.AssumeNothing.Summary(benchmath.NewSample(values, &benchmath.DefaultThresholds), 0.95)
}

// all are the values of what matches all of key=value, in the order in which they were measured.
func (r *results) all(unit string, match ...string) []float64 {
	var values []float64
	for _, l := range r.lines {
		if v, has := l.values[unit]; has && l.matches(match) {
			values = append(values, v)
		}
	}
	return values
}

// where are those results that match all of key=value.
func (r *results) where(match []string) *results {
	some := &results{config: r.config}
	for _, l := range r.lines {
		if l.matches(match) {
			some.lines = append(some.lines, l)
		}
	}
	return some
}

func (l line) matches(match []string) bool {
	for _, m := range match {
		if key, value, _ := strings.Cut(m, "="); l.keys[key] != value {
			return false
		}
	}
	return true
}

// text of a value in a unit that people read.
func text(v float64, unit string) string {
	switch unit {
	case "ns/op":
		if v >= 1e7 {
			return short(v/1e6) + " ms"
		}
		return short(v/1e3) + " µs"
	case "B/op":
		return short(v/1024) + " KiB"
	case "p50-us", "p99-us", "p99.9-us", "request-us", "admit-us", "validate-us", "mutating-us", "validating-us":
		return short(v) + " µs"
	case "p50-ms", "p99-ms", "ready-ms", "step-ms/create", "webhook-ms/call", "apiserver-cpu-ms/create", "webhook-cpu-ms/create":
		return short(v) + " ms"
	case "cpu-s/10k", "list-s", "count-s":
		return short(v) + " s"
	case "rss-MiB", "rss-idle-MiB", "rss-peak-MiB", "heap-MiB", "kept-MiB", "apiserver-rss-MiB":
		return short(v) + " MiB"
	default:
		return short(v)
	}
}

func short(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v == 0:
		return "0"
	default:
		return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Floor(math.Log10(v)))), 64)
	}
}
