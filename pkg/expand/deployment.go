package expand

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Deployment fills in the resources of a Deployment that stays one, as its compute label
// asks, and clamps it. One that is labelled for autoscaling gets the number of pods that
// it has in a cluster without Knative. Knative's configuration has no say in either.
func Deployment(in Input) Result {
	in.Knative = knative.Unrestricted()
	e := &expansion{Input: in, editor: editor{object: in.Object}, intent: ReadIntent(in.Object), path: field.NewPath("spec", "template"),
		bad: map[string]bool{}}
	if !e.readable() {
		if !e.intent.FillsResources() {
			e.result.Errors = nil // the API server's business
		}
		return e.finish()
	}
	e.serving = manifest.ServingContainer(e.podSpec())
	e.readRecord()
	if in.Old != nil {
		d := workload.DeploymentUsage(in.Old, workload.Controlled{}, in.Policies.GPUResources())
		e.old = &d
	}
	count := Setting{}
	switch {
	case in.Old != nil && Unchanged(in.Old, in.Object):
		e.keepRecord()
	case e.intent.FillsResources():
		e.result.Errors = append(e.result.Errors, e.intent.Errors...)
		if e.intent.Expands() {
			e.refuseDistribute()
		}
		e.compute()
		e.deadlineAlone(true)
		e.clampPod()
		e.dropStale(false)
		e.writeRecord()
		e.checkBytes()
	case e.intent.Autoscale.Off:
		e.clampPod()
		e.retire()
		e.dropRecord()
	default:
		e.retire()
		e.dropRecord()
	}
	if e.intent.Expands() {
		count = e.fixedCount()
	} else if e.intent.FillsResources() || e.intent.Autoscale.Off {
		e.clampReplicas()
	}
	e.result.Warnings = append(e.result.Warnings, e.intent.MissingLabels()...)
	r := e.finish()
	if count.Name != "" && len(r.Errors) == 0 && len(r.Denied) == 0 {
		r.Settings = append([]Setting{count}, r.Settings...)
	}
	return r
}

// clampReplicas lowers the number of pods where a policy clamps.
func (e *expansion) clampReplicas() {
	replicas := workload.Replicas(e.object)
	c, ok := e.replicasLimit(policy.ClampBounds)
	if !ok || replicas <= c.Max.Value() || c.Max.Sign() <= 0 {
		return
	}
	if d := workload.DeploymentUsage(e.object, workload.Controlled{}, e.Policies.GPUResources()); e.asBefore(replicas, d) {
		return
	}
	e.set(c.Max.Value(), "spec", "replicas")
	e.clamped(c.By, "", "replicas %d lowered to %d", replicas, c.Max.Value())
}

// replicasLimit is the most pods that a Deployment of fixed size may have: all of them
// run at all times, so bounds on min-scale hold too.
func (e *expansion) replicasLimit(which policy.Which) (policy.Limit, bool) {
	c, ok := e.Policies.PeakLimit(workload.DeploymentUsage(e.object, workload.Controlled{}, e.Policies.GPUResources()), which)
	if other, found := e.Policies.Limit(policy.BoundMinScale, which); found && (!ok || other.Max.Cmp(c.Max) < 0) {
		c, ok = other, true
	}
	return c, ok
}

// fixedCount settles the number of pods in a cluster without Knative: initial-scale, else
// min-scale, of the strongest layer that has either; at least 1.
func (e *expansion) fixedCount() Setting {
	s := Setting{Name: "replicas", Value: "1", From: builtIn}
	stated := e.statedCount()
	if stated != nil {
		s.Value, s.From = stated.Text, stated.From
	} else {
		s = e.defaultCount(s)
	}
	n, err := parameter.ParseScale(s.Value)
	if err != nil {
		return Setting{} // refused already
	}
	n = max(n, 1)
	if limit := e.explicit(parameter.MaxScale); limit != nil {
		if most, err := parameter.ParseScale(limit.Text); err == nil && most > 0 && n > most {
			if stated != nil {
				e.refuse(stated.Path, stated.Text, "max-scale=%d is less than %s=%d", most, stated.Parameter.Name, n)
			}
			n = most
		}
	}
	which := policy.AllBounds
	if stated != nil {
		which = policy.ClampBounds
	}
	if c, ok := e.replicasLimit(which); ok && n > c.Max.Value() {
		n, s.By = max(1, c.Max.Value()), c.By
		if stated != nil {
			e.clamped(c.By, stated.From, "%s %s lowered to %d", stated.Parameter.Name, stated.Text, n)
		}
	}
	s.Value = strconv.FormatInt(n, 10)
	if now, ok := manifest.Whole(e.object, "spec", "replicas"); !ok || now != n {
		e.set(n, "spec", "replicas")
	}
	pods := "pods"
	if n == 1 {
		pods = "pod"
	}
	e.result.Warnings = append([]string{fmt.Sprintf("the cluster has no Knative, so this stays a Deployment of %d %s and is not autoscaled", n, pods)}, e.result.Warnings...)
	return s
}

func (e *expansion) statedCount() *Statement {
	if s := e.explicit(parameter.InitialScale); s != nil {
		return s
	}
	return e.explicit(parameter.MinScale)
}

func (e *expansion) defaultCount(s Setting) Setting {
	for _, layer := range e.layers(parameter.Autoscale) {
		for _, p := range []*parameter.Parameter{parameter.InitialScale, parameter.MinScale} {
			if text, ok := layer.Values[p.Name]; ok && p.Type.Check(text) == nil {
				s.Value, s.From = text, layer.From
				return s
			}
		}
	}
	return s
}

// Undo takes out of an object, in place, what an earlier expansion set, and its record. A
// value that a policy lowered becomes what the manifest stated again.
func Undo(o manifest.Object) {
	e := &expansion{Input: Input{Object: o, Knative: knative.Unrestricted()}, editor: editor{object: o}, intent: ReadIntent(o),
		path: field.NewPath("spec", "template")}
	if !e.readable() {
		return
	}
	e.serving = manifest.ServingContainer(e.podSpec())
	if e.readRecord(); len(e.before) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(e.before)) {
		l, ok := e.locate(name)
		if !ok {
			continue
		}
		if text := e.original(l, typeOf(name)); text != "" && strings.HasPrefix(e.before[name].From, manifestSource) {
			e.set(text, l.path...)
			delete(e.before, name)
		}
	}
	e.dropStale(false)
	e.remove("metadata", "annotations", RecordAnnotation)
}

// ParameterOf names the parameter that lands in an annotation of the template; empty for
// none.
func ParameterOf(annotation string) string {
	if p, ok := annotationOf[annotation]; ok {
		return p.Name
	}
	return ""
}
