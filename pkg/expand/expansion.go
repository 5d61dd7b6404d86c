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

// Input is all that an expansion depends on.
type Input struct {
	// Object is the Knative Service; the expansion changes it in place.
	Object manifest.Object
	// Old is the stored object on UPDATE, nil on CREATE.
	Old manifest.Object
	// Policies that select the workload.
	Policies policy.Selection
	Knative  *knative.Config
	// Revisions that traffic names, as far as they are known.
	Revisions workload.Revisions
}

// Result of an expansion. With Errors or Denied the patch is empty and the object is
// to be refused.
type Result struct {
	Patch    []manifest.PatchOperation
	Warnings []string
	// Errors are the user's; Denied are refusals that a policy makes.
	Errors field.ErrorList
	Denied []policy.Violation
	// Clamped are the bounds to which a value that the manifest states was lowered.
	Clamped []policy.Violation
	// Settings are what the object ends up with, in the order of the table.
	Settings []Setting
}

// Setting is one resolved value and where it comes from.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"`
	// By names the policy that lowered the value, if one did.
	By string `json:"by,omitempty"`
}

// expansion is the state of one call of Service.
type expansion struct {
	Input
	editor
	intent  *Intent
	path    *field.Path // spec.template
	serving int         // index of the serving container, -1 if unclear
	before  Record      // what an earlier expansion set
	// lowerings are those that the object's own record has.
	lowerings map[lowering]bool
	after     entries // what this one sets
	old       *workload.Usage
	result    Result
	class     string
	values    settings
	known     map[parameter.Group][]policy.Layer // what layers found
	bad       map[string]bool                    // parameters whose value is refused already
}

// Service expands, fills in or clamps a Knative Service, as its labels ask.
func Service(in Input) Result {
	e := &expansion{Input: in, editor: editor{object: in.Object}, intent: ReadIntent(in.Object)}
	if in.Old != nil && Unchanged(in.Old, in.Object) {
		e.keepRecord()
		return e.finish()
	}
	e.path, e.bad = field.NewPath("spec", "template"), map[string]bool{}
	if e.intent.FillsResources() {
		e.patch, e.after, e.values = make([]manifest.PatchOperation, 0, 24), make(entries, 0, 20), make(settings, 0, 20)
	}
	if !e.readable() {
		if !e.intent.FillsResources() {
			e.result.Errors = nil // the API server's business
		}
		return e.finish()
	}
	e.serving = manifest.ServingContainer(e.podSpec())
	e.readRecord()
	if in.Old != nil {
		d := workload.ServiceUsage(in.Old, LatestRevision(in.Old), in.Knative, in.Policies.GPUResources(), in.Revisions)
		e.old = &d
	}
	if named := SameNamedRevision(in.Old, in.Object); named != "" {
		e.leaveNamed(named)
		return e.finish()
	}
	if e.intent.FillsResources() && sameIntent(in.Old, in.Object) && e.restored() {
		e.keepRecord()
		return e.finish()
	}
	switch {
	case e.intent.Expands():
		e.expand()
	case e.intent.FillsResources():
		e.fillResources()
	default:
		e.clampPod() // before the peak, which may be higher with fewer GPUs per pod
		e.clampUnlabelled()
		e.retire()
		e.dropRecord()
	}
	e.result.Warnings = append(e.result.Warnings, e.intent.MissingLabels()...)
	return e.finish()
}

// expand makes an autoscaling workload of what asks for it.
func (e *expansion) expand() {
	e.result.Errors = append(e.result.Errors, e.intent.Errors...)
	e.refuseDistribute()
	e.warnAboutName()
	e.compute()
	e.dropStale(true)
	e.clampPod() // before the target of hpa memory, which is a share of the request
	e.autoscale()
	e.dropStale(false)
	e.writeRecord()
	e.refuseInvalid()
}

// fillResources writes the resources that labels ask for, and leaves how the workload scales to its author.
func (e *expansion) fillResources() {
	e.result.Errors = append(e.result.Errors, e.intent.Errors...)
	e.compute()
	e.deadlineAlone(false)
	e.clampPod() // before the peak, which may be higher with fewer GPUs per pod
	e.clampUnlabelled()
	e.dropStale(true)
	e.retire()
	e.writeRecord()
	e.checkBytes()
	e.refuseBrokenProbes()
}

func (e *expansion) finish() Result {
	r := e.result
	if len(r.Errors) > 0 || len(r.Denied) > 0 {
		r.Patch = nil
		return r
	}
	if len(e.patch) > 0 {
		r.Patch = e.patch
	}
	r.Settings = e.values.ordered()
	return r
}

func (e *expansion) podSpec() manifest.Object {
	return manifest.Map(e.object, "spec", "template", "spec")
}

// annotations are those of the template.
func (e *expansion) annotations() manifest.Object {
	return manifest.Map(e.object, "spec", "template", "metadata", "annotations")
}

func (e *expansion) refuse(path *field.Path, value any, format string, args ...any) {
	e.result.Errors = append(e.result.Errors, field.Invalid(path, value, fmt.Sprintf(format, args...)))
}

func (e *expansion) warn(format string, args ...any) {
	e.result.Warnings = append(e.result.Warnings, fmt.Sprintf(format, args...))
}

// clamped tells that a value the manifest states was lowered by a policy; from is where the value was, as records have it.
func (e *expansion) clamped(by, from, format string, args ...any) {
	said := fmt.Sprintf(format+" by %s", append(args, by)...)
	e.result.Warnings = append(e.result.Warnings, said)
	if v, ok := e.Policies.Clamping(by); ok {
		v.Error, v.Repeated = &field.Error{Type: field.ErrorTypeForbidden, Detail: said}, e.lowerings[lowering{from, by}]
		e.result.Clamped = append(e.result.Clamped, v)
	}
}

func (e *expansion) refuseDistribute() {
	if s, ok := e.intent.Stated[parameter.Distribute.Name]; ok {
		e.refuse(s.Path, s.Text, "autoscaling and distributed computing are mutually exclusive")
	}
}

// warnAboutName warns of a name for the Knative Service that a Deployment becomes, on a
// Service that has another one.
func (e *expansion) warnAboutName() {
	if s := e.usable(e.intent.Stated[parameter.ServiceName.Name]); s != nil && s.Text != manifest.Text(e.object, "metadata", "name") {
		e.warn("%s has no effect: it names the Knative Service that a Deployment becomes, and this is one already", s.Parameter.Key())
	}
}

// leaveNamed is for a template whose revision name the user chose and did not change:
// Knative refuses any other change of such a template.
func (e *expansion) leaveNamed(name string) {
	e.keepRecord()
	if !e.intent.FillsResources() {
		return
	}
	e.result.Errors = append(e.result.Errors, e.intent.Errors...)
	e.checkProfiles()
	if e.intent.Expands() {
		e.refuseDistribute()
	}
	if e.restored() {
		e.complete(manifest.At(e.Old, "spec", "template"), []any{"spec", "template"})
	}
	if !sameIntent(e.Old, e.object) {
		e.warn("spec.template.metadata.name is still %s, so changed parameters have no effect; choose a new name to roll them out", name)
	}
}

// keepRecord keeps the stored record in an update without other changes, which may drop
// it, as kubectl replace does, or have another.
func (e *expansion) keepRecord() {
	text := manifest.Text(e.Old, "metadata", "annotations", RecordAnnotation)
	switch {
	case !e.intent.FillsResources() || text == manifest.Text(e.object, "metadata", "annotations", RecordAnnotation):
	case text == "":
		e.remove("metadata", "annotations", RecordAnnotation)
	default:
		e.set(text, "metadata", "annotations", RecordAnnotation)
	}
}

func (e *expansion) writeRecord() {
	if len(e.after) == 0 {
		e.dropRecord()
		return
	}
	text := e.after.text()
	if manifest.Text(e.object, "metadata", "annotations", RecordAnnotation) != text {
		e.set(text, "metadata", "annotations", RecordAnnotation)
	}
}

func (e *expansion) dropRecord() {
	if len(e.after) > 0 {
		e.writeRecord()
		return
	}
	e.remove("metadata", "annotations", RecordAnnotation)
}

// retire keeps in the record what earlier expansions set and still stands there, though no
// label asks for it any more.
func (e *expansion) retire() {
	for _, name := range slices.Sorted(maps.Keys(e.before)) {
		entry := e.before[name]
		if _, ok := e.after.get(name); !ok && holds(e.object, name, entry) {
			entry.State = Inactive
			e.after.put(name, entry)
		}
	}
}

// owned tells whether the value at a location is one that an earlier expansion set.
func (e *expansion) owned(l location, t *parameter.Type) (Entry, bool) {
	entry, ok := e.before[l.name]
	if !ok {
		return Entry{}, false
	}
	text, present := e.text(l)
	return entry, present && t.Same(entry.Value, text)
}

// write puts a value at a location and records it. Text that means the same stays, and
// stays whose it is.
func (e *expansion) write(l location, t *parameter.Type, value any, s Setting) {
	text := scalarText(value)
	if now, ok := e.text(l); !ok || !t.Same(now, text) {
		e.setAt(l, value)
	} else if _, owned := e.owned(l, t); !owned {
		return
	}
	e.after.put(l.name, Entry{Value: text, From: s.From, By: s.By})
}

// dropStale removes what an earlier expansion set and this one does not. With
// onlyCompute the annotations of a Service that is no longer autoscaled stay.
func (e *expansion) dropStale(onlyCompute bool) {
	e.drop(func(name string) bool {
		return !onlyCompute || (annotationOf[name] == nil && name != concurrencyLocation)
	})
}

// drop removes, of some locations, what an earlier expansion set and this one does not.
func (e *expansion) drop(of func(name string) bool) {
	for _, name := range slices.Sorted(maps.Keys(e.before)) {
		entry := e.before[name]
		if _, ok := e.after.get(name); ok || !of(name) {
			continue
		}
		switch name {
		case tolerationsLocation:
			e.dropTolerations(entry)
		case sharedMemoryLocation:
			e.dropSharedMemory(entry)
		case antiAffinityLocation:
			e.dropAntiAffinity()
		default:
			l, _ := e.locate(name)
			// What Knative would fill right back in may as well stay.
			if _, owned := e.owned(l, typeOf(name)); owned && !typeOf(name).Same(entry.Value, e.fill(name)) {
				e.remove(l.path...)
			}
		}
		delete(e.before, name)
	}
}

// fill is what Knative puts at a location where there is nothing; empty for nothing.
func (e *expansion) fill(name string) string {
	if name == concurrencyLocation {
		return strconv.FormatInt(e.Knative.ConcurrencyDefault(), 10)
	}
	list, resource, _ := strings.Cut(name, ".")
	if q := e.Knative.ResourceDefault(list, resource); q != nil {
		return q.String()
	}
	return ""
}
