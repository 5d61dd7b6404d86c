package knative

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// hinted makes refusals of use to somebody who does not know the code behind them:
// it gives each the path that Knative left out, says which flag would lift it, and drops
// what only repeats another or follows from it.
func (c *Config) hinted(errs field.ErrorList, service manifest.Object) field.ErrorList {
	var out field.ErrorList
	lifted := map[string]bool{} // paths with a refusal that a flag would lift
	for _, e := range errs {
		copied := *e
		copied.Field = missingPath(e, service)
		if copied.Field == "spec.template.spec.timeoutSeconds" && strings.HasPrefix(e.Detail, "expected 0 <= ") {
			copied.Detail += " (max-revision-timeout-seconds of " + DefaultsConfig + ")"
		}
		if strings.HasSuffix(e.Detail, " is a reserved container name") {
			copied.Detail += "; give the container another one"
		}
		if which := c.whichTakes(&copied, service); which != "" {
			copied.Detail += "; " + which
		} else if flag := Flag(&copied); flag != "" {
			lifted[copied.Field] = true
			copied.Detail += "; " + c.whoEnables(flag)
			if probe, _, found := strings.Cut(copied.Field, "Probe."); found {
				copied.Field = probe + "Probe" // every field of it is refused
			}
		}
		out = append(out, &copied)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(out), func(e *field.Error) bool {
		generic := strings.HasPrefix(e.Detail, "must not set the field(s)")
		follows := strings.HasPrefix(e.Detail, "expected exactly one, got neither") &&
			slices.ContainsFunc(out, func(o *field.Error) bool { return sameVolume(e.Field, o.Field) && lifted[o.Field] })
		repeats := seen[e.Field+e.Detail] || (generic && within(e.Field, lifted)) || (generic && slices.ContainsFunc(out, func(o *field.Error) bool {
			return o != e && o.Field == e.Field && !strings.HasPrefix(o.Detail, "must not set the field(s)")
		}))
		seen[e.Field+e.Detail] = true
		return follows || repeats
	})
}

// within tells whether a field of some object is refused where the whole object is.
func within(path string, whole map[string]bool) bool {
	for i := strings.LastIndex(path, "."); i > 0; i = strings.LastIndex(path[:i], ".") {
		if whole[path[:i]] {
			return true
		}
	}
	return false
}

func sameVolume(a, b string) bool {
	x, _, foundA := strings.Cut(a, "].")
	y, _, foundB := strings.Cut(b, "].")
	return foundA && foundB && x == y && strings.HasPrefix(x, "spec.template.spec.volumes[")
}

// missingPath is the path of an error, found by its words where Knative gives none.
func missingPath(e *field.Error, service manifest.Object) string {
	pod := field.NewPath("spec", "template", "spec")
	if e.Field != "spec" {
		return e.Field
	}
	_, about, _ := strings.Cut(e.Detail, "but found ")
	switch {
	case strings.HasPrefix(e.Detail, "pod spec support for init-containers"):
		return pod.Child("initContainers").String()
	case strings.HasPrefix(e.Detail, "multi-container is off"):
		return pod.Child("containers").String()
	case strings.HasPrefix(about, "persistent volume claim "):
		name, _, _ := strings.Cut(strings.TrimPrefix(about, "persistent volume claim "), " ")
		return volumePath(service, "persistentVolumeClaim", func(v manifest.Object) bool {
			return manifest.Text(v, "persistentVolumeClaim", "claimName") == name
		})
	case strings.HasPrefix(about, "EmptyDir volume "):
		return volumePath(service, "emptyDir", func(v manifest.Object) bool {
			return manifest.Text(v, "name") == strings.TrimPrefix(about, "EmptyDir volume ")
		})
	}
	return e.Field
}

func volumePath(service manifest.Object, source string, is func(manifest.Object) bool) string {
	path := field.NewPath("spec", "template", "spec", "volumes")
	if i := slices.IndexFunc(manifest.Objects(service, "spec", "template", "spec", "volumes"), is); i >= 0 {
		path = path.Index(i).Child(source)
	}
	return path.String()
}
