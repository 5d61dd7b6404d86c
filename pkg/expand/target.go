package expand

import (
	"fmt"
	"math"
	"math/big"
	"strconv"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// target settles the value per pod that the autoscaler aims at. limit is the hard limit
// of concurrent requests, 0 for none.
func (e *expansion) target(metric string, limit int64) {
	p := parameter.Target
	if e.bad[p.Name] {
		return
	}
	s := e.explicit(p)
	if s == nil && e.bad[p.Name] {
		return
	}
	percentOfMemory := e.class == parameter.HPA && metric == "memory"
	if s != nil {
		if e.class == parameter.HPA && !wholeTarget(s.Text) {
			e.refuse(s.Path, s.Text, "invalid value: %s; allowed with hpa: %s", s.Text, hpaTargetAllowed(metric, s.native != ""))
			return
		}
		value, from := s.Text, s.From
		if percentOfMemory && s.native == "" {
			value, from = e.percentOfMemory(s.Text, s.From)
			if value == "0" {
				e.refuse(s.Path, s.Text, "%s percent of the memory request is less than 1Mi", s.Text)
				return
			}
		}
		if native := e.nativeAnnotation(p); native != nil && s.native == "" {
			if !p.Type.Same(native.Text, value) {
				e.contradict(s, native)
				return
			}
			s = native
			from = native.From
		}
		e.settle(p, s, value, from, "")
		if v, err := parameter.ParseTarget(value); err == nil && metric == "concurrency" && limit > 0 && v > float64(limit) {
			e.warn("target %s is above the concurrency limit %d, so Knative aims at %d", value, limit, limit)
		}
		return
	}
	c, ok := e.defaultTarget(metric, limit)
	if !ok {
		e.refuse(e.path.Child("metadata", "annotations").Key(knative.TargetKey), "", "the custom metric %s needs a target; set %s", metric, p.Key())
		return
	}
	c.from += ", for " + metric // of one source, each metric has a target of its own
	if percentOfMemory {
		c.text, c.from = e.percentOfMemory(c.text, c.from)
		if c.text == "0" {
			c.text = "1"
		}
	}
	if entry, ok := e.kept(knative.TargetKey, c.from); ok && (e.class == parameter.KPA || wholeTarget(entry.Value)) {
		c.text = entry.Value
	}
	e.settle(p, nil, c.text, c.from, "")
}

func hpaTargetAllowed(metric string, native bool) string {
	switch {
	case metric == "memory" && native:
		return "a whole number of Mi of at least 1"
	case metric == "cpu", metric == "memory":
		return "a whole percentage of at least 1"
	}
	return "a whole number of at least 1"
}

// wholeTarget tells whether hpa can use a target: it drops fractions and overflows
// beyond 32 bits.
func wholeTarget(text string) bool {
	v, err := parameter.ParseTarget(text)
	return err == nil && v >= 1 && v <= math.MaxInt32 && v == math.Trunc(v)
}

// percentOfMemory turns a percentage into Mi of the pod's memory request, rounded down:
// the unit that Knative's hpa reads.
func (e *expansion) percentOfMemory(percent, from string) (text, source string) {
	v, _ := parameter.ParseTarget(percent)
	bytes := e.memoryBytes()
	share := new(big.Int).Mul(big.NewInt(bytes), big.NewInt(int64(v)))
	share.Quo(share, big.NewInt(100<<20))
	if !share.IsInt64() || share.Int64() > maxMi {
		share.SetInt64(maxMi)
	}
	return share.String(), fmt.Sprintf("%s (%s percent of %dMi)", from, percent, bytes>>20)
}

// maxMi is the most Mi that Knative can turn into bytes.
const maxMi = math.MaxInt64 >> 20

// defaultTarget is the target of the strongest layer whose own metric is the one in
// use, else the class's own.
func (e *expansion) defaultTarget(metric string, limit int64) (candidate, bool) {
	for _, c := range e.candidates(parameter.Target) {
		if e.metricBelow(c.layer.From) == metric && parameter.Target.Type.Check(c.text) == nil &&
			(e.class == parameter.KPA || wholeTarget(c.text)) {
			return c, true
		}
	}
	switch metric {
	case "concurrency", "rps":
		if metric == "concurrency" && limit > 0 {
			return candidate{text: strconv.FormatInt(limit, 10), from: fmt.Sprintf("concurrency limit %d", limit)}, true
		}
		if v, ok := e.Knative.TargetDefault(metric); ok && parameter.Target.Type.Check(v.Text) == nil {
			return candidate{text: v.Text, from: v.From}, true
		}
		if metric == "rps" {
			return candidate{text: "200", from: builtIn}, true
		}
		return candidate{text: "100", from: builtIn}, true
	case "cpu":
		return candidate{text: "80", from: builtIn}, true
	case "memory":
		return candidate{text: "70", from: builtIn}, true
	}
	return candidate{}, false
}

// metricBelow is the metric that a layer's target is meant for: its own, else the one that
// the layers below it give by themselves.
func (e *expansion) metricBelow(from string) string {
	reached := false
	for _, layer := range e.layers(parameter.Autoscale) {
		reached = reached || layer.From == from
		m, ok := layer.Values[parameter.Metric.Name]
		if ok && reached && (layer.From == from || isKPAMetric(m) == (e.class == parameter.KPA)) {
			return m
		}
	}
	if e.class == parameter.KPA {
		return "concurrency"
	}
	return "cpu"
}
