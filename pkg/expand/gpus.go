package expand

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// gpus settles the GPUs of the serving container, their memory and their type.
func (e *expansion) gpus() {
	kind := e.chooseGPUType()
	if e.serving >= 0 {
		memory := e.resolve(parameter.GPUMemory, gpuMemoryLocation)
		e.gpuCount(memory, kind)
		e.drop(e.isGPU)
		if memory.isNative || memory.byWorkload() || e.asksForGPUs() { // a default is for workloads that ask for GPUs
			e.store(memory)
		}
	}
	e.pin(kind)
}

// isGPU tells whether a location is one of GPUs.
func (e *expansion) isGPU(name string) bool {
	prefix, resource, _ := strings.Cut(name, ".")
	return (prefix == "requests" || prefix == "limits") && e.Policies.GPUResources().Match(resource)
}

// gpuCount settles the number of GPUs and the tolerations that GPU nodes usually ask for.
func (e *expansion) gpuCount(memory setting, kind *gpuType) {
	p := parameter.GPUs
	if total, elsewhere := e.gpusElsewhere(); elsewhere != "" {
		e.sameGPUs(total, elsewhere)
		return
	}
	name := e.Policies.GPUResource()
	request, _ := e.locate("requests." + name)
	limit, _ := e.locate("limits." + name)
	native, isNative := e.nativeGPUs(name)
	w, ok := e.wanted(p, limit, native, isNative)
	if !ok && !isNative && !e.bad[p.Name] && memory.byWorkload() {
		if other := e.accelerator(); other != "" {
			e.warn("%s %s asks for no GPU: the pod has %s", parameter.GPUMemory.Name, memory.want.text, other)
			return
		}
		w, ok = memory.want, true
		w.text, w.asked = "1", "1"
	}
	switch {
	case isNative && ok:
		e.values.put(Setting{Name: p.Name, Value: w.text, From: w.from})
		return
	case isNative:
		e.values.put(Setting{Name: p.Name, Value: native, From: manifestSource + "resources"})
		return
	case !ok:
		return
	}
	other := e.otherGPUs(name)
	if other != "" && (w.stated == nil || w.stated.Parameter != p) {
		return // the container has its GPUs
	}
	n, _ := parameter.ParseScale(w.text) // checked
	if w.stated == nil {
		n = e.lowerGPUs(&w, n, kind)
	}
	e.values.put(Setting{Name: p.Name, Value: strconv.FormatInt(n, 10), From: w.from, By: w.by})
	if n == 0 {
		return
	}
	if other != "" {
		e.refuse(w.stated.Path, w.stated.Text, "the serving container asks for %s already; state its GPUs once", other)
		return
	}
	value := Setting{Value: strconv.FormatInt(n, 10), From: w.from, By: w.by}
	e.write(request, typeOf(request.name), value.Value, value)
	e.write(limit, typeOf(limit.name), value.Value, value)
	e.tolerations(name, w.from)
}

// lowerGPUs holds a default number of GPUs against every bound, given the pods that the
// workload itself asks for.
func (e *expansion) lowerGPUs(w *want, n int64, kind *gpuType) int64 {
	broken := e.brokenByGPUs(n, kind)
	if len(broken) > 0 {
		lowered := e.Policies.LowerGPUs(min(n, e.gpusThatFit()))
		if lowered > 0 && len(e.brokenByGPUs(lowered, kind)) > 0 {
			lowered = 0
		}
		if lowered == 0 && w.profile {
			return e.refuseProfile(*w, n, broken)
		}
		w.by = e.words(broken[0], n)
		n = lowered
	}
	if asked, err := parameter.ParseScale(w.asked); err == nil && w.by != "" && n < asked {
		e.warn("gpus %s (%s) lowered to %d by %s", w.asked, w.from, n, w.by)
	}
	return n
}

// refuseProfile refuses a profile that is named and whose GPUs cannot be given. Where no
// bound refuses them they are.
func (e *expansion) refuseProfile(w want, n int64, broken []policy.Violation) int64 {
	for _, v := range broken {
		if refuses(v) {
			v.Error = field.Forbidden(field.NewPath("metadata", "labels").Key(parameter.ComputeLabel), w.from+" "+v.Error.Detail)
			e.result.Denied = append(e.result.Denied, v)
		}
	}
	return n
}

func refuses(v policy.Violation) bool {
	return v.Enforcement == v1alpha1.Deny || v.Enforcement == v1alpha1.Clamp
}

// words name a bound that n GPUs break, as a limit does.
func (e *expansion) words(v policy.Violation, n int64) string {
	if c, ok := e.Policies.Limit(v.Bound, policy.AllBounds); ok && c.Policy == v.Policy && (v.Bound == policy.BoundGPUsPerWorkload || n > c.Max.Value()) {
		return c.By
	}
	return fmt.Sprintf("policy %s (bounds.%s.allowed)", v.Policy, v.Bound)
}

// brokenByGPUs are the bounds that a workload breaks with n GPUs per pod, and the stored
// one does not, those that refuse it first.
func (e *expansion) brokenByGPUs(n int64, kind *gpuType) []policy.Violation {
	name, text := e.Policies.GPUResource(), strconv.FormatInt(n, 10)
	d := e.demandOf(e.imagined(map[string]string{"requests." + name: text, "limits." + name: text}))
	d.PeakPods = e.podsAsked(d)
	own, _ := d.GPUs.Times(workload.SaturatingMul(d.PeakPods, 1+d.UnknownRevisions))
	d.Claim = workload.SaturatingAdd(own, d.OtherClaims)
	node, _ := workload.GPUType(e.withoutOwnSelector())
	if kind != nil && kind.value != "" {
		node = kind.value
	}
	d.GPUType = d.GPUs.TypeOn(node)
	v := e.Policies.Judge(d, e.old)
	return slices.DeleteFunc(slices.Concat(v.Denied, v.Warned, v.Audited), func(v policy.Violation) bool {
		return v.Bound != policy.BoundGPUsPerPod && v.Bound != policy.BoundGPUsPerWorkload && (v.Bound != policy.BoundGPUTypes || !refuses(v))
	})
}

// gpusThatFit is the most GPUs per pod that gpusPerWorkload leaves to the pods that the
// workload itself asks for.
func (e *expansion) gpusThatFit() int64 {
	total, ok := e.Policies.Limit(policy.BoundGPUsPerWorkload, policy.AllBounds)
	if !ok {
		return workload.Unbounded
	}
	d := e.demandOf(e.object)
	return max(0, total.Max.Value()-d.OtherClaims) / max(1, workload.SaturatingMul(e.podsAsked(d), 1+d.UnknownRevisions))
}

// podsAsked is the number of pods that a default number of GPUs has to fit: what the
// workload states, at least 1, as far as no policy lowers it. A default max-scale is
// lowered to fit the GPUs.
func (e *expansion) podsAsked(d workload.Usage) int64 {
	pods := d.PeakPods
	if e.intent.Expands() {
		pods = 1
		for _, p := range []*parameter.Parameter{parameter.MaxScale, parameter.MinScale, parameter.InitialScale} {
			if n, err := parameter.ParseScale(e.explicitQuietly(p)); err == nil {
				pods = max(pods, n)
			}
		}
	}
	d.GPUs = workload.GPUCount{PerPod: 1}
	if c, ok := e.Policies.PeakLimit(d, policy.ClampBounds); ok {
		pods = min(pods, max(1, c.Max.Value()))
	}
	return pods
}

// nativeGPUs is the number of GPUs of one resource that the manifest states for the
// serving container.
func (e *expansion) nativeGPUs(name string) (string, bool) {
	for _, list := range []string{"limits", "requests"} {
		l, _ := e.locate(list + "." + name)
		if text, ok := e.native(l, typeOf(l.name)); ok {
			return text, true
		}
	}
	return "", false
}

// gpusElsewhere is the number of GPUs that the pod itself asks for, and the path of the first
// container beside the serving one that does; that is empty where none does.
func (e *expansion) gpusElsewhere() (total int64, elsewhere string) {
	gpus := e.Policies.GPUResources()
	for _, list := range []string{"containers", "initContainers"} {
		for i, c := range manifest.Objects(e.podSpec(), list) {
			if elsewhere != "" || (list == "containers" && i == e.serving) {
				continue
			}
			if workload.CountGPUs(manifest.Object{"containers": []any{c}}, e.path, gpus).PerPod > 0 {
				elsewhere = e.path.Child("spec", list).Index(i).String()
			}
		}
	}
	if elsewhere == "" {
		return 0, ""
	}
	imagined := map[string]string{}
	for name := range e.before {
		if e.isGPU(name) {
			if l, ok := e.locate(name); ok {
				if _, isNative := e.native(l, typeOf(name)); !isNative {
					imagined[name] = ""
				}
			}
		}
	}
	pod := manifest.Map(e.imagined(imagined), "spec", "template", "spec")
	return workload.CountGPUs(pod, e.path, gpus).PerPod, elsewhere
}

// sameGPUs is for a pod of which another container than the serving one asks for GPUs: the
// pod has its GPUs, so a parameter may say how many there are, and neither it nor a default
// adds any.
func (e *expansion) sameGPUs(total int64, elsewhere string) {
	p := parameter.GPUs
	text, from := strconv.FormatInt(total, 10), manifestSource+"resources"
	if s := e.usable(e.intent.Stated[p.Name]); s != nil {
		if n, err := parameter.ParseScale(s.Text); err != nil || n != total {
			e.refuse(s.Path, s.Text, "differs from the %d that the pod asks for, in %s; state them once", total, elsewhere)
			return
		}
		from = s.From
	}
	if !e.bad[p.Name] {
		e.values.put(Setting{Name: p.Name, Value: text, From: from})
	}
}

// otherGPUs names a GPU resource of the serving container beside one; what an earlier
// expansion asked for is about to go.
func (e *expansion) otherGPUs(name string) string {
	for _, list := range []string{"limits", "requests"} {
		for other, v := range manifest.Map(e.servingContainer(), "resources", list) {
			l, _ := e.locate(list + "." + other)
			_, isNative := e.native(l, typeOf(l.name))
			if n, ok := workload.WholeGPUs(v); other != name && isNative && e.Policies.GPUResources().Match(other) && (!ok || n > 0) {
				return other
			}
		}
	}
	return ""
}

// accelerator names what the pod computes on where that counts as no GPUs; empty for nothing.
func (e *expansion) accelerator() string {
	for _, list := range []string{"containers", "initContainers"} {
		for _, c := range manifest.Objects(e.podSpec(), list) {
			for _, of := range []string{"limits", "requests"} {
				asked := manifest.Map(c, "resources", of)
				for _, name := range slices.Sorted(maps.Keys(asked)) {
					if n, ok := workload.WholeGPUs(asked[name]); (!ok || n > 0) && e.Policies.GPUResources().Uncounted(name) {
						return name
					}
				}
			}
		}
	}
	return ""
}

// checkGPUs refuses GPU quantities that Knative takes and Kubernetes then refuses.
func (e *expansion) checkGPUs() {
	pod := e.path.Child("spec")
	e.result.Errors = append(e.result.Errors, workload.CountGPUs(e.podSpec(), pod, e.Policies.GPUResources()).Malformed...)
	for _, list := range []string{"initContainers", "containers"} {
		for i, c := range manifest.Objects(e.podSpec(), list) {
			requests, limits := manifest.Map(c, "resources", "requests"), manifest.Map(c, "resources", "limits")
			at := pod.Child(list).Index(i).Child("resources")
			for name, v := range requests {
				n, ok := workload.WholeGPUs(v)
				if !ok || !e.Policies.GPUResources().Match(name) {
					continue
				}
				limit, stated := limits[name]
				m, whole := workload.WholeGPUs(limit)
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
