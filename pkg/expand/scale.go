package expand

import (
	"fmt"
	"math"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// scaleValue is one of min-, max- and initial-scale on its way to being settled.
type scaleValue struct {
	stated   *Statement // nil for a default
	n        int64
	from, by string
	// limit is the policies' clamp that a stated value is above; nil for none.
	limit *policy.Limit
}

func (v scaleValue) text() string {
	if v.stated != nil && v.by == "" {
		return v.stated.Text
	}
	return strconv.FormatInt(v.n, 10)
}

// scales settles max-scale, min-scale and initial-scale, in that order: each is held
// against the ones before.
func (e *expansion) scales() {
	demand := e.demandOf(e.object)
	statedMin, statedInitial := e.explicit(parameter.MinScale), e.explicit(parameter.InitialScale)
	maximum := e.maxScale(demand)
	minimum := e.minScale(statedMin, maximum)
	initial := e.initialScale(statedInitial, minimum, maximum)
	e.settle(parameter.MinScale, minimum.stated, minimum.text(), minimum.from, minimum.by)
	e.settle(parameter.MaxScale, maximum.stated, maximum.text(), maximum.from, maximum.by)
	e.settle(parameter.InitialScale, initial.stated, initial.text(), initial.from, initial.by)
	e.activationScale(maximum)
	if e.bad[parameter.MinScale.Name] || e.bad[parameter.MaxScale.Name] || e.bad[parameter.InitialScale.Name] {
		return
	}
	if initial.stated != nil && initial.n == 0 && minimum.n == 0 {
		e.warn("initial-scale 0: a revision counts as ready without ever having run a pod")
	}
	if minimum.n == 0 && e.class == parameter.KPA && !e.Knative.ScaleToZero() {
		e.warn("min-scale 0: the cluster does not scale to zero (enable-scale-to-zero of %s), so one pod stays, of superseded revisions too", knative.AutoscalerConfig)
	}
	if e.class == parameter.HPA && demand.GPUs.PerPod > 0 {
		e.warn("with autoscaler-class hpa every superseded revision keeps at least one pod, and its GPUs, until it is deleted")
	}
}

func (e *expansion) maxScale(demand workload.Usage) scaleValue {
	p := parameter.MaxScale
	if s := e.explicit(p); s != nil {
		n, _ := parameter.ParseScale(s.Text)
		v := scaleValue{stated: s, n: n, from: s.From}
		limit := e.Knative.MaxScaleLimit()
		switch {
		case n == 0 && limit > 0:
			e.bad[p.Name] = true
			e.refuse(s.Path, s.Text, "max-scale=0 (unlimited), must be less than %d", limit)
			return v
		case n == 0:
			e.bad[p.Name] = true
			e.refuse(s.Path, s.Text, "max-scale=0 is unlimited in Knative; allowed: 1 to %d", int64(math.MaxInt32))
			return v
		case limit > 0 && n > limit:
			e.bad[p.Name] = true
			e.refuse(s.Path, s.Text, "expected 1 <= %d <= %d (max-scale-limit of %s)", n, limit, knative.AutoscalerConfig)
			return v
		}
		if entry, ok := e.lowered(s); ok {
			v.n, _ = parameter.ParseScale(entry.Value)
			v.by = entry.By
		}
		if c, ok := e.Policies.PeakLimit(demand, policy.ClampBounds); ok && n > c.Max.Value() && c.Max.Value() > 0 {
			v.limit = &c
			if v.n > c.Max.Value() && !e.asBefore(v.n, demand) {
				v.n, v.by = c.Max.Value(), c.By
			}
		}
		if v.by != "" {
			e.clamped(v.by, s.From, "max-scale %s lowered to %d", s.Text, v.n)
		}
		return v
	}
	c := e.firstFitting(p, knative.MaxScaleKey, candidate{text: "10", from: builtIn}, func(text string) bool {
		n, err := parameter.ParseScale(text)
		return err == nil && n > 0
	})
	v := scaleValue{from: c.from, by: c.by}
	v.n, _ = parameter.ParseScale(c.text)
	if limit := e.Knative.MaxScaleLimit(); limit > 0 {
		v.n = min(v.n, limit)
	}
	if limit, ok := e.Policies.PeakLimit(demand, policy.AllBounds); ok && v.n > limit.Max.Value() && !e.asBefore(v.n, demand) {
		v.n, v.by = max(1, limit.Max.Value()), limit.By
	}
	if asked, err := parameter.ParseScale(c.asked); err == nil && v.by != "" && v.n < asked {
		e.warn("max-scale %s (%s) lowered to %d by %s", c.asked, c.from, v.n, v.by)
	}
	return v
}

// lowered is what a policy made of a statement when it was last expanded, if one did.
func (e *expansion) lowered(s *Statement) (Entry, bool) {
	key := s.native
	if key == "" {
		key = annotationKey[s.Parameter]
	}
	entry, ok := e.kept(key, s.From)
	return entry, ok && entry.lowers(s.Text)
}

// asBefore tells whether a peak of pods is no more than the stored object already has,
// with no more GPUs.
func (e *expansion) asBefore(pods int64, d workload.Usage) bool {
	return e.old != nil && e.old.PeakPods >= pods && e.old.GPUs.Cmp(d.GPUs) >= 0 && e.old.OtherClaims >= d.OtherClaims
}

func (e *expansion) minScale(s *Statement, maximum scaleValue) scaleValue {
	p := parameter.MinScale
	if s != nil {
		n, _ := parameter.ParseScale(s.Text)
		v := scaleValue{stated: s, n: n, from: s.From}
		if n == 0 && e.class == parameter.HPA {
			e.bad[p.Name] = true
			e.refuse(s.Path, s.Text, "hpa does not scale to zero; allowed: 1 to %d", int64(math.MaxInt32))
			return v
		}
		if entry, ok := e.lowered(s); ok {
			v.n, _ = parameter.ParseScale(entry.Value)
			v.by = entry.By
		}
		if c, ok := e.Policies.Limit(policy.BoundMinScale, policy.ClampBounds); ok && v.n > c.Max.Value() && !(e.old != nil && e.old.MinScale >= v.n) {
			v.n, v.by = c.Max.Value(), c.By
		}
		if v.by != "" {
			e.clamped(v.by, s.From, "min-scale %s lowered to %d", s.Text, v.n)
		}
		if v.n > maximum.n && !e.bad[parameter.MaxScale.Name] {
			e.aboveMaximum(v, maximum)
		}
		return v
	}
	first := candidate{text: "0", from: builtIn}
	if e.class == parameter.HPA {
		first = candidate{text: "1", from: builtIn + ", for hpa"}
	}
	c := e.firstFitting(p, knative.MinScaleKey, first, func(text string) bool {
		n, err := parameter.ParseScale(text)
		return err == nil && (n > 0 || e.class == parameter.KPA)
	})
	v := scaleValue{from: c.from, by: c.by}
	v.n, _ = parameter.ParseScale(c.text)
	if limit, ok := e.Policies.Limit(policy.BoundMinScale, policy.AllBounds); ok && v.n > limit.Max.Value() && !(e.old != nil && e.old.MinScale >= v.n) {
		v.n, v.by = limit.Max.Value(), limit.By
	}
	if !e.bad[parameter.MaxScale.Name] {
		v.n = min(v.n, maximum.n)
	}
	_, activation, _ := knative.Get(e.annotations(), knative.ActivationScaleKey)
	if n, err := parameter.ParseScale(activation); err == nil {
		v.n = min(v.n, n) // Knative refuses an activation-scale below min-scale
	}
	if e.class == parameter.HPA {
		v.n = max(v.n, 1)
	}
	return v
}

// aboveMaximum refuses a min-scale or initial-scale above max-scale.
func (e *expansion) aboveMaximum(v, maximum scaleValue) {
	name := v.stated.Parameter.Name
	switch {
	case maximum.stated == nil:
		e.refuse(v.stated.Path, v.stated.Text, "%s %d is above max-scale %d, which is a default (%s%s); set %s", name, v.n, maximum.n, maximum.from, lowerer(maximum), parameter.MaxScale.Key())
	case maximum.by != "" && maximum.limit != nil:
		e.result.Denied = append(e.result.Denied, policy.Violation{Policy: maximum.limit.Policy, Bound: policy.BoundMaxScale, Enforcement: v1alpha1.Clamp,
			Error: field.Forbidden(v.stated.Path, fmt.Sprintf("%s %d is above max-scale %d, to which %s lowers it", name, v.n, maximum.n, maximum.limit.By))})
	case maximum.by != "":
		e.refuse(v.stated.Path, v.stated.Text, "%s %d is above max-scale %d, to which a policy lowered %s earlier; state max-scale anew", name, v.n, maximum.n, maximum.stated.Text)
	case v.stated.Parameter == parameter.MinScale:
		e.refuse(v.stated.Path, v.stated.Text, "max-scale=%d is less than min-scale=%d", maximum.n, v.n)
	default:
		e.refuse(v.stated.Path, v.stated.Text, "max-scale=%d is less than %s=%d, and Knative would start %d pods", maximum.n, name, v.n, v.n)
	}
}

// activationScale refuses an activation-scale above a default max-scale, as Knative would
// without naming the parameter.
func (e *expansion) activationScale(maximum scaleValue) {
	key, text, _ := knative.Get(e.annotations(), knative.ActivationScaleKey)
	if n, err := parameter.ParseScale(text); err == nil && maximum.stated == nil && !e.bad[parameter.MaxScale.Name] && n > maximum.n {
		e.refuse(e.path.Child("metadata", "annotations").Key(key), text, "max-scale=%d is less than activation-scale=%d, and max-scale is a default (%s%s); set %s",
			maximum.n, n, maximum.from, lowerer(maximum), parameter.MaxScale.Key())
	}
}

func lowerer(v scaleValue) string {
	if v.by == "" {
		return ""
	}
	return ", lowered by " + v.by
}

func (e *expansion) initialScale(s *Statement, minimum, maximum scaleValue) scaleValue {
	p := parameter.InitialScale
	allowed := func(n int64) bool { return n > 0 || e.Knative.AllowZeroInitialScale() }
	if s != nil {
		n, _ := parameter.ParseScale(s.Text)
		v := scaleValue{stated: s, n: n, from: s.From}
		if !allowed(n) {
			e.bad[p.Name] = true
			e.refuse(s.Path, s.Text, "initial-scale=0 not allowed by cluster (allow-zero-initial-scale of %s)", knative.AutoscalerConfig)
			return v
		}
		if n > maximum.n && !e.bad[parameter.MaxScale.Name] {
			if maximum.stated == nil || maximum.by == "" {
				e.aboveMaximum(v, maximum)
				return v
			}
			v.n, v.by = maximum.n, maximum.by
			e.clamped(v.by, s.From, "initial-scale %s lowered to %d", s.Text, v.n)
		}
		return v
	}
	first := candidate{text: "1", from: builtIn}
	if minimum.n > 1 {
		first = candidate{text: strconv.FormatInt(minimum.n, 10), from: fmt.Sprintf("min-scale %d", minimum.n)}
	}
	c := e.firstFitting(p, knative.InitialScaleKey, first, func(text string) bool {
		n, err := parameter.ParseScale(text)
		return err == nil && allowed(n)
	})
	v := scaleValue{from: c.from, by: c.by}
	v.n, _ = parameter.ParseScale(c.text)
	if !e.bad[parameter.MaxScale.Name] {
		v.n = min(v.n, maximum.n)
	}
	return v
}
