package expand

import (
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// clampPod lowers what one pod asks for where a policy clamps it.
func (e *expansion) clampPod() {
	e.clampGPUs()
	e.clampRequest(cpuRequest)
	e.clampRequest(memoryRequest)
}

// clampGPUs lowers the GPUs of the only container that asks for any; with several it is
// not clear which one could do with less, and the bound refuses.
func (e *expansion) clampGPUs() {
	c, ok := e.Policies.Limit(policy.BoundGPUsPerPod, policy.ClampBounds)
	if !ok {
		return
	}
	n := workload.CountGPUs(e.podSpec(), e.path, e.Policies.GPUResources())
	if n.PerPod <= c.Max.Value() || len(n.Malformed) > 0 || (e.old != nil && e.old.GPUs.Cmp(n) >= 0) {
		return
	}
	e.clampContainer(func(name string) bool { return e.Policies.GPUResources().Match(name) }, c, n.PerPod == math.MaxInt64)
}

func (e *expansion) clampRequest(r request) {
	c, ok := e.Policies.Limit(r.bound, policy.ClampBounds)
	if !ok {
		return
	}
	asked := r.of(e.demandOf(e.object))
	if asked.Cmp(c.Max) <= 0 {
		return
	}
	if e.old != nil {
		if before := r.of(*e.old); before.Cmp(asked) >= 0 {
			return
		}
	}
	e.clampContainer(func(name string) bool { return name == r.resource }, c, false)
}

// units is a number of GPUs in units of a resource; of other resources it is what it was.
func (e *expansion) units(name string, limit resource.Quantity) resource.Quantity {
	if gpus := e.Policies.GPUResources(); gpus.Match(name) {
		return workload.Number(gpus.Units(name, limit.Value()))
	}
	return limit
}

// clampContainer lowers the requests and limits of the pod's only container with a
// resource to a limit.
func (e *expansion) clampContainer(match func(string) bool, c policy.Limit, hopeless bool) {
	type place struct {
		list, name string
		container  int
	}
	var places []place
	asking := map[int]bool{}
	names := map[string]bool{}
	written := manifest.List(e.podSpec(), "containers")
	for i, container := range manifest.Objects(e.podSpec(), "containers") {
		if !isObject(written[i]) || !objectOrNone(container["resources"]) {
			return // Knative refuses it
		}
		for _, list := range []string{"requests", "limits"} {
			if !objectOrNone(manifest.At(container, "resources", list)) {
				return
			}
			asked := e.askedResources(container, list)
			for name, q := range asked {
				if match(name) && q.Sign() > 0 {
					asking[i], names[name] = true, true
					if limit := e.units(name, c.Max); q.Cmp(limit) > 0 {
						places = append(places, place{list, name, i})
					}
				}
			}
		}
	}
	if hopeless || len(asking) != 1 || len(names) != 1 || c.Max.Sign() <= 0 || len(manifest.List(e.podSpec(), "initContainers")) > 0 {
		return
	}
	slices.SortFunc(places, func(a, b place) int { return strings.Compare(a.list+a.name, b.list+b.name) })
	for _, p := range places {
		limit := e.units(p.name, c.Max)
		if limit.Sign() == 0 {
			return
		}
		path := []any{"spec", "template", "spec", "containers", p.container, "resources", p.list, p.name}
		was, from := "", e.clusterSource(p.list, p.name)
		if v, ok := e.get(path); ok && v != nil {
			was = scalarText(v)
			from = manifestSource + p.list + "." + p.name + ": " + was
		} else if q := e.Knative.ResourceDefault(p.list, p.name); q != nil {
			was = q.String()
		}
		e.set(limit.String(), path...)
		if l, ok := e.locate(p.list + "." + p.name); ok && p.container == e.serving {
			if written, ok := e.after.get(l.name); ok && written.From != "" {
				from = written.From
			}
			if len(e.after) > 0 || e.intent.FillsResources() {
				e.after.put(l.name, Entry{Value: limit.String(), From: from, By: c.By})
			}
		}
		if p.list == "requests" || len(places) == 1 {
			e.clamped(c.By, from, "%s %s per pod lowered to %s", p.name, was, limit.String())
		}
	}
}

// askedResources is one list of a container's resources, with what Knative will fill in.
func (e *expansion) askedResources(container manifest.Object, list string) map[string]resource.Quantity {
	asked := map[string]resource.Quantity{}
	for _, v := range []any{container["resources"], manifest.At(container, "resources", list)} {
		if _, ok := v.(manifest.Object); !ok && v != nil {
			return asked // Knative refuses it in its own words
		}
	}
	for _, name := range []string{"cpu", "memory", "ephemeral-storage"} {
		if q := e.Knative.ResourceDefault(list, name); q != nil {
			asked[name] = *q
		}
	}
	for name, v := range manifest.Map(container, "resources", list) {
		if v == nil {
			continue
		}
		delete(asked, name)
		if q, err := manifest.Quantity(v); err == nil {
			asked[name] = q
		}
	}
	return asked
}

// clampUnlabelled lowers what a Service states, or leaves to the cluster, where a policy
// clamps: Services that are not expanded meet no other rule of this package.
func (e *expansion) clampUnlabelled() {
	d := e.demandOf(e.object)
	if c, ok := e.Policies.PeakLimit(d, policy.ClampBounds); ok && c.Max.Sign() > 0 {
		e.clampPeak(c, d)
	}
	for _, b := range []struct {
		bound, key string
		of         func(*workload.Usage) int64
	}{
		{policy.BoundRetention, knative.RetentionKey, func(d *workload.Usage) int64 { return int64(d.Retention) }},
		{policy.BoundScaleDownDelay, knative.ScaleDownDelayKey, func(d *workload.Usage) int64 { return int64(d.ScaleDownDelay) }},
		{policy.BoundProgressDeadline, knative.ProgressDeadlineKey, func(d *workload.Usage) int64 { return int64(d.ProgressDeadline) }},
		{policy.BoundMinScale, knative.MinScaleKey, func(d *workload.Usage) int64 { return d.MinScale }},
	} {
		c, ok := e.Policies.Limit(b.bound, policy.ClampBounds)
		if ok && b.of(&d) > c.Max.Value() && (e.old == nil || b.of(e.old) < b.of(&d)) {
			text := parameter.Seconds(durationOf(c))
			if b.bound == policy.BoundMinScale {
				text = c.Max.String()
			}
			e.lowerAnnotation(b.key, text, c.By)
		}
	}
}

// clampPeak lowers max-scale, and initial-scale with it, to a limit of pods.
func (e *expansion) clampPeak(c policy.Limit, d workload.Usage) {
	if d.PeakPods <= c.Max.Value() || e.asBefore(d.PeakPods, d) {
		return
	}
	annotations := e.annotations()
	scale := func(key string, absent int64) int64 {
		if _, text, ok := knative.Get(annotations, key); ok {
			if n, err := parameter.ParseScale(text); err == nil {
				return n
			}
			return workload.Unbounded
		}
		return absent
	}
	limit := c.Max.Value()
	if n := scale(knative.MaxScaleKey, e.Knative.MaxScale()); n == 0 || n > limit {
		e.lowerAnnotation(knative.MaxScaleKey, c.Max.String(), c.By)
	}
	if scale(knative.InitialScaleKey, e.Knative.InitialScale()) > limit {
		e.lowerAnnotation(knative.InitialScaleKey, c.Max.String(), c.By)
	}
}

// lowerAnnotation writes a lowered value where the template states the setting, in
// whichever spelling Knative reads, else under the canonical key.
func (e *expansion) lowerAnnotation(key, value, by string) {
	was := "absent"
	if k, text, ok := knative.Get(e.annotations(), key); ok {
		key, was = k, text
		if n, err := parameter.ParseScale(text); annotationOf[key].Type == parameter.MaxScale.Type && (err != nil || text[0] == '-') && n <= 0 {
			return // Knative refuses it in its own words
		}
	}
	e.set(value, "spec", "template", "metadata", "annotations", key)
	e.clamped(by, "", "%s (%s) lowered to %s", annotationOf[key].Name, was, value)
}

func durationOf(c policy.Limit) time.Duration { return time.Duration(c.Max.Value()) }

// objectOrNone tells whether a value is an object, or none that could be made one.
func objectOrNone(v any) bool {
	_, ok := v.(manifest.Object)
	return ok || v == nil
}
