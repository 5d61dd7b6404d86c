package expand

import (
	"math"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
)

const builtIn = "built-in"

// autoscale resolves every autoscaling setting and writes it on the template.
func (e *expansion) autoscale() {
	e.pickClass()
	limit := e.concurrency()
	metric := e.pickMetric()
	e.target(metric, limit)
	e.utilization(metric)
	e.scales()
	e.durations()
	e.progressDeadline()
}

// kpaOnly are the parameters that hpa ignores.
var kpaOnly = []*parameter.Parameter{parameter.Utilization, parameter.ScaleDownDelay, parameter.Retention}

func isKPAMetric(m string) bool { return m == "concurrency" || m == "rps" }

// pickClass takes the class that is stated, else the first default that everything
// stated fits.
func (e *expansion) pickClass() {
	s := e.explicit(parameter.AutoscalerClass)
	if s != nil {
		e.class, _ = parameter.ParseClass(s.Text)
		e.settle(parameter.AutoscalerClass, s, e.class, s.From, "")
		if e.class == parameter.HPA && !e.Knative.HPAInstalled() {
			e.refuse(s.Path, s.Text, "the cluster does not run Knative's autoscaler-hpa, so nothing would serve this class; allowed: kpa")
		}
		return
	}
	if e.bad[parameter.AutoscalerClass.Name] { // the rest is judged by the class that it fits
		if e.class = parameter.KPA; !e.fitsClass(e.class) {
			e.class = parameter.HPA
		}
		return
	}
	fits := func(text string) bool {
		class, err := parameter.ParseClass(text)
		return err == nil && e.fitsClass(class) && e.allowsClass(class)
	}
	last := candidate{text: parameter.KPA, from: builtIn}
	if !e.allowsClass(parameter.KPA) && fits(parameter.HPA) {
		last.text = parameter.HPA
	}
	c := e.firstFitting(parameter.AutoscalerClass, knative.ClassKey, last, fits)
	e.class, _ = parameter.ParseClass(c.text)
	e.settle(parameter.AutoscalerClass, nil, e.class, c.from, "")
}

// allowsClass tells whether every bound allows a class, or the stored object has it.
func (e *expansion) allowsClass(class string) bool {
	return e.Policies.Allows(policy.BoundAutoscalerClasses, class) || (e.old != nil && e.old.Class == class)
}

// fitsClass tells whether nothing that is stated would be refused with a class.
func (e *expansion) fitsClass(class string) bool {
	metric := e.explicitQuietly(parameter.Metric)
	if class == parameter.KPA {
		return metric == "" || isKPAMetric(metric)
	}
	if !e.Knative.HPAInstalled() || isKPAMetric(metric) {
		return false
	}
	for _, p := range kpaOnly {
		if e.explicitQuietly(p) != "" {
			return false
		}
	}
	if n, err := parameter.ParseScale(e.explicitQuietly(parameter.MinScale)); err == nil && n == 0 {
		return false
	}
	return metric != "" || e.everyContainerRequestsCPU()
}

// explicitQuietly is the text stated for a parameter, without judging it.
func (e *expansion) explicitQuietly(p *parameter.Parameter) string {
	if s, ok := e.intent.Stated[p.Name]; ok {
		return s.Text
	}
	annotations := e.annotations()
	for _, key := range knative.Spellings(annotationKey[p]) {
		if annotations[key] == nil {
			continue
		}
		l, _ := e.locate(key)
		if entry, owned := e.owned(l, p.Type); owned {
			if strings.HasPrefix(entry.From, manifestSource) {
				return e.original(l, p.Type)
			}
			continue
		}
		if text, ok := e.text(l); ok {
			return text
		}
	}
	return ""
}

// concurrency settles the hard limit of requests per pod; 0 is none.
func (e *expansion) concurrency() int64 {
	p := parameter.Concurrency
	l, _ := e.locate(concurrencyLocation)
	native, isNative := e.nativeConcurrency(l)
	s := e.usable(e.intent.Stated[p.Name])
	limit := e.Knative.ConcurrencyLimit()
	switch {
	case s != nil:
		n, _ := parameter.ParseConcurrency(s.Text)
		if isNative && native != n {
			e.refuse(s.Path, s.Text, "differs from %s: %d; state it once", l.field(), native)
			return n
		}
		if n > limit {
			e.refuse(s.Path, s.Text, "expected 1 <= %d <= %d (container-concurrency-max-limit of %s)", n, limit, knative.DefaultsConfig)
			return n
		}
		e.values.put(Setting{Name: p.Name, Value: s.Text, From: s.From})
		if !isNative {
			e.write(l, p.Type, n, Setting{From: s.From})
		}
		return n
	case isNative:
		e.values.put(Setting{Name: p.Name, Value: strconv.FormatInt(native, 10), From: manifestSource + concurrencyLocation})
		if native == 0 && e.Knative.ConcurrencyRequired() {
			e.refuse(l.field(), native, "expected 1 <= 0 <= %d: the cluster asks for a limit (allow-container-concurrency-zero of %s)", limit, knative.DefaultsConfig)
		}
		return native
	case e.bad[p.Name]:
		return 0
	}
	if n, filled := e.filledConcurrency(l); filled && (n > 0 || !e.Knative.ConcurrencyRequired()) {
		return n // it may as well be the manifest's: only a parameter changes it
	}
	for _, c := range e.candidates(p) {
		n, err := parameter.ParseConcurrency(c.text)
		if err != nil {
			continue
		}
		if entry, ok := e.kept(concurrencyLocation, c.from); ok {
			if kept, err := parameter.ParseConcurrency(entry.Value); err == nil {
				n = kept
			}
		}
		n = min(n, limit)
		e.values.put(Setting{Name: p.Name, Value: strconv.FormatInt(n, 10), From: c.from})
		if c.layer != nil { // the cluster's own default is filled in by Knative
			e.write(l, p.Type, n, Setting{From: c.from})
		}
		return n
	}
	if e.Knative.ConcurrencyRequired() {
		e.refuse(l.field(), 0, "expected 1 <= 0 <= %d: the cluster asks for a limit (allow-container-concurrency-zero of %s); set %s", limit, knative.DefaultsConfig, p.Key())
	}
	return 0
}

// nativeConcurrency is the containerConcurrency that the manifest states. What Knative
// itself filled into the stored object is nobody's statement.
func (e *expansion) nativeConcurrency(l location) (int64, bool) {
	v, ok := e.get(l.path)
	if !ok || v == nil {
		return 0, false
	}
	n, whole := v.(int64)
	if !whole || n < 0 || n > e.Knative.ConcurrencyLimit() {
		e.bad[parameter.Concurrency.Name] = true
		e.refuse(l.field(), v, "expected 0 <= %s <= %d", scalarText(v), e.Knative.ConcurrencyLimit())
		return 0, false
	}
	if _, owned := e.owned(l, parameter.Concurrency.Type); owned {
		return 0, false
	}
	if _, filled := e.filledConcurrency(l); filled {
		return 0, false
	}
	return n, true
}

// filledConcurrency is a limit that the stored object has and Knative may have filled in.
func (e *expansion) filledConcurrency(l location) (int64, bool) {
	v, _ := e.get(l.path)
	n, whole := v.(int64)
	if _, owned := e.owned(l, parameter.Concurrency.Type); !whole || owned || e.Old == nil || (n != 0 && n != e.Knative.ConcurrencyDefault()) {
		return 0, false
	}
	old, ok := manifest.Whole(e.Old, "spec", "template", "spec", concurrencyLocation)
	return n, ok && old == n
}

// pickMetric settles what is scaled on.
func (e *expansion) pickMetric() string {
	p := parameter.Metric
	kpa := e.class == parameter.KPA
	if s := e.explicit(p); s != nil {
		switch {
		case kpa && !isKPAMetric(s.Text):
			e.bad[parameter.Target.Name] = true
			e.refuse(s.Path, s.Text, "metric %s needs autoscaler-class hpa; kpa takes concurrency or rps", s.Text)
		case !kpa && isKPAMetric(s.Text):
			e.bad[parameter.Target.Name] = true
			e.refuse(s.Path, s.Text, "metric %s needs autoscaler-class kpa; hpa takes cpu, memory or the name of a custom pod metric", s.Text)
		case s.Text == "cpu" && !kpa && !e.everyContainerRequestsCPU():
			e.refuse(s.Path, s.Text, "every container needs a cpu request, which the percentage is of; set %s", parameter.CPUs.Key())
		case s.Text == "memory" && !kpa && e.memoryBytes() <= 0:
			e.bad[parameter.Target.Name] = true
			e.refuse(s.Path, s.Text, "the pod needs a memory request, which the percentage is of; set %s", parameter.Memory.Key())
		}
		e.settle(p, s, s.Text, s.From, "")
		return s.Text
	}
	first := candidate{text: "concurrency", from: builtIn}
	if !kpa {
		first.text = "cpu"
	}
	c := e.firstFitting(p, knative.MetricKey, first, e.fitsMetric)
	if !kpa && c.text == "cpu" && !e.everyContainerRequestsCPU() {
		e.refuse(e.path.Child("spec", "containers"), "cpu", "hpa scales on cpu, and every container needs a cpu request, which the percentage is of; set %s", parameter.CPUs.Key())
	}
	e.settle(p, nil, c.text, c.from, "")
	return c.text
}

// fitsMetric tells whether a default metric can be used with the class.
func (e *expansion) fitsMetric(text string) bool {
	if parameter.Metric.Type.Check(text) != nil || isKPAMetric(text) != (e.class == parameter.KPA) {
		return false
	}
	switch text {
	case "cpu":
		return e.everyContainerRequestsCPU()
	case "memory":
		return e.memoryBytes() > 0
	case "concurrency", "rps":
		return true
	}
	if e.explicitQuietly(parameter.Target) != "" {
		return true
	}
	for _, c := range e.candidates(parameter.Target) { // a custom metric needs a target of its own layer
		if c.layer != nil && c.layer.Values[parameter.Metric.Name] == text {
			return true
		}
	}
	return false
}

// utilization settles the percentage of the target at which kpa scales up.
func (e *expansion) utilization(metric string) {
	p := parameter.Utilization
	s := e.explicit(p)
	if e.refuseKPAOnly(p, s) {
		return
	}
	if s != nil {
		e.settle(p, s, s.Text, s.From, "")
		return
	}
	c := e.firstFitting(p, knative.UtilizationKey, candidate{text: "70", from: builtIn}, func(text string) bool {
		if v, ok := e.Knative.Explicit(p.Name); ok && v.Text == text && metric != "concurrency" {
			return false // Knative's percentage is of concurrency alone
		}
		return p.Type.Check(text) == nil
	})
	e.settle(p, nil, c.text, c.from, "")
}

// refuseKPAOnly refuses a stated parameter that the class hpa ignores. It returns true
// where the parameter is not to be written.
func (e *expansion) refuseKPAOnly(p *parameter.Parameter, s *Statement) bool {
	if e.class == parameter.KPA {
		return false
	}
	if s != nil {
		e.refuse(s.Path, s.Text, "%s has no effect with autoscaler-class hpa; leave it out", p.Name)
	}
	return true
}

// everyContainerRequestsCPU tells whether each container has a request for CPU,
// its own, its limit's or the cluster's default.
func (e *expansion) everyContainerRequestsCPU() bool {
	for _, c := range manifest.Objects(e.podSpec(), "containers") {
		if e.requestOf(c, "cpu") == nil {
			return false
		}
	}
	return true
}

// memoryBytes is the pod's memory request.
func (e *expansion) memoryBytes() int64 {
	var total resource.Quantity
	for _, c := range manifest.Objects(e.podSpec(), "containers") {
		if q := e.requestOf(c, "memory"); q != nil {
			total.Add(*q)
		}
	}
	if total.CmpInt64(math.MaxInt64) > 0 {
		return math.MaxInt64
	}
	return total.Value()
}
