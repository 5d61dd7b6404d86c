package mutate

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
		if (parameter.IsKey(k) || k == parameter.AutoscaleLabel || k == parameter.ComputeLabel) && !equal(v, b[k]) {
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

// equal compares decoded JSON; null, an empty object and an empty list are as good as
// absent, since the API server drops and adds them.
func equal(a, b any) bool {
	if empty(a) && empty(b) {
		return true
	}
	switch a := a.(type) {
	case manifest.Object:
		b, ok := b.(manifest.Object)
		if !ok {
			return empty(a) && b == nil
		}
		for k, v := range a {
			if !equal(v, b[k]) {
				return false
			}
		}
		for k, v := range b {
			if _, ok := a[k]; !ok && !empty(v) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equal(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	return a == b
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case manifest.Object:
		for _, x := range v {
			if !empty(x) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	}
	return false
}

// SameTemplate tells whether an update leaves the template as it is.
func SameTemplate(old, now manifest.Object) bool {
	return equal(manifest.At(old, "spec", "template"), manifest.At(now, "spec", "template"))
}
