package expand

import (
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// gpuType is the kind of GPU that a pod is to be pinned to.
type gpuType struct {
	want
	label  string   // of nodes; empty where none is known for the pod's GPUs
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
		if t.label == "" {
			leftOut = append(leftOut, fmt.Sprintf("%s %s (%s) is left out: %s", p.Name, t.text, t.from, e.unknownLabel(t)))
			continue
		}
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
	if value == w.text {
		label = e.typeLabel(value)
	}
	t := &gpuType{want: w, label: label, value: value}
	if label == "" {
		return t
	}
	t.at, _ = e.locate("nodeSelector." + label)
	t.native, _ = e.native(t.at, typeOf(t.at.name))
	return t
}

// typeLabel is the node label that names a product: that of the GPUs' vendor, else of whoever
// makes such a product; empty where neither is known.
func (e *expansion) typeLabel(product string) string {
	if label := workload.TypeLabel(e.gpuResource()); label != "" {
		return label
	}
	return workload.ProductLabel(product)
}

// keptGPUType is a default, or what an earlier expansion took from the same source.
func (e *expansion) keptGPUType(c candidate) want {
	for name, entry := range e.before {
		if label, ok := strings.CutPrefix(name, "nodeSelector."); ok && entry.From == c.from {
			text := label + ": " + entry.Value
			if label == e.typeLabel(entry.Value) {
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
	pinned := workload.ProductPin(e.withoutOwnSelector())
	same, known := workload.SameProduct(pinned.Value, t.value)
	comparing := t.text != "" && pinned.Value != "" && (t.label == "" || workload.NamesProduct(t.label))
	switch {
	case t.text == "":
	case comparing && same: // the pod keeps the pin that it has
		e.values.put(Setting{Name: p.Name, Value: t.text, From: t.from})
	case comparing && known && t.stated != nil:
		e.refuse(t.stated.Path, t.stated.Text, "differs from %s: %s; state it once", e.pinPath(pinned.Label), pinned.Value)
	case t.label == "":
		e.refuse(t.stated.Path, t.stated.Text, "%s", e.unknownLabel(t))
	case t.native == t.value:
		e.values.put(Setting{Name: p.Name, Value: t.text, From: t.from})
	case t.native != "" && t.stated != nil:
		e.refuse(t.stated.Path, t.stated.Text, "differs from %s: %s; state it once", t.at.field(), t.native)
	case t.native == "" && e.allowed(p, t.want, knative.FlagNodeSelector):
		e.values.put(Setting{Name: p.Name, Value: t.text, From: t.from})
		e.write(t.at, typeOf(t.at.name), t.value, Setting{From: t.from})
		if name := workload.DiscoveredName(t.value); name != "" && t.label == e.typeLabel(t.value) {
			e.warn("%s %s (%s): feature discovery labels nodes with such a GPU %s: %s", p.Name, t.text, t.from, t.label, name)
		}
	}
}

// unknownLabel says what to state where no node label is known to name a type.
func (e *expansion) unknownLabel(t *gpuType) string {
	return fmt.Sprintf("no node label is known that names the products behind %s; name the label too, in an annotation: %s: \"label/key: %s\"", e.gpuResource(), parameter.GPUType.Key(), t.value)
}

// pinPath is where the pod is pinned by a node label.
func (e *expansion) pinPath(label string) *field.Path {
	pod := e.path.Child("spec")
	if _, ok := manifest.Map(e.podSpec(), "nodeSelector")[label]; ok {
		return pod.Child("nodeSelector").Key(label)
	}
	return pod.Child("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution").Key(label)
}

// gpuResource is the GPU resource that the pod asks for: the one that the parameter gpus
// stands for if it is among them or the pod asks for none.
func (e *expansion) gpuResource() string {
	usual := e.Policies.GPUResource()
	found := ""
	for _, list := range []string{"containers", "initContainers"} {
		for _, c := range manifest.Objects(e.podSpec(), list) {
			for _, of := range []string{"limits", "requests"} {
				for name, v := range manifest.Map(c, "resources", of) {
					if n, ok := workload.WholeGPUs(v); !e.Policies.GPUResources().Match(name) || (ok && n == 0) {
						continue
					}
					if name == usual {
						return usual
					}
					if found == "" || name < found {
						found = name
					}
				}
			}
		}
	}
	if found == "" {
		return usual
	}
	return found
}

// asksForGPUs tells whether the pod asks for any GPU, stated or by default.
func (e *expansion) asksForGPUs() bool {
	return workload.CountGPUs(e.podSpec(), e.path, e.Policies.GPUResources()).PerPod > 0
}
