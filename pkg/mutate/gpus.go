package mutate

import (
	"encoding/json"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
)

// gpuType settles the node label that pins the pod to a kind of GPU.
func (e *expansion) gpuType() {
	p := parameter.GPUType
	w, ok := e.wanted(p, location{}, "", false)
	if !ok {
		return
	}
	label, value, _ := parameter.ParseGPUType(w.text)
	l, _ := e.locate("nodeSelector." + label)
	native, isNative := e.native(l, textType)
	if isNative && native != value {
		if s := w.stated; s != nil {
			e.refuse(s.Path, s.Text, "differs from %s: %s; state it once", l.field(), native)
		}
		return
	}
	if !isNative && !e.allowed(p, w, knative.FlagNodeSelector) {
		return
	}
	e.values[p.Name] = Setting{Name: p.Name, Value: w.text, From: w.from}
	if !isNative {
		e.write(l, textType, value, Setting{From: w.from})
	}
}

var textType = parameter.Distribute.Type

// gpus settles the GPUs of the serving container and the tolerations that GPU nodes
// usually ask for.
func (e *expansion) gpus() {
	p := parameter.GPUs
	memory := e.gpuMemory()
	name := e.Policies.GPUResource()
	request, _ := e.locate("requests." + name)
	limit, _ := e.locate("limits." + name)
	native, isNative := e.nativeGPUs(name)
	w, ok := e.wanted(p, limit, native, isNative)
	if !ok && !isNative && memory != nil && !e.bad[p.Name] {
		w, ok = want{text: "1", from: memory.From}, true
	}
	if !ok {
		if isNative {
			e.values[p.Name] = Setting{Name: p.Name, Value: native, From: manifestSource + "resources"}
		}
		return
	}
	n, err := parameter.ParseScale(w.text)
	if err != nil {
		return
	}
	if w.stated == nil && !isNative && (e.old == nil || e.old.GPUs.PerPod < n) {
		if lowered := e.Policies.LowerGPUs(n); lowered < n {
			ceiling, _ := e.Policies.Ceiling(policy.BoundGPUsPerPod, policy.AllBounds)
			n, w.by = lowered, ceiling.By
		}
	}
	e.values[p.Name] = Setting{Name: p.Name, Value: strconv.FormatInt(n, 10), From: w.from, By: w.by}
	if n == 0 || isNative {
		return
	}
	if other := e.otherGPUs(name); other != "" {
		if s := w.stated; s != nil {
			e.refuse(s.Path, s.Text, "the serving container asks for %s already; state its GPUs once", other)
		}
		return
	}
	value := strconv.FormatInt(n, 10)
	e.write(request, p.Type, value, Setting{From: w.from, By: w.by})
	e.write(limit, p.Type, value, Setting{From: w.from, By: w.by})
	e.tolerations(w.from)
}

// nativeGPUs is the number of GPUs of one resource that the manifest states for the
// serving container.
func (e *expansion) nativeGPUs(name string) (string, bool) {
	for _, list := range []string{"limits", "requests"} {
		l, _ := e.locate(list + "." + name)
		if text, ok := e.native(l, parameter.GPUs.Type); ok {
			return text, true
		}
	}
	return "", false
}

// otherGPUs names a GPU resource of the serving container beside one.
func (e *expansion) otherGPUs(name string) string {
	container, _ := e.get([]any{"spec", "template", "spec", "containers", e.serving})
	for _, list := range []string{"limits", "requests"} {
		for other, v := range manifest.Map(container.(manifest.Object), "resources", list) {
			if n, ok := policy.WholeGPUs(v); other != name && e.Policies.GPUResources().Match(other) && (!ok || n > 0) {
				if entry, recorded := e.before[list+"."+other]; recorded && parameter.GPUs.Type.Same(entry.Value, scalarText(v)) {
					continue // set for an earlier choice of resource, and about to go
				}
				return other
			}
		}
	}
	return ""
}

// gpuMemory settles the annotation gpu-memory; nil where none is asked for.
func (e *expansion) gpuMemory() *Statement {
	p := parameter.GPUMemory
	l, _ := e.locate("gpu-memory")
	native, isNative := e.native(l, p.Type)
	w, ok := e.wanted(p, l, native, isNative)
	if !ok {
		return nil
	}
	e.values[p.Name] = Setting{Name: p.Name, Value: w.text, From: w.from}
	if !isNative {
		e.write(l, p.Type, w.text, Setting{From: w.from})
	}
	return &Statement{Parameter: p, Text: w.text, From: w.from}
}

// checkGPUs refuses GPU quantities that Knative takes and Kubernetes then refuses.
func (e *expansion) checkGPUs() {
	pod := e.path.Child("spec")
	e.result.Errors = append(e.result.Errors, policy.CountGPUs(e.podSpec(), pod, e.Policies.GPUResources()).Malformed...)
	for _, list := range []string{"initContainers", "containers"} {
		for i, c := range manifest.Objects(e.podSpec(), list) {
			requests, limits := manifest.Map(c, "resources", "requests"), manifest.Map(c, "resources", "limits")
			at := pod.Child(list).Index(i).Child("resources")
			for name, v := range requests {
				n, ok := policy.WholeGPUs(v)
				if !ok || !e.Policies.GPUResources().Match(name) {
					continue
				}
				limit, stated := limits[name]
				m, whole := policy.WholeGPUs(limit)
				switch {
				case !stated:
					e.result.Errors = append(e.result.Errors, field.Required(at.Child("limits").Key(name), "GPUs need a limit equal to the request"))
				case whole && m != n:
					e.refuse(at.Child("requests").Key(name), n, "must equal the limit %d: GPUs cannot be overcommitted", m)
				}
			}
		}
	}
}

// gpuTolerations are the taints that GPU nodes usually carry.
var gpuTolerations = []manifest.Object{
	{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
	{"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
}

// tolerations lets the pod onto GPU nodes. They are a convenience: where the cluster
// forbids tolerations they are left out with a warning.
func (e *expansion) tolerations(from string) {
	var recorded, missing []string
	if entry, ok := e.before[tolerationsLocation]; ok {
		_ = json.Unmarshal([]byte(entry.Value), &recorded)
	}
	present := manifest.Objects(e.podSpec(), "tolerations")
	var kept []string
	var wanted []manifest.Object
	for _, t := range gpuTolerations {
		key := t["key"].(string)
		at := slices.IndexFunc(present, func(p manifest.Object) bool { return tolerates(p, t) })
		switch {
		case at < 0:
			wanted, missing = append(wanted, t), append(missing, key)
		case slices.Contains(recorded, key):
			kept = append(kept, key)
		}
	}
	if len(wanted) > 0 && !e.Knative.Feature(knative.FlagTolerations) {
		e.warn("the usual GPU tolerations are left out: the cluster's Knative has %s disabled; a cluster administrator can enable it in ConfigMap %s of namespace %s",
			knative.FlagTolerations, knative.FeaturesConfig, knative.Namespace)
		wanted, missing = nil, nil
	}
	for _, t := range wanted {
		e.add(clone(t), "spec", "template", "spec", "tolerations")
	}
	if all := append(kept, missing...); len(all) > 0 {
		slices.Sort(all)
		text, _ := json.Marshal(all)
		e.after[tolerationsLocation] = Entry{Value: string(text), From: from}
	}
}

// tolerates tells whether one toleration covers what another is for.
func tolerates(have, want manifest.Object) bool {
	text := func(o manifest.Object, key string) string { return manifest.Text(o, key) }
	if text(have, "key") != text(want, "key") || (text(have, "effect") != "" && text(have, "effect") != text(want, "effect")) {
		return false
	}
	return text(have, "operator") == "Exists" || text(have, "value") == text(want, "value")
}

// dropTolerations removes those that an earlier expansion added.
func (e *expansion) dropTolerations(entry Entry) {
	var keys []string
	if json.Unmarshal([]byte(entry.Value), &keys) != nil {
		return
	}
	for _, t := range gpuTolerations {
		if !slices.Contains(keys, t["key"].(string)) {
			continue
		}
		at := slices.IndexFunc(manifest.Objects(e.podSpec(), "tolerations"), func(p manifest.Object) bool { return manifest.Equal(p, t) })
		if at >= 0 {
			e.remove("spec", "template", "spec", "tolerations", at)
		}
	}
}
