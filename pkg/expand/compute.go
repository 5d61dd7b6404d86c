package expand

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
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
		for _, r := range requests {
			e.request(r)
		}
		e.sharedMemory()
	}
	e.gpus()
	e.antiAffinity()
	e.scalar(parameter.PriorityClassName, priorityLocation, knative.FlagPriorityClassName)
	e.scalar(parameter.ServiceAccountName, accountLocation, "")
	e.queue()
	e.scalar(parameter.InactivityTTL, ttlLocation, "")
}

// The labels that Kueue reads from objects of kinds that it knows, and from pods.
const (
	queueKey    = "kueue.x-k8s.io/queue-name"
	priorityKey = "kueue.x-k8s.io/priority-class"
)

// queue settles the labels of the template that Kueue reads. It knows no Knative Services, so
// what stands on one itself is for its pods.
func (e *expansion) queue() {
	e.refuseOtherQueue()
	labels := manifest.Texts(e.object, "metadata", "labels")
	if manifest.Text(e.object, "kind") == "Deployment" { // which Kueue knows
		labels = nil
	}
	if labels[queueKey] == "" || e.intent.Stated[parameter.QueueName.Name] != nil {
		e.scalar(parameter.QueueName, queueLocation, "")
	} else {
		e.values.put(Setting{Name: parameter.QueueName.Name, Value: labels[queueKey], From: "label " + queueKey + ": " + labels[queueKey]})
		e.copyLabel(queueKey, labels[queueKey])
	}
	if text := labels[priorityKey]; text != "" {
		e.copyLabel(priorityKey, text)
	}
}

// copyLabel writes a label of the object on its template.
func (e *expansion) copyLabel(key, text string) {
	l, _ := e.locate("labels." + key)
	switch native, isNative := e.native(l, typeOf(l.name)); {
	case !isNative:
		e.write(l, typeOf(l.name), text, Setting{From: "label " + key + ": " + text})
	case native != text:
		e.refuse(field.NewPath("metadata", "labels").Key(key), text, "differs from %s: %s; state it once", l.field(), native)
	}
}

// refuseOtherQueue refuses a queue-name beside another one in Kueue's own label.
func (e *expansion) refuseOtherQueue() {
	s, text := e.usable(e.intent.Stated[parameter.QueueName.Name]), manifest.Text(e.object, "metadata", "labels", queueKey)
	if s != nil && text != "" && s.Text != text {
		e.refuse(s.Path, s.Text, "differs from %s: %s; state it once", field.NewPath("metadata", "labels").Key(queueKey), text)
	}
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
		if (list != "requests" && list != "limits") || (!strings.HasPrefix(entry.From, manifestSource) && entry.From != e.clusterSource(list, resource)) {
			continue
		}
		l, _ := e.locate(name)
		if _, owned := e.owned(l, typeOf(name)); owned {
			e.after.put(name, entry)
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
	same := typeOf(l.name).Same
	old := manifest.Objects(e.Old, "spec", "template", "spec", "containers")
	if !same(q.String(), text) || e.serving >= len(old) {
		return false
	}
	before, ok := manifest.QuantityText(manifest.Map(old[e.serving], "resources", list)[name])
	return ok && same(before, text)
}

// want is a value for a compute parameter and where it comes from.
type want struct {
	text, from string
	// asked is the text before a policy lowered it in an earlier expansion, by that policy.
	asked, by string
	stated    *Statement // nil for a default
	profile   bool       // a default of the profile that the workload names
}

// wanted is the value for a compute parameter: what is stated, else the first default.
// A stated value that contradicts the manifest is refused. As long as its source is the
// same, what an earlier expansion made of it stays.
func (e *expansion) wanted(p *parameter.Parameter, l location, native string, isNative bool) (w want, ok bool) {
	if s := e.usable(e.intent.Stated[p.Name]); s != nil {
		if isNative && !p.Type.Same(s.Text, native) && !p.Type.Same(s.Text, e.original(l, p.Type)) {
			e.refuse(s.Path, s.Text, "differs from %s: %s; state it once", l.field(), native)
			return want{}, false
		}
		w = want{text: s.Text, from: s.From, stated: s}
	} else {
		c := e.firstDefault(p, l, isNative)
		if c == nil {
			return want{}, false
		}
		w = want{text: c.text, from: c.from, profile: c.profile}
	}
	w.asked = w.text
	entry, kept := e.kept(l.name, w.from)
	if w.stated != nil {
		kept = kept && entry.lowers(w.text)
	}
	if kept && p.Type.Check(entry.Value) == nil {
		w.text, w.by = entry.Value, entry.By
	}
	return w, true
}

// firstDefault is the strongest default for a parameter that the workload does not state;
// nil for none.
func (e *expansion) firstDefault(p *parameter.Parameter, l location, isNative bool) *candidate {
	if isNative || e.bad[p.Name] {
		return nil
	}
	if _, owned := e.owned(l, p.Type); !owned {
		if text, ok := e.text(l); ok && e.filledIn(l, text) {
			return nil // it may as well be the manifest's: only a parameter changes it
		}
	}
	for _, c := range e.candidates(p) {
		if p.Type.Check(c.text) == nil {
			return &c
		}
	}
	return nil
}

// setting is a compute parameter that lands in one string, on its way there.
type setting struct {
	want
	found     bool // whether anything is wanted
	parameter *parameter.Parameter
	at        location
	// native is what the manifest itself holds there.
	native   string
	isNative bool
}

// byWorkload tells whether the workload itself, or the profile that it names, asks for it.
func (s setting) byWorkload() bool { return s.found && (s.stated != nil || s.profile) }

// resolve finds the value for a parameter.
func (e *expansion) resolve(p *parameter.Parameter, name string) setting {
	s := setting{parameter: p}
	s.at, _ = e.locate(name)
	s.native, s.isNative = e.native(s.at, p.Type)
	s.want, s.found = e.wanted(p, s.at, s.native, s.isNative)
	return s
}

// store writes a value unless the manifest holds it already.
func (e *expansion) store(s setting) {
	switch {
	case s.found:
		e.values.put(Setting{Name: s.parameter.Name, Value: s.text, From: s.from})
	case s.isNative:
		e.values.put(Setting{Name: s.parameter.Name, Value: s.native, From: manifestSource + s.at.name})
	}
	if s.found && !s.isNative {
		e.write(s.at, s.parameter.Type, s.text, Setting{From: s.from})
	}
}

// scalar settles a parameter that lands in one string. flag is the feature that the
// cluster must have for it, if any.
func (e *expansion) scalar(p *parameter.Parameter, name, flag string) {
	s := e.resolve(p, name)
	if !s.found || s.isNative || e.allowed(p, s.want, flag) {
		e.store(s)
	}
}

// allowed tells whether the cluster has a feature. What the user states and the cluster
// forbids is refused; a default is left out with a warning.
func (e *expansion) allowed(p *parameter.Parameter, w want, flag string) bool {
	if flag == "" || e.Knative.Feature(flag) {
		return true
	}
	if w.stated != nil {
		e.refuse(w.stated.Path, w.stated.Text, "%s", knative.WhoEnables(flag))
	} else {
		e.warn("%s (%s) is left out: %s", p.Name, w.from, knative.WhoEnables(flag))
	}
	return false
}

// demandOf measures an object as it is.
func (e *expansion) demandOf(o manifest.Object) workload.Usage {
	if manifest.Text(o, "kind") == "Deployment" {
		return workload.DeploymentUsage(o, workload.Controlled{}, e.Policies.GPUResources())
	}
	return workload.ServiceUsage(o, "", e.Knative, e.Policies.GPUResources(), e.Revisions)
}

// imagined is a copy of the object with other resources of the serving container, by
// location; empty is none.
func (e *expansion) imagined(resources map[string]string) manifest.Object {
	edit := editor{object: runtime.DeepCopyJSON(e.object)}
	for name, text := range resources {
		l, _ := e.locate(name)
		if text == "" {
			edit.remove(l.path...)
		} else {
			edit.set(text, l.path...)
		}
	}
	return edit.object
}
