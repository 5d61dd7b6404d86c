package expand

import (
	"time"

	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
)

// durations settles window, scale-down-delay and the scale-to-zero retention.
func (e *expansion) durations() {
	e.duration(parameter.Window, "", "60s", false)
	e.warnAboutSuperseded(e.duration(parameter.ScaleDownDelay, policy.BoundScaleDownDelay, "1m", true))
	s := e.duration(parameter.Retention, policy.BoundRetention, "10m", true)
	if n, err := parameter.ParseScale(e.values.get(parameter.MinScale.Name).Value); s != nil && err == nil && n > 0 {
		e.warn("%s has no effect while min-scale is %d", parameter.Retention.Name, n)
	}
}

// duration settles one duration and returns what the workload states for it.
func (e *expansion) duration(p *parameter.Parameter, bound, builtInText string, kpaOnly bool) *Statement {
	s := e.explicit(p)
	if kpaOnly && e.refuseKPAOnly(p, s) {
		return nil
	}
	if s == nil && e.bad[p.Name] {
		return nil
	}
	if s != nil {
		text, by := e.clampDuration(s, bound)
		e.settle(p, s, text, s.From, by)
		return s
	}
	c := e.firstFitting(p, annotationKey[p], candidate{text: builtInText, from: builtIn}, func(text string) bool {
		_, ok := e.withinHour(p, text)
		return ok
	})
	text, _ := e.withinHour(p, c.text)
	text, by := e.lowerDuration(text, c.by, bound)
	e.settle(p, nil, text, c.from, by)
	return nil
}

// withinHour lowers a default to what the annotation takes: the cluster's own keys may
// go beyond the hour that Knative allows a template.
func (e *expansion) withinHour(p *parameter.Parameter, text string) (string, bool) {
	if p.Type.Check(text) == nil {
		return text, true
	}
	d, err := time.ParseDuration(text)
	return "1h", err == nil && d > time.Hour
}

// lowerDuration holds a default against every bound.
func (e *expansion) lowerDuration(text, by, bound string) (lowered, lowerer string) {
	d, err := time.ParseDuration(text)
	if c, ok := e.Policies.Limit(bound, policy.AllBounds); ok && err == nil && int64(d) > c.Max.Value() && !e.durationAsBefore(bound, d) {
		return parameter.Seconds(time.Duration(c.Max.Value())), c.By
	}
	return text, by
}

// clampDuration lowers a stated duration where a policy clamps.
func (e *expansion) clampDuration(s *Statement, bound string) (text, by string) {
	text = s.Text
	if entry, ok := e.lowered(s); ok {
		text, by = entry.Value, entry.By
	}
	d, err := time.ParseDuration(text)
	if c, ok := e.Policies.Limit(bound, policy.ClampBounds); ok && err == nil && int64(d) > c.Max.Value() && !e.durationAsBefore(bound, d) {
		text, by = parameter.Seconds(time.Duration(c.Max.Value())), c.By
	}
	if by != "" {
		e.clamped(by, s.From, "%s %s lowered to %s", s.Parameter.Name, s.Text, text)
	}
	return text, by
}

// durationAsBefore tells whether the stored object has as long a duration already.
func (e *expansion) durationAsBefore(bound string, d time.Duration) bool {
	if e.old == nil {
		return false
	}
	switch bound {
	case policy.BoundRetention:
		return e.old.Retention >= d
	case policy.BoundScaleDownDelay:
		return e.old.ScaleDownDelay >= d
	case policy.BoundProgressDeadline:
		return e.old.ProgressDeadline >= d
	}
	return false
}
