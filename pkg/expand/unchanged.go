package expand

import (
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// Unchanged tells whether an update leaves the template and everything that is read
// from the object's metadata as they are. Such an update is never expanded again, so
// that no change of a policy or default makes a new revision.
func Unchanged(old, now manifest.Object) bool {
	return SameTemplate(old, now) && sameIntent(old, now)
}

// sameIntent compares the labels and annotations that ReadIntent reads.
func sameIntent(old, now manifest.Object) bool {
	for _, kind := range []string{"labels", "annotations"} {
		a, b := manifest.Map(old, "metadata", kind), manifest.Map(now, "metadata", kind)
		if !covers(a, b) || !covers(b, a) {
			return false
		}
	}
	return true
}

func covers(a, b manifest.Object) bool {
	for k, v := range a {
		if (parameter.IsKey(k) || k == parameter.AutoscaleLabel || k == parameter.ComputeLabel || k == queueKey || k == priorityKey) && !manifest.Equal(v, b[k]) {
			return false
		}
	}
	return true
}

// SameNamedRevision is the revision name that the user chose, if the update keeps it.
func SameNamedRevision(old, now manifest.Object) string {
	name := manifest.Text(now, "spec", "template", "metadata", "name")
	if old == nil || name != manifest.Text(old, "spec", "template", "metadata", "name") {
		return ""
	}
	return name
}

// LatestRevision is the revision that the stored template made, empty if Knative has
// not said so yet.
func LatestRevision(o manifest.Object) string {
	generation, ok := manifest.Whole(o, "metadata", "generation")
	observed, _ := manifest.Whole(o, "status", "observedGeneration")
	if !ok || generation != observed {
		return ""
	}
	return manifest.Text(o, "status", "latestCreatedRevisionName")
}

// SameTemplate tells whether an update leaves the template as it is.
func SameTemplate(old, now manifest.Object) bool {
	return manifest.Equal(manifest.At(old, "spec", "template"), manifest.At(now, "spec", "template"))
}
