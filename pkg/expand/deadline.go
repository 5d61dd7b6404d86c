package expand

import (
	"fmt"
	"math"
	"time"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
)

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
	s, launch, ok := e.statedDeadline()
	if !ok {
		return
	}
	budget := e.startBudget()
	switch {
	case s != nil || launch != nil:
		text, from, by := e.heldDeadline(s, launch, budget)
		e.settle(p, s, text, from, by)
	default:
		c := e.defaultDeadline(budget)
		text, by := e.lowerDuration(c.text, c.by, policy.BoundProgressDeadline)
		e.warnOfShort(text, by, budget)
		e.settle(p, nil, text, c.from, by)
	}
}

// warnOfShort warns of a deadline that a policy lowered below what the probes need.
func (e *expansion) warnOfShort(text, by string, budget budget) {
	if d, err := time.ParseDuration(text); err == nil && d < budget.time {
		e.warn("progress-deadline %s (%s) is shorter than the %s that the %s", text, by, parameter.Seconds(budget.time), budget.of)
	}
}

// statedDeadline is what the workload states of its start: its deadline, or how long it may
// take. Where a value is refused it is not ok.
func (e *expansion) statedDeadline() (s, launch *Statement, ok bool) {
	p := parameter.ProgressDeadline
	s, launch = e.explicit(p), e.usable(e.intent.Stated[parameter.LaunchTimeout.Name])
	if launch != nil {
		e.values.put(Setting{Name: parameter.LaunchTimeout.Name, Value: launch.Text, From: launch.From})
	}
	return s, launch, !e.bad[p.Name] && !e.bad[parameter.LaunchTimeout.Name]
}

// heldDeadline holds a stated deadline, or that of a launch timeout, against bounds and
// against what the probes need.
func (e *expansion) heldDeadline(s, launch *Statement, budget budget) (text, from, by string) {
	if s != nil {
		text, by = e.clampDuration(s, policy.BoundProgressDeadline)
		if d, err := time.ParseDuration(text); err == nil && d < budget.time {
			e.refuse(s.Path, s.Text, "is shorter than the %s that the %s, so a slow start would be cut off", parameter.Seconds(budget.time), budget.of)
		}
		return text, s.From, by
	}
	t, _ := parameter.ParseLaunchTimeout(launch.Text)
	derived := &Statement{Parameter: parameter.ProgressDeadline, Text: deadlineFor(t), Path: launch.Path, From: launch.From}
	text, by = e.clampDuration(derived, policy.BoundProgressDeadline)
	if d, err := time.ParseDuration(text); err == nil && d < budget.time {
		e.refuse(launch.Path, launch.Text, "gives a progress deadline of %s, shorter than the %s that the %s", text, parameter.Seconds(budget.time), budget.of)
	}
	return text, launch.From, by
}

// deadlineAlone settles the deadline of a workload that is not autoscaled, where it or a
// layer of defaults asks for one: the Knative Service's, or progressDeadlineSeconds of a
// Deployment.
func (e *expansion) deadlineAlone(deployment bool) {
	s, launch, ok := e.statedDeadline()
	if !ok || (deployment && s != nil && s.native != "") { // an annotation that no Deployment has a use for
		return
	}
	var text, from, by string
	if s != nil || launch != nil {
		text, from, by = e.heldDeadline(s, launch, e.startBudget())
	} else if c := e.deadlineAsked(deployment); c != nil {
		text, by = e.lowerDuration(c.text, c.by, policy.BoundProgressDeadline)
		from = c.from
		if !deployment {
			e.warnOfShort(text, by, e.startBudget())
		}
	} else {
		return
	}
	if !deployment {
		e.settle(parameter.ProgressDeadline, s, text, from, by)
		return
	}
	l, _ := e.locate(deadlineLocation)
	d, _ := time.ParseDuration(text)
	seconds := int64(math.Ceil(d.Seconds()))
	if native, stated := e.nativeDeadline(l); stated {
		if s != nil && native != seconds {
			e.refuse(s.Path, s.Text, "differs from %s: %d; state it once", l.field(), native)
		}
		text, from, by = fmt.Sprintf("%ds", native), manifestSource+deadlineLocation, ""
	} else {
		e.write(l, typeOf(l.name), seconds, Setting{From: from, By: by})
	}
	e.values.put(Setting{Name: parameter.ProgressDeadline.Name, Value: text, From: from, By: by})
}

// defaultSeconds are the progressDeadlineSeconds that the API server fills in.
const defaultSeconds = 600

// nativeDeadline is what a Deployment itself states.
func (e *expansion) nativeDeadline(l location) (int64, bool) {
	v, _ := e.get(l.path)
	n, ok := v.(int64)
	if _, owned := e.owned(l, typeOf(l.name)); !ok || owned || n == defaultSeconds {
		return 0, false
	}
	return n, true
}

// deadlineAsked is the deadline that something asks for where the workload is not autoscaled
// and states none: the strongest layer of defaults, or a Knative Service's probes, which the
// cluster's own deadline would cut off; nil for none. Defaults for autoscaling are for
// workloads that ask for it.
func (e *expansion) deadlineAsked(deployment bool) *candidate {
	groups := []parameter.Group{parameter.Compute}
	if e.intent.Expands() {
		groups = []parameter.Group{parameter.Autoscale, parameter.Compute}
	}
	needed := budget{}
	if !deployment {
		needed = e.startBudget()
	}
	for _, c := range e.layerDeadlines(groups...) {
		if d, err := time.ParseDuration(c.text); parameter.ProgressDeadline.Type.Check(c.text) == nil && err == nil && d >= needed.time {
			return &c
		}
	}
	if needed.time <= e.Knative.ProgressDeadline() {
		return nil
	}
	c := derived(needed)
	return &c
}

// derived is the deadline that probes ask for.
func derived(needed budget) candidate {
	text := deadlineFor(needed.time)
	if d, err := time.ParseDuration(text); err == nil && d > parameter.MaxProgressDeadline {
		text = parameter.Seconds(parameter.MaxProgressDeadline)
	}
	return candidate{text: text, from: needed.probe + " " + parameter.Seconds(needed.time)}
}

// layerDeadlines are the deadlines of the layers of some groups, strongest first.
func (e *expansion) layerDeadlines(groups ...parameter.Group) (all []candidate) {
	for _, g := range groups {
		for _, layer := range e.layers(g) {
			if text, ok := layer.Values[parameter.ProgressDeadline.Name]; ok {
				all = append(all, candidate{text: text, from: layer.From})
			}
			if text, ok := layer.Values[parameter.LaunchTimeout.Name]; ok {
				if t, err := parameter.ParseLaunchTimeout(text); err == nil {
					all = append(all, candidate{text: deadlineFor(t), from: layer.From + ", launch-timeout " + text})
				}
			}
		}
	}
	return all
}

// defaultDeadline is the strongest layer's deadline or launch timeout that the startup
// probe's budget fits in, else what the budget itself asks for.
func (e *expansion) defaultDeadline(budget budget) candidate {
	fits := func(text string) bool {
		d, err := time.ParseDuration(text)
		return err == nil && d >= budget.time && d >= time.Second
	}
	chosen := candidate{text: "10m", from: builtIn}
	if c := derived(budget); c.text != chosen.text {
		chosen = c
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
	all := e.layerDeadlines(parameter.Autoscale, parameter.Compute)
	for _, c := range e.candidates(parameter.ProgressDeadline) {
		if c.layer == nil { // the cluster's
			all = append(all, c)
		}
	}
	return all
}

// budget is the time that a probe takes before a pod can be ready.
type budget struct {
	time time.Duration
	// probe names the probe, and of says what it does with the time.
	probe, of string
}

// startBudget is the longest that a startup probe lets a container take, or that the
// readiness probe of the serving container waits before it looks.
func (e *expansion) startBudget() budget {
	longest := budget{probe: "startup probe", of: "startup probe allows (initialDelaySeconds + failureThreshold x periodSeconds)"}
	for i, c := range manifest.Objects(e.podSpec(), "containers") {
		if probe := manifest.Map(c, "startupProbe"); probe != nil {
			seconds := probeNumber(probe, "initialDelaySeconds", 0) + probeNumber(probe, "failureThreshold", 3)*probeNumber(probe, "periodSeconds", 10)
			longest.time = max(longest.time, inSeconds(seconds))
		}
		if delay := inSeconds(probeNumber(manifest.Map(c, "readinessProbe"), "initialDelaySeconds", 0)); i == e.serving && delay > longest.time {
			longest = budget{time: delay, probe: "readiness probe", of: "readiness probe waits before it looks (initialDelaySeconds)"}
		}
	}
	return longest
}

// probeNumber is a number of a probe, within what Kubernetes takes.
func probeNumber(probe manifest.Object, key string, absent int64) int64 {
	n, ok := manifest.Whole(probe, key)
	if !ok || n <= 0 {
		return absent
	}
	return min(n, math.MaxInt32)
}

// inSeconds is a number of seconds, held to what can be beyond every deadline.
func inSeconds(n int64) time.Duration {
	return time.Duration(min(n, int64(parameter.MaxProgressDeadline/time.Second)*10)) * time.Second
}
