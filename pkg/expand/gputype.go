package expand

import (
	"fmt"
	"maps"
	"strings"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// gpuType is the kind of GPU that a pod is to be pinned to.
type gpuType struct {
	want
	at     location // of the node label
	value  string   // of the node label
	native string   // what the manifest itself says there
	// leftOut warns of defaults that no bound allows.
	leftOut []string
}

// chooseGPUType takes the type that is stated, else the first default that every bound
// allows. It is nil where nothing asks for one, or the manifest pins the pod by itself.
func (e *expansion) chooseGPUType() *gpuType {
	p := parameter.GPUType
	if s := e.usable(e.intent.Stated[p.Name]); s != nil {
		return e.newGPUType(want{text: s.Text, from: s.From, stated: s})
	}
	if _, pinned := workload.GPUType(e.withoutOwnSelector()); pinned || e.bad[p.Name] {
		return nil
	}
	var leftOut []string
	for _, c := range e.candidates(p) {
		if p.Type.Check(c.text) != nil {
			continue
		}
		t := e.newGPUType(e.keptGPUType(c))
		if e.Policies.Allows(policy.BoundGPUTypes, t.value) || (e.old != nil && e.old.GPUType == t.value) {
			t.leftOut = leftOut
			return t
		}
		leftOut = append(leftOut, fmt.Sprintf("%s %s (%s) is left out: bounds.%s does not allow it", p.Name, t.text, t.from, policy.BoundGPUTypes))
	}
	return &gpuType{leftOut: leftOut}
}

func (e *expansion) newGPUType(w want) *gpuType {
	label, value, _ := parameter.ParseGPUType(w.text) // checked
	t := &gpuType{want: w, value: value}
	t.at, _ = e.locate("nodeSelector." + label)
	t.native, _ = e.native(t.at, typeOf(t.at.name))
	return t
}

// keptGPUType is a default, or what an earlier expansion took from the same source.
func (e *expansion) keptGPUType(c candidate) want {
	for name, entry := range e.before {
		if label, ok := strings.CutPrefix(name, "nodeSelector."); ok && entry.From == c.from {
			text := label + ": " + entry.Value
			if parameter.GPUType.Type.Same(text, entry.Value) {
				text = entry.Value
			}
			return want{text: text, from: c.from}
		}
	}
	return want{text: c.text, from: c.from}
}

// withoutOwnSelector is the pod spec without the node labels that an earlier expansion
// asked for.
func (e *expansion) withoutOwnSelector() manifest.Object {
	pod, selector := maps.Clone(e.podSpec()), maps.Clone(manifest.Map(e.podSpec(), "nodeSelector"))
	for label := range selector {
		l, _ := e.locate("nodeSelector." + label)
		if _, owned := e.owned(l, typeOf(l.name)); owned {
			delete(selector, label)
		}
	}
	pod["nodeSelector"] = selector
	return pod
}

// pin settles the node label that pins the pod to a kind of GPU. A default is for
// workloads that ask for GPUs.
func (e *expansion) pin(t *gpuType) {
	p := parameter.GPUType
	if t == nil || (t.stated == nil && !e.asksForGPUs()) {
		return
	}
	e.result.Warnings = append(e.result.Warnings, t.leftOut...)
	switch {
	case t.text == "":
	case t.native == t.value:
		e.values.put(Setting{Name: p.Name, Value: t.text, From: t.from})
	case t.native != "" && t.stated != nil:
		e.refuse(t.stated.Path, t.stated.Text, "differs from %s: %s; state it once", t.at.field(), t.native)
	case t.native == "" && e.allowed(p, t.want, knative.FlagNodeSelector):
		e.values.put(Setting{Name: p.Name, Value: t.text, From: t.from})
		e.write(t.at, typeOf(t.at.name), t.value, Setting{From: t.from})
	}
}

// asksForGPUs tells whether the pod asks for any GPU, stated or by default.
func (e *expansion) asksForGPUs() bool {
	return workload.CountGPUs(e.podSpec(), e.path, e.Policies.GPUResources()).PerPod > 0
}
