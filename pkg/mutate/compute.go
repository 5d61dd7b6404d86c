package mutate

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
)

// compute writes the compute parameters on the serving container and the pod.
func (e *expansion) compute() {
	e.checkProfiles()
	e.keepLowered()
	if e.serving < 0 && e.needsContainer() {
		e.refuse(e.path.Child("spec", "containers"), len(manifest.List(e.podSpec(), "containers")),
			"it is not clear which container the compute parameters are for; give the serving one a port, or name it kubetorch")
		return
	}
	if e.serving >= 0 {
		e.resource(parameter.CPUs, "cpu", policy.BoundCPUsPerPod)
		e.resource(parameter.Memory, "memory", policy.BoundMemoryPerPod)
		e.resource(parameter.DiskSize, "ephemeral-storage", "")
		e.gpus()
		e.sharedMemory()
	}
	e.gpuType()
	e.scalar(parameter.PriorityClassName, "priorityClassName", knative.FlagPriorityClassName)
	e.scalar(parameter.ServiceAccountName, "serviceAccountName", "")
	e.scalar(parameter.QueueName, "labels.kueue.x-k8s.io/queue-name", "")
	e.scalar(parameter.InactivityTTL, "metadata.kubetorch.com/inactivity-ttl", "")
}

// containerParameters land on the serving container.
var containerParameters = []*parameter.Parameter{parameter.CPUs, parameter.Memory, parameter.DiskSize, parameter.GPUs, parameter.GPUMemory, parameter.SharedMemoryLimit}

func (e *expansion) needsContainer() bool {
	for _, p := range containerParameters {
		if e.intent.Stated[p.Name] != nil {
			return true
		}
	}
	return false
}

// native is what the manifest itself holds at a location.
func (e *expansion) native(l location, t *parameter.Type) (string, bool) {
	text, ok := e.text(l)
	if !ok {
		return "", false
	}
	if entry, owned := e.owned(l, t); owned {
		if !strings.HasPrefix(entry.From, manifestSource) {
			return "", false
		}
		return text, true // the user's value, lowered by a policy
	}
	return text, !e.filledIn(l, text)
}

// original is what the manifest stated at a location before a policy lowered it; empty
// where none did.
func (e *expansion) original(l location, t *parameter.Type) string {
	entry, _ := e.owned(l, t)
	text, _ := strings.CutPrefix(entry.From, manifestSource+l.name+": ")
	return text
}

// clusterSource names a resource that Knative fills in, empty if it does not.
func (e *expansion) clusterSource(list, name string) string {
	q := e.Knative.ResourceDefault(list, name)
	if q == nil {
		return ""
	}
	return "cluster " + knative.DefaultsConfig + " " + list + "." + name + ": " + q.String()
}

// keepLowered keeps the record of requests and limits that a policy lowered below what
// the manifest states or the cluster fills in: no parameter writes them.
func (e *expansion) keepLowered() {
	for name, entry := range e.before {
		list, resource, _ := strings.Cut(name, ".")
		l, ok := e.locate(name)
		if !ok || (list != "requests" && list != "limits") ||
			(!strings.HasPrefix(entry.From, manifestSource) && entry.From != e.clusterSource(list, resource)) {
			continue
		}
		if _, owned := e.owned(l, typeOf(name)); owned {
			e.after[name] = entry
		}
	}
}

// filledIn tells whether Knative put a resource of the stored object there itself.
func (e *expansion) filledIn(l location, text string) bool {
	list, name, found := strings.Cut(l.name, ".")
	if !found || e.Old == nil {
		return false
	}
	q := e.Knative.ResourceDefault(list, name)
	if q == nil {
		return false
	}
	same := parameter.Memory.Type.Same
	old := manifest.Objects(e.Old, "spec", "template", "spec", "containers")
	if !same(q.String(), text) || e.serving >= len(old) {
		return false
	}
	before, ok := manifest.QuantityText(manifest.Map(old[e.serving], "resources", list)[name])
	return ok && same(before, text)
}

// want is a value for a compute parameter and where it comes from.
type want struct {
	text, from, by string
	stated         *Statement // nil for a default
}

// wanted is the value for a compute parameter: what is stated, else the first default.
// A stated value that contradicts the manifest is refused. As long as its source is the
// same, what an earlier expansion made of it stays.
func (e *expansion) wanted(p *parameter.Parameter, l location, native string, isNative bool) (w want, ok bool) {
	entry := e.before[l.name]
	if s := e.usable(e.intent.Stated[p.Name]); s != nil {
		if isNative && !p.Type.Same(s.Text, native) && !p.Type.Same(s.Text, e.original(l, p.Type)) {
			e.refuse(s.Path, s.Text, "differs from %s: %s; state it once", l.field(), native)
			return want{}, false
		}
		w = want{text: s.Text, from: s.From, stated: s}
		if entry.From == w.from && entry.By != "" {
			w.text, w.by = entry.Value, entry.By
		}
		return w, true
	}
	if isNative || e.bad[p.Name] {
		return want{}, false
	}
	if _, owned := e.owned(l, p.Type); !owned {
		if text, ok := e.text(l); ok && e.filledIn(l, text) {
			return want{}, false // it may as well be the manifest's: only a parameter changes it
		}
	}
	for _, c := range e.candidates(p) {
		if p.Type.Check(c.text) == nil {
			w = want{text: c.text, from: c.from}
			if entry.From == w.from && p.Type.Check(entry.Value) == nil {
				w.text, w.by = entry.Value, entry.By
			}
			return w, true
		}
	}
	return want{}, false
}

// resource settles a request of the serving container.
func (e *expansion) resource(p *parameter.Parameter, name, bound string) {
	request, _ := e.locate("requests." + name)
	limit, _ := e.locate("limits." + name)
	native, isNative := e.native(request, p.Type)
	limitText, limited := e.text(limit)
	limitQuantity, err := resource.ParseQuantity(limitText)
	own, from := limited, manifestSource+limit.name
	if entry, owned := e.owned(limit, p.Type); owned && !strings.HasPrefix(entry.From, manifestSource) {
		own = false // the cluster's, lowered by a policy
	}
	// What Knative fills in, or has filled in already, is nobody's own limit.
	if q := e.Knative.ResourceDefault("limits", name); q != nil && (!limited || err == nil && q.Cmp(limitQuantity) == 0) {
		limitQuantity, limitText, limited, own, err, from = *q, q.String(), true, false, nil, "cluster "+knative.DefaultsConfig
	}
	hasLimit := limited && err == nil
	if own && !isNative && e.intent.Stated[p.Name] == nil {
		e.raiseRequest(p, request, limitText, name)
		return // without a request of its own the limit is the request
	}
	w, ok := e.wanted(p, request, native, isNative)
	if isNative {
		e.values[p.Name] = Setting{Name: p.Name, Value: native, From: manifestSource + request.name}
		if q, err := resource.ParseQuantity(native); err == nil && hasLimit && limitQuantity.Cmp(q) < 0 {
			e.refuse(request.field(), native, "is above the limit %s (%s); raise the limit", limitText, from)
		}
		return
	}
	if !ok {
		if hasLimit {
			e.raiseRequest(p, request, limitText, name)
		}
		return
	}
	q := resource.MustParse(w.text) // checked
	if hasLimit && limitQuantity.Cmp(q) < 0 {
		if w.stated != nil {
			e.refuse(w.stated.Path, w.stated.Text, "is above the limit %s (%s); set resources.limits.%s", limitText, from, name)
			return
		}
		q, w.text = limitQuantity, limitText
	}
	if c, found := e.Policies.Ceiling(bound, policy.AllBounds); found && w.stated == nil && c.Max.Cmp(q) < 0 {
		w.text, w.by = c.Max.String(), c.By
	}
	e.values[p.Name] = Setting{Name: p.Name, Value: w.text, From: w.from, By: w.by}
	e.write(request, p.Type, w.text, Setting{From: w.from, By: w.by})
}

// raiseRequest keeps the cluster's default request from ending up above a limit that
// the manifest states: the limit becomes the request, as Kubernetes itself would have it.
func (e *expansion) raiseRequest(p *parameter.Parameter, request location, limit, name string) {
	if _, present := e.native(request, p.Type); present || e.after[request.name].Value != "" {
		return
	}
	fill := e.Knative.ResourceDefault("requests", name)
	q, err := resource.ParseQuantity(limit)
	if fill == nil || err != nil || fill.Cmp(q) <= 0 {
		return
	}
	e.write(request, p.Type, limit, Setting{From: "limits." + name})
}

// requestOf is the request that a container ends up with: its own, else what Knative
// fills in, else, as Kubernetes has it, its limit; nil for none.
func (e *expansion) requestOf(c manifest.Object, name string) *resource.Quantity {
	for _, list := range []string{"requests", "limits"} {
		if v := manifest.Map(c, "resources", list)[name]; v != nil {
			q, err := manifest.Quantity(v)
			if err != nil || q.Sign() <= 0 {
				return nil
			}
			return &q
		}
		if q := e.Knative.ResourceDefault(list, name); q != nil {
			return q
		}
	}
	return nil
}

// scalar settles a parameter that lands in one string. flag is the feature that the
// cluster must have for it, if any.
func (e *expansion) scalar(p *parameter.Parameter, name, flag string) {
	l, _ := e.locate(name)
	native, isNative := e.native(l, p.Type)
	w, ok := e.wanted(p, l, native, isNative)
	if !ok {
		if isNative {
			e.values[p.Name] = Setting{Name: p.Name, Value: native, From: manifestSource + name}
		}
		return
	}
	if !isNative && !e.allowed(p, w, flag) {
		return
	}
	e.values[p.Name] = Setting{Name: p.Name, Value: w.text, From: w.from}
	if !isNative {
		e.write(l, p.Type, w.text, Setting{From: w.from})
	}
}

// allowed tells whether the cluster has a feature. What the user states and the cluster
// forbids is refused; a default is left out with a warning.
func (e *expansion) allowed(p *parameter.Parameter, w want, flag string) bool {
	if flag == "" || e.Knative.Feature(flag) {
		return true
	}
	const who = "a cluster administrator can enable it in ConfigMap " + knative.FeaturesConfig + " of namespace " + knative.Namespace
	if w.stated != nil {
		e.refuse(w.stated.Path, w.stated.Text, "the cluster's Knative has %s disabled; %s", flag, who)
	} else {
		e.warn("%s (%s) is left out: the cluster's Knative has %s disabled; %s", p.Name, w.from, flag, who)
	}
	return false
}
