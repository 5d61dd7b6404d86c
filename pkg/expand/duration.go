package expand

import (
	"fmt"
	"time"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
)

// durations settles window, scale-down-delay and the scale-to-zero retention.
func (e *expansion) durations() {
	e.duration(parameter.Window, "", "60s", false)
	e.duration(parameter.ScaleDownDelay, policy.BoundScaleDownDelay, "1m", true)
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
	if c, ok := e.Policies.Ceiling(bound, policy.AllBounds); ok && err == nil && int64(d) > c.Max.Value() && !e.durationAsBefore(bound, d) {
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
	if c, ok := e.Policies.Ceiling(bound, policy.ClampBounds); ok && err == nil && int64(d) > c.Max.Value() && !e.durationAsBefore(bound, d) {
		text, by = parameter.Seconds(time.Duration(c.Max.Value())), c.By
	}
	if by != "" {
		e.clamped(by, "%s %s lowered to %s", s.Parameter.Name, s.Text, text)
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

// minimalDeadline is the floor of a deadline that is derived from a launch timeout.
const minimalDeadline = 10 * time.Minute

// deadlineFor is kubetorch's rule: the larger of t+60s and 1.2t, at least 10m.
func deadlineFor(launch time.Duration) string {
	d := max(launch+time.Minute, launch+launch/5)
	if d <= minimalDeadline {
		return "10m"
	}
	return fmt.Sprintf("%ds", int64((d+time.Second-1)/time.Second))
}

// progressDeadline settles how long a revision may take to become ready.
func (e *expansion) progressDeadline() {
	p := parameter.ProgressDeadline
	budget := e.startupBudget()
	s, launch := e.explicit(p), e.usable(e.intent.Stated[parameter.LaunchTimeout.Name])
	if launch != nil {
		e.values.put(Setting{Name: parameter.LaunchTimeout.Name, Value: launch.Text, From: launch.From})
	}
	if e.bad[p.Name] || e.bad[parameter.LaunchTimeout.Name] {
		return
	}
	switch {
	case s != nil:
		text, by := e.clampDuration(s, policy.BoundProgressDeadline)
		if d, err := time.ParseDuration(text); err == nil && d < budget {
			e.refuse(s.Path, s.Text, "is shorter than the %s that the startup probe allows (initialDelaySeconds + failureThreshold x periodSeconds), so a slow start would be cut off", parameter.Seconds(budget))
		}
		e.settle(p, s, text, s.From, by)
	case launch != nil:
		t, _ := time.ParseDuration(launch.Text)
		derived := &Statement{Parameter: p, Text: deadlineFor(t), Path: launch.Path, From: launch.From}
		text, by := e.clampDuration(derived, policy.BoundProgressDeadline)
		if d, err := time.ParseDuration(text); err == nil && d < budget {
			e.refuse(launch.Path, launch.Text, "gives a progress deadline of %s, shorter than the %s that the startup probe allows (initialDelaySeconds + failureThreshold x periodSeconds)", text, parameter.Seconds(budget))
		}
		e.settle(p, nil, text, launch.From, by)
	default:
		c := e.defaultDeadline(budget)
		text, by := e.lowerDuration(c.text, c.by, policy.BoundProgressDeadline)
		if d, err := time.ParseDuration(text); err == nil && d < budget {
			e.warn("progress-deadline %s (%s) is shorter than the %s that the startup probe allows", text, by, parameter.Seconds(budget))
		}
		e.settle(p, nil, text, c.from, by)
	}
}

// defaultDeadline is the strongest layer's deadline or launch timeout that the startup
// probe's budget fits in, else what the budget itself asks for.
func (e *expansion) defaultDeadline(budget time.Duration) candidate {
	fits := func(text string) bool {
		d, err := time.ParseDuration(text)
		return err == nil && d >= budget && d >= time.Second
	}
	chosen := candidate{text: "10m", from: builtIn}
	if text := deadlineFor(budget); text != chosen.text {
		chosen = candidate{text: text, from: "startup probe " + parameter.Seconds(budget)}
	}
	for _, c := range e.deadlineCandidates() {
		if fits(c.text) {
			chosen = c
			break
		}
	}
	if entry, ok := e.kept(knative.ProgressDeadlineKey, chosen.from); ok && fits(entry.Value) {
		chosen.text, chosen.by = entry.Value, entry.By
	}
	if d, err := time.ParseDuration(chosen.text); err == nil && d > parameter.MaxProgressDeadline {
		chosen.text = parameter.Seconds(parameter.MaxProgressDeadline)
	}
	return chosen
}

func (e *expansion) deadlineCandidates() []candidate {
	candidates := e.candidates(parameter.ProgressDeadline)
	var all []candidate
	for _, layer := range append(e.layers(parameter.Autoscale), e.layers(parameter.Compute)...) {
		if text, ok := layer.Values[parameter.ProgressDeadline.Name]; ok {
			all = append(all, candidate{text: text, from: layer.From})
		}
		if text, ok := layer.Values[parameter.LaunchTimeout.Name]; ok {
			if t, err := time.ParseDuration(text); err == nil {
				all = append(all, candidate{text: deadlineFor(t), from: layer.From + ", launch-timeout " + text})
			}
		}
	}
	for _, c := range candidates {
		if c.layer == nil { // the cluster's
			all = append(all, c)
		}
	}
	return all
}

// startupBudget is how long the slowest startup probe lets a container take.
func (e *expansion) startupBudget() time.Duration {
	var longest int64
	for _, c := range manifest.Objects(e.podSpec(), "containers") {
		probe := manifest.Map(c, "startupProbe")
		if probe == nil {
			continue
		}
		seconds := func(key string, absent int64) int64 {
			if n, ok := manifest.Whole(probe, key); ok && n > 0 {
				return min(n, 1<<31)
			}
			return absent
		}
		budget := seconds("initialDelaySeconds", 0) + seconds("failureThreshold", 3)*seconds("periodSeconds", 10)
		longest = max(longest, budget)
	}
	return time.Duration(min(longest, int64(parameter.MaxProgressDeadline/time.Second)*10)) * time.Second
}
