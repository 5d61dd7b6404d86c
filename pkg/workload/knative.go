package workload

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// ConfigurationUsage measures a Knative Configuration: its template. revisions holds what
// is known of RevisionsToRead.
func ConfigurationUsage(configuration manifest.Object, kn *knative.Config, gpus GPUResources, revisions Revisions) Usage {
	template := manifest.Object{"spec": manifest.Object{"template": manifest.At(configuration, "spec", "template")}}
	return ServiceUsage(template, "", kn, gpus, revisions)
}

// RevisionUsage measures a Knative Revision, whose scale stands on its own metadata and
// whose spec is that of its pods.
func RevisionUsage(revision manifest.Object, kn *knative.Config, gpus GPUResources) Usage {
	d := podUsage(manifest.Map(revision, "metadata", "annotations"), manifest.Map(revision, "spec"),
		field.NewPath("metadata", "annotations"), field.NewPath("spec"), kn, gpus)
	d.claim(d.part(manifest.Text(revision, "metadata", "name")))
	return d
}

func revisionPart(revision manifest.Object, name string, kn *knative.Config, gpus GPUResources) Part {
	d := RevisionUsage(revision, kn, gpus)
	return d.part(name)
}

// targetPath is where a PodAutoscaler names what it scales.
var targetPath = field.NewPath("spec", "scaleTargetRef")

// AutoscalerUsage measures a Knative PodAutoscaler: as many pods as it may start of what
// it scales. target is the Deployment that it scales, nil for one that is not known: its
// GPUs then cannot be counted, and a bound on GPUs refuses it.
func AutoscalerUsage(autoscaler, target manifest.Object, kn *knative.Config, gpus GPUResources) Usage {
	podSpec := manifest.Map(target, "spec", "template", "spec")
	d := podUsage(manifest.Map(autoscaler, "metadata", "annotations"), podSpec, field.NewPath("metadata", "annotations"), targetPath, kn, gpus)
	d.CPUs, d.Memory = Number(0), Number(0) // asked for by the Deployment itself
	inTarget := func(errs field.ErrorList) {
		for i, e := range errs {
			placed := *e
			placed.Field, placed.Detail = targetPath.String(), "the Deployment's pods: "+strings.TrimPrefix(e.Field, targetPath.String()+".")+" "+e.Detail
			errs[i] = &placed
		}
	}
	inTarget(d.GPUs.Malformed)
	inTarget(d.GPUs.Unknown)
	if target == nil {
		d.GPUs.requests = []gpuRequest{{gpuPlace{list: targetPath.String()}, manifest.At(autoscaler, "spec", "scaleTargetRef")}}
		d.GPUs.Unknown = append(d.GPUs.Unknown, field.Forbidden(targetPath,
			"names no Deployment that there is, and no Revision is seen to own this, so the GPUs of its pods cannot be counted"))
	}
	d.claim(d.part(""))
	return d
}

// AtZero tells whether a Revision was seen without pods, and that Knative wants none.
func AtZero(revision manifest.Object) bool {
	for _, condition := range manifest.Objects(revision, "status", "conditions") {
		if manifest.Text(condition, "type") == "Active" && manifest.Text(condition, "status") == "False" {
			actual, stated := manifest.Whole(revision, "status", "actualReplicas")
			return !stated || actual == 0
		}
	}
	return false
}

// RoutedRevisions are all revisions that the spec or status of a Service or a Route sends
// traffic to, the latest one included, which may be another than was made last.
func RoutedRevisions(o manifest.Object) []string {
	names := map[string]bool{}
	for _, part := range []string{"spec", "status"} {
		for _, t := range manifest.Objects(o, part, "traffic") {
			if name := manifest.Text(t, "revisionName"); name != "" {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// ScaledDeployment is the name of the Deployment that a PodAutoscaler scales; empty where
// it scales something else.
func ScaledDeployment(autoscaler manifest.Object) string {
	target := manifest.Map(autoscaler, "spec", "scaleTargetRef")
	if !States(target, DeploymentKind) {
		return ""
	}
	return manifest.Text(target, "name")
}

// NamedConfigurations are the Configurations whose latest revision a Route's spec names.
func NamedConfigurations(route manifest.Object) []string {
	names := map[string]bool{}
	for _, t := range manifest.Objects(route, "spec", "traffic") {
		if name := manifest.Text(t, "configurationName"); name != "" {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// RouteUsage measures a Knative Route: the revisions that its traffic names, tags
// included, and the templates of the Configurations that it names. Only its claim is
// filled in, since a Route has no pods of its own. A revision that is not known counts
// like the largest part that is.
func RouteUsage(route manifest.Object, configurations map[string]manifest.Object, revisions Revisions, kn *knative.Config, gpus GPUResources) Usage {
	traffic := field.NewPath("spec", "traffic")
	d := Usage{Paths: map[string]*field.Path{PeakKey: traffic}, pod: traffic}
	latest := map[string]manifest.Object{}
	var unknown []string
	for _, name := range NamedConfigurations(route) {
		c, ok := configurations[name]
		if !ok {
			unknown = append(unknown, "")
			continue
		}
		latest[manifest.Text(c, "status", "latestCreatedRevisionName")] = manifest.Map(c, "spec", "template")
		for _, p := range ConfigurationUsage(c, kn, gpus, revisions).Parts {
			d.claim(p)
		}
	}
	for _, name := range NamedRevisions(route) {
		r, ok := revisions[name]
		template, isLatest := latest[name]
		switch {
		case isLatest && ok && made(r, template):
		case ok:
			d.claim(revisionPart(r, name, kn, gpus))
		default:
			unknown = append(unknown, name)
		}
	}
	var largest Part
	for _, p := range d.Parts {
		largest = largest.or(p)
	}
	for _, name := range unknown {
		d.UnknownRevisions++
		largest.Revision = name
		d.claim(largest)
		if largest.GPUs > 0 && name != "" {
			d.Warnings = append(d.Warnings, "traffic names revision "+name+", which is not known here; it is counted like the largest one that is")
		}
	}
	return d
}

// Within tells whether a demand asks for no more than another, in any respect that a
// bound can speak of. Of a Deployment of fixed size that is the GPUs and the pods: Knative
// adds a container of its own to them.
func (d *Usage) Within(other *Usage) bool {
	uncounted := len(d.GPUs.Malformed)+len(d.GPUs.Unknown)+len(other.GPUs.Malformed)+len(other.GPUs.Unknown) > 0
	switch {
	case !d.WithinGPUs(other), uncounted && !d.GPUs.SameRequests(other.GPUs):
		return false
	case d.Fixed:
		return true
	}
	return d.MinScale <= other.MinScale && d.Class == other.Class && d.CPUs.Cmp(other.CPUs) <= 0 && d.Memory.Cmp(other.Memory) <= 0 &&
		d.Retention <= other.Retention && d.ScaleDownDelay <= other.ScaleDownDelay && d.ProgressDeadline <= other.ProgressDeadline
}

// WithinGPUs tells whether a demand has no more pods than another, no more GPUs in each, and
// none of a type that the other has not: by what bounds go by, and by what budgets do.
func (d *Usage) WithinGPUs(other *Usage) bool {
	return d.GPUs.Cmp(other.GPUs) <= 0 && d.PeakPods <= other.PeakPods && (d.GPUs.PerPod == 0 ||
		((other.GPUType == "" || d.GPUType == other.GPUType) && d.perPod().typesWithin(other.perPod())))
}

// SameType tells whether budgets take the GPUs of two demands for the same type.
func (d *Usage) SameType(other *Usage) bool {
	return d.perPod().typesWithin(other.perPod()) && other.perPod().typesWithin(d.perPod())
}

// RaisePeak makes the demand of a Deployment one of at least so many pods.
func (d *Usage) RaisePeak(pods int64) {
	if pods > d.PeakPods {
		d.PeakPods = pods
		had, claim := d.Parts, d.Claim
		d.Parts, d.Claim = nil, 0
		if d.claim(d.part("")); d.Claim < claim {
			d.Parts, d.Claim = had, claim // what else it controls asks for more
		}
	}
}

// OfRevision is what the PodAutoscaler of a Revision asks for: the pods of the Revision,
// on the PodAutoscaler's own terms.
func (d Usage) OfRevision(revision *Usage) Usage {
	d.GPUs, d.GPUType, d.product, d.CPUs, d.Memory, d.Parts, d.Claim = revision.GPUs, revision.GPUType, revision.product, revision.CPUs, revision.Memory, nil, 0
	d.claim(d.part(""))
	return d
}
