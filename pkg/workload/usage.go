package workload

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// Usage is what an object asks of the cluster, in the terms that bounds speak of.
type Usage struct {
	// Fixed is whether the number of pods never changes by itself: bounds on how an
	// autoscaler behaves do not apply.
	Fixed bool
	// MinScale, and PeakPods: the largest of max-, initial- and min-scale.
	MinScale, PeakPods int64
	// GPUs of one pod.
	GPUs GPUCount
	// Claim is GPUs per pod times peak pods, summed over the latest template and
	// every other revision that traffic names: the sum of Parts.
	Claim int64
	// Parts are what the claim is made of; those without GPUs are left out.
	Parts []Part
	// Overlap is what pods hold beside the claim while a Deployment's template is rolled out.
	Overlap []Part
	// Merged is the revision that traffic names and that the latest template made: it has no
	// part of its own. Empty if there is none.
	Merged string
	// OtherClaims is the part of Claim of the other revisions that are known;
	// UnknownRevisions are those that are not, each counted like the latest template.
	OtherClaims      int64
	UnknownRevisions int64
	// CPUs and Memory of one pod: the larger of limits and requests.
	CPUs, Memory resource.Quantity
	// What the autoscaler and the deployment of the revision will use.
	Retention, ScaleDownDelay, ProgressDeadline time.Duration
	Class                                       string
	// GPUType that the pod is pinned to; empty is any.
	GPUType string
	product string // the type that budgets go by
	// types are those of an object with pods of several kinds; empty if GPUType is all.
	types []string
	// asks words a claim that is no product of one pod's GPUs; empty if it is.
	asks string
	// Paths name where a bound's value stands, and pod where the pod is described: nil
	// is spec.template.spec.
	Paths map[string]*field.Path
	pod   *field.Path
	// Warnings tell what had to be assumed.
	Warnings []string
	// Unreadable is a scale that Knative or we cannot read, with its key; it counts as
	// unbounded.
	Unreadable string
}

// Part is a share of a claim.
type Part struct {
	// Revision that claims it; empty for the latest template of a Service or a
	// Configuration, and for the pods of a Deployment.
	Revision string
	// GPUs per pod times peak pods, rounded up.
	GPUs int64
	// Type of the GPUs; empty is any, or several, of which ofType has how many may be of each.
	Type   string
	ofType byType
	// less is what rounding added to GPUs; nil if nothing.
	less *big.Rat
}

// claim adds a part.
func (d *Usage) claim(p Part) {
	if p.GPUs > 0 {
		d.Parts = append(d.Parts, p)
		d.Claim = Sum(d.Parts)
	}
}

// part is what one template or Deployment claims.
func (d *Usage) part(revision string) Part {
	p := d.perPod().times(d.PeakPods)
	p.Revision = revision
	return p
}

// Outgrows tells whether a demand that is unbounded, as an old one is, asks for more pods or
// more GPUs in each, or has more such parts: the claims alone do not show it.
func (d *Usage) Outgrows(old *Usage) bool {
	return d.Claim == Unbounded && old.Claim == Unbounded &&
		(d.GPUs.Cmp(old.GPUs) > 0 || d.PeakPods > old.PeakPods || d.unboundedParts() > old.unboundedParts())
}

// Asks words the claim: "40 GPUs (4 x 10 pods)".
func (d *Usage) Asks() string {
	s := CountText(d.Claim, "GPU")
	if d.asks != "" {
		return s + " (" + d.asks + ")"
	}
	if d.PeakPods == 0 && d.Claim > 0 && !d.Fixed {
		return s + " over all that it names"
	}
	detail := fmt.Sprintf("%s x %s", d.GPUs.Text(), CountText(d.PeakPods, "pod"))
	if own, _ := d.GPUs.Times(d.PeakPods); d.Claim > own {
		others := d.Claim - own
		of := "other revisions in traffic"
		if d.Fixed {
			of = "ReplicaSets and pods that it has"
		}
		detail += fmt.Sprintf(", and %s of %s", CountText(others, "GPU"), of)
	}
	return s + " (" + detail + ")"
}

// Groups words a claim of pods of several kinds, "1 x 1 pod + 8 x 4 pods"; empty for pods of one.
func (d *Usage) Groups() string { return d.asks }

// GPUTypes are the types that pods with GPUs are pinned to; empty is any.
func (d *Usage) GPUTypes() []string {
	if len(d.types) > 0 {
		return d.types
	}
	return []string{d.GPUType}
}

// PeakPath is where the number of pods stands.
func (d *Usage) PeakPath() *field.Path { return d.Paths[PeakKey] }

// PodPath is where the pod stands.
func (d *Usage) PodPath() *field.Path {
	if d.pod == nil {
		return field.NewPath("spec", "template", "spec")
	}
	return d.pod
}

// PeakKey is the key in Paths of the value that the peak pods come from.
const PeakKey = "peak"

// unlimited as a duration stands for a value that Knative will refuse.
const unlimited = time.Duration(Unbounded)

// Revisions are the revisions of one namespace that are known, by name.
type Revisions map[string]manifest.Object

// ServiceUsage measures a Knative Service. latest is the revision that status says the
// present template made, empty if it makes a new one; revisions holds what is known of
// those that traffic names. elsewhere are further revisions of the Service that something
// else names, such as a Route that is not the Service's own.
func ServiceUsage(service manifest.Object, latest string, kn *knative.Config, gpus GPUResources, revisions Revisions, elsewhere ...string) Usage {
	template := manifest.Map(service, "spec", "template")
	d := podUsage(manifest.Map(template, "metadata", "annotations"), manifest.Map(template, "spec"),
		annotationsPath, podPath, kn, gpus)
	own := d.part("")
	names := NamedRevisions(service)
	if len(elsewhere) > 0 {
		names = slices.Compact(slices.Sorted(slices.Values(slices.Concat(names, elsewhere))))
	}
	// Knative takes a template with the name of a revision that exists if their specs are the same,
	// and then leaves the revision, with its own scale, as it is. If they are not, both count where
	// traffic names the revision.
	chosen := manifest.Text(template, "metadata", "name")
	if named, exists := revisions[chosen]; exists {
		_, routed := slices.BinarySearch(names, chosen)
		if !routed || manifest.Equal(named["spec"], template["spec"]) {
			own = own.or(revisionPart(named, "", kn, gpus))
		}
	}
	d.claim(own)
	for _, name := range names {
		r, ok := revisions[name]
		switch {
		case d.Merged == "" && isMade(name, latest, r, template):
			d.Merged = name
		case ok:
			other := revisionPart(r, name, kn, gpus)
			d.OtherClaims = SaturatingAdd(d.OtherClaims, other.GPUs)
			d.claim(other)
		case name == chosen: // it is about to be made of the template
		default:
			d.UnknownRevisions++
			own := own
			own.Revision = name
			d.claim(own)
			if own.GPUs > 0 {
				d.Warnings = append(d.Warnings, "traffic names revision "+name+", which is not known here; it is counted like the latest template")
			}
		}
	}
	return d
}

// isMade tells whether a revision is the one that a template makes: the one of the name that it
// chooses, with the same spec, or, if it chooses none, the latest one that is equal.
func isMade(name, latest string, revision, template manifest.Object) bool {
	switch chosen := manifest.Text(template, "metadata", "name"); {
	case revision == nil:
		return false
	case chosen != "":
		return name == chosen && manifest.Equal(revision["spec"], template["spec"])
	}
	return name == latest && made(revision, template)
}

// made tells whether a revision is what a template made: Knative may still call an
// earlier revision the latest for a moment after the template changed.
func made(revision, template manifest.Object) bool {
	scaling := func(o manifest.Object) map[string]string {
		annotations := manifest.Texts(o, "metadata", "annotations")
		maps.DeleteFunc(annotations, func(k, _ string) bool { _, known := knative.Canonical(k); return !known })
		return annotations
	}
	return manifest.Equal(revision["spec"], template["spec"]) && maps.Equal(scaling(revision), scaling(template))
}

// RevisionsToRead are the revisions that a Service's claim depends on: those that traffic
// names, and one that exists already under the name that the user chose for the template.
func RevisionsToRead(service manifest.Object) []string {
	names := NamedRevisions(service)
	if chosen := manifest.Text(service, "spec", "template", "metadata", "name"); chosen != "" && !slices.Contains(names, chosen) {
		names = append(names, chosen)
	}
	return names
}

// NamedRevisions are the revisions that spec.traffic and status.traffic name beside
// the latest one, tags included, without repetition.
func NamedRevisions(service manifest.Object) []string {
	names := map[string]bool{}
	for _, part := range []string{"spec", "status"} {
		for _, t := range manifest.Objects(service, part, "traffic") {
			// In spec a name counts whatever stands beside it: so Knative's controller
			// takes it, and its webhook, which would refuse both, can be kept out.
			if latest, _ := t["latestRevision"].(bool); latest && part == "status" {
				continue
			}
			if name := manifest.Text(t, "revisionName"); name != "" {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

var (
	annotationsPath = field.NewPath("spec", "template", "metadata", "annotations")
	podPath         = field.NewPath("spec", "template", "spec")
	// settingPaths are the paths of annotations of a template by their keys.
	settingPaths = func() map[string]*field.Path {
		m := map[string]*field.Path{}
		for _, canonical := range []string{knative.ClassKey, knative.MinScaleKey, knative.MaxScaleKey, knative.InitialScaleKey,
			knative.RetentionKey, knative.ScaleDownDelayKey, knative.ProgressDeadlineKey} {
			for _, key := range knative.Spellings(canonical) {
				m[key] = annotationsPath.Key(key)
			}
		}
		return m
	}()
)

// settingPath is the path of an annotation below a path.
func settingPath(at *field.Path, key string) *field.Path {
	if known := settingPaths[key]; known != nil && at == annotationsPath {
		return known
	}
	return at.Key(key)
}

func podUsage(annotations, podSpec manifest.Object, at, specPath *field.Path, kn *knative.Config, gpus GPUResources) Usage {
	d := Usage{Paths: map[string]*field.Path{knative.ClassKey: settingPath(at, knative.ClassKey)}, pod: specPath, Class: kn.Class()}
	if _, class, ok := knative.Get(annotations, knative.ClassKey); ok {
		d.Class = class
	}
	scale := func(key string, absent int64) int64 {
		k, text, ok := knative.Get(annotations, key)
		if !ok {
			k = key
		}
		d.Paths[key] = settingPath(at, k)
		n := absent
		if ok {
			var err error
			if n, err = parameter.ParseScale(text); err != nil {
				n, d.Unreadable = Unbounded, k+": "+text
			}
		}
		if key == knative.MaxScaleKey && n == 0 {
			n = Unbounded
		}
		if d.Paths[PeakKey] == nil || n > d.PeakPods {
			d.PeakPods, d.Paths[PeakKey] = n, d.Paths[key]
		}
		return n
	}
	scale(knative.MaxScaleKey, kn.MaxScale())
	d.MinScale = scale(knative.MinScaleKey, kn.MinScale())
	scale(knative.InitialScaleKey, kn.InitialScale())

	duration := func(key string, absent time.Duration) time.Duration {
		k, text, ok := knative.Get(annotations, key)
		if !ok {
			d.Paths[key] = settingPath(at, key)
			return absent
		}
		d.Paths[key] = settingPath(at, k)
		v, err := time.ParseDuration(text)
		if err != nil {
			return unlimited
		}
		return v
	}
	d.Retention = duration(knative.RetentionKey, kn.Retention())
	d.ScaleDownDelay = duration(knative.ScaleDownDelayKey, kn.ScaleDownDelay())
	d.ProgressDeadline = duration(knative.ProgressDeadlineKey, kn.ProgressDeadline())

	gpus.claims = nil // Knative's pods cannot have any
	d.GPUs = CountGPUs(podSpec, specPath, gpus)
	d.pinnedBy(podSpec)
	d.CPUs = podQuantity(podSpec, annotations, "cpu", kn)
	d.Memory = podQuantity(podSpec, annotations, "memory", kn)
	return d
}

// podQuantity sums one resource over a pod the way CountGPUs does, with what Knative
// fills in and with the queue proxy as far as annotations set it.
func podQuantity(podSpec, annotations manifest.Object, name string, kn *knative.Config) resource.Quantity {
	var running, restartable, peak resource.Quantity
	of := func(o manifest.Object, defaults bool) resource.Quantity {
		var largest resource.Quantity
		for _, list := range []string{"limits", "requests"} {
			var q resource.Quantity
			v := manifest.Map(o, "resources", list)[name]
			switch d := kn.ResourceDefault(list, name); {
			case v != nil:
				var err error
				if q, err = manifest.Quantity(v); err != nil {
					q = Number(Unbounded) // cannot be read, so it is beyond any bound
				}
			case d != nil && defaults:
				q = *d
			default:
				continue
			}
			if q.Cmp(largest) > 0 {
				largest = q
			}
		}
		return largest
	}
	for _, c := range manifest.Objects(podSpec, "initContainers") {
		q := of(c, false)
		if manifest.Text(c, "restartPolicy") == "Always" {
			restartable.Add(q)
			continue
		}
		q.Add(restartable)
		if q.Cmp(peak) > 0 {
			peak = q
		}
	}
	running.Add(restartable)
	for _, c := range manifest.Objects(podSpec, "containers") {
		running.Add(of(c, true))
	}
	var sidecar resource.Quantity
	for _, suffix := range []string{"-resource-limit", "-resource-request"} {
		text, ok := annotations[knative.SidecarPrefix+name+suffix].(string)
		if !ok {
			continue
		}
		if q, err := manifest.ParseQuantity(text); err == nil && q.Cmp(sidecar) > 0 {
			sidecar = q
		}
	}
	running.Add(sidecar)
	for _, q := range []resource.Quantity{running, of(podSpec, false)} {
		if q.Cmp(peak) > 0 {
			peak = q
		}
	}
	return peak
}

// unboundedParts is how many parts of a claim have no end.
func (d *Usage) unboundedParts() int {
	n := 0
	for _, p := range d.Parts {
		if p.GPUs == Unbounded {
			n++
		}
	}
	return n
}
