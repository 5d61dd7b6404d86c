package expand

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
)

// manifestSource starts the source of a value that the manifest states natively.
const manifestSource = "manifest "

// annotationKey is the canonical template annotation that a parameter lands in.
var annotationKey = map[*parameter.Parameter]string{
	parameter.AutoscalerClass:  knative.ClassKey,
	parameter.Metric:           knative.MetricKey,
	parameter.Target:           knative.TargetKey,
	parameter.Utilization:      knative.UtilizationKey,
	parameter.MinScale:         knative.MinScaleKey,
	parameter.MaxScale:         knative.MaxScaleKey,
	parameter.InitialScale:     knative.InitialScaleKey,
	parameter.Window:           knative.WindowKey,
	parameter.ScaleDownDelay:   knative.ScaleDownDelayKey,
	parameter.Retention:        knative.RetentionKey,
	parameter.ProgressDeadline: knative.ProgressDeadlineKey,
}

// annotationOf is the parameter behind a template annotation, in any spelling.
var annotationOf = func() map[string]*parameter.Parameter {
	m := map[string]*parameter.Parameter{}
	for p, key := range annotationKey {
		for _, spelling := range knative.Spellings(key) {
			m[spelling] = p
		}
	}
	return m
}()

// explicit is what the workload states for a parameter that lands in an annotation: the
// parameter, or the annotation itself. Both, and different, is refused.
func (e *expansion) explicit(p *parameter.Parameter) *Statement {
	native := e.nativeAnnotation(p)
	stated := e.usable(e.intent.Stated[p.Name])
	switch {
	case stated == nil:
		return native
	case native == nil:
		return stated
	case p == parameter.Target: // percent of memory against Mi: compared once resolved
		return stated
	case !p.Type.Same(stated.Text, native.Text):
		e.contradict(stated, native)
		return stated
	}
	return native
}

func (e *expansion) contradict(stated, native *Statement) {
	e.bad[stated.Parameter.Name] = true
	e.refuse(stated.Path, stated.Text, "differs from %s: %s; state it once", native.Path, native.Text)
}

// usable drops a statement whose value is refused already.
func (e *expansion) usable(s *Statement) *Statement {
	if s != nil && s.Parameter.Type.Check(s.Text) != nil {
		e.bad[s.Parameter.Name] = true
		return nil
	}
	return s
}

// nativeAnnotation is what the template's own annotations state, in either spelling;
// what an earlier expansion set is nobody's statement.
func (e *expansion) nativeAnnotation(p *parameter.Parameter) *Statement {
	var found *Statement
	annotations := e.annotations()
	for _, key := range knative.Spellings(annotationKey[p]) {
		if annotations[key] == nil {
			continue
		}
		l, _ := e.locate(key)
		text, ok := e.text(l)
		if !ok {
			continue
		}
		s := &Statement{Parameter: p, Text: text, Path: l.field(), From: manifestSource + key + ": " + text, native: key}
		if entry, owned := e.owned(l, p.Type); owned {
			if !strings.HasPrefix(entry.From, manifestSource) {
				continue
			}
			s.From = entry.From // the user's value, lowered by a policy
			s.Text = e.original(l, p.Type)
		}
		if found == nil {
			if err := checkNative(p, text); err != nil {
				e.bad[p.Name] = true
				e.refuse(s.Path, text, "%v", err)
			}
			found = s
		} else if !p.Type.Same(found.Text, text) {
			e.refuse(s.Path, text, "differs from %s: %s, which is the one that Knative reads; state it once", found.Path, found.Text)
		}
	}
	if e.bad[p.Name] {
		return nil
	}
	return found
}

func checkNative(p *parameter.Parameter, text string) error {
	if p == parameter.AutoscalerClass && text != parameter.KPA && text != parameter.HPA {
		return fmt.Errorf("no autoscaler serves this class; allowed: %s, %s", parameter.KPA, parameter.HPA)
	}
	return p.Type.Check(text)
}

// candidate is a default that one layer offers.
type candidate struct {
	text, from string
	layer      *policy.Layer // nil for the cluster's
	profile    bool          // whether the layer is the profile that the workload names
	// asked is the text before a policy lowered it in an earlier expansion, by that policy.
	asked, by string
}

// candidates are the defaults for a parameter, strongest first, without the built-in one.
func (e *expansion) candidates(p *parameter.Parameter) []candidate {
	var c []candidate
	layers := e.layers(p.Group)
	for i := range layers {
		layer := &layers[i]
		if text, ok := layer.Values[p.Name]; ok {
			profile, _ := e.profile(p.Group)
			c = append(c, candidate{text: text, from: layer.From, layer: layer, profile: layer.From == profile.From})
		}
	}
	if v, ok := e.Knative.Explicit(p.Name); ok {
		c = append(c, candidate{text: v.Text, from: v.From})
	}
	return c
}

// firstFitting is the first default that fits, else the built-in value; what an earlier
// expansion took from the same source stays.
func (e *expansion) firstFitting(p *parameter.Parameter, name string, builtIn candidate, fits func(text string) bool) candidate {
	chosen := builtIn
	for _, c := range e.candidates(p) {
		if fits(c.text) {
			chosen = c
			break
		}
	}
	chosen.asked = chosen.text
	if entry, ok := e.kept(name, chosen.from); ok && fits(entry.Value) {
		chosen.text, chosen.by = entry.Value, entry.By
	}
	return chosen
}

// settle stores the value of a parameter that lands in an annotation, writing it unless
// the template states it already.
func (e *expansion) settle(p *parameter.Parameter, s *Statement, value, from, by string) {
	e.values.put(Setting{Name: p.Name, Value: value, From: from, By: by})
	key := annotationKey[p]
	if s != nil && s.native != "" {
		l, _ := e.locate(s.native)
		if now, _ := e.text(l); by == "" && p.Type.Same(now, value) {
			return
		}
		key = s.native
	}
	l, _ := e.locate(key)
	e.write(l, p.Type, value, Setting{From: from, By: by})
}

// layers are the defaults of a group, strongest first: the profile that the group's
// label names, then the policies.
func (e *expansion) layers(g parameter.Group) []policy.Layer {
	if layers, known := e.known[g]; known {
		return layers
	}
	layers := e.Policies.Defaults(g)
	if profile, ok := e.profile(g); ok {
		layers = slices.Insert(layers, 0, profile)
	}
	if e.known == nil {
		e.known = map[parameter.Group][]policy.Layer{}
	}
	e.known[g] = slices.Clip(layers)
	return e.known[g]
}

// profile is the one that a group's label names.
func (e *expansion) profile(g parameter.Group) (policy.Layer, bool) {
	if name := e.intent.optIn(g.Label()).Profile; name != "" {
		return e.Policies.Profile(g, name)
	}
	return policy.Layer{}, false
}

// checkProfiles refuses profiles that no policy has.
func (e *expansion) checkProfiles() {
	for _, g := range []parameter.Group{parameter.Autoscale, parameter.Compute} {
		name := e.intent.optIn(g.Label()).Profile
		if _, ok := e.profile(g); ok || name == "" {
			continue
		}
		if meant := meantBy(g, name); meant != "" {
			e.refuse(field.NewPath("metadata", "labels").Key(g.Label()), name, "unknown %s profile; %s", g, meant)
			continue
		}
		known := "no policy that selects this workload has any; to opt in without one, write \"true\""
		if names := e.Policies.ProfileNames(g); len(names) > 0 {
			known = "there are " + strings.Join(names, ", ")
		}
		e.refuse(field.NewPath("metadata", "labels").Key(g.Label()), name, "unknown %s profile; %s", g, known)
	}
}

// meantBy says what somebody meant by a label that no profile is called; empty where that is
// not clear.
func meantBy(g parameter.Group, name string) string {
	switch strings.ToLower(name) {
	case "true", "yes", "y", "on", "1", "enabled", "enable", "t":
		return `write "true" to opt in`
	case "false", "no", "n", "off", "0", "disabled", "disable", "f":
		return `write "false" to opt out`
	case "kpa", "hpa", parameter.KPA, parameter.HPA:
		if g == parameter.Autoscale {
			return fmt.Sprintf("write \"true\" to opt in, and choose the class by %s: %s", parameter.AutoscalerClass.Key(), name)
		}
	}
	return ""
}
