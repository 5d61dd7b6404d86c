package knative

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// refusedLater is what releases later than the compiled-in one refuse, by their webhook or by
// their CRD.
func (c *Config) refusedLater(service manifest.Object) (errs field.ErrorList) {
	pod := manifest.Map(service, "spec", "template", "spec")
	path := field.NewPath("spec", "template", "spec")
	serving := manifest.ServingContainer(pod)
	for _, list := range []string{"containers", "initContainers"} {
		for i, container := range manifest.Objects(pod, list) {
			at := path.Child(list).Index(i)
			sidecar := list == "containers" && i != serving && len(manifest.List(pod, "containers")) > 1
			if sidecar && container["startupProbe"] != nil && c.Since(startupValidation) && !c.Enabled(FlagMultiContainerProbing) {
				errs = append(errs, notSet(at.Child("startupProbe")))
			}
			errs = append(errs, c.refusedMounts(container, at)...)
			if list == "containers" && c.Since(uniqueNames) { // the schema of init containers says nothing of their env
				errs = append(errs, twice(container, "env", at)...)
			}
		}
	}
	if c.Since(uniqueNames) {
		errs = append(errs, twice(pod, "imagePullSecrets", path)...)
	}
	return append(errs, c.refusedVolumes(pod, path)...)
}

// refusedMounts are mounts with a propagation that Knative takes from nobody.
func (c *Config) refusedMounts(container manifest.Object, at *field.Path) (errs field.ErrorList) {
	if !c.allows(newerFields["mountPropagation"]) {
		return nil
	}
	for i, m := range manifest.Objects(container, "volumeMounts") {
		if how, ok := m["mountPropagation"].(string); ok && how != "None" && how != "HostToContainer" {
			errs = append(errs, wrong(at.Child("volumeMounts").Index(i).Child("mountPropagation"), "mount propagation should be set to None or HostToContainer"))
		}
	}
	return errs
}

// oldSources are the kinds of volumes that the compiled-in Knative takes.
var oldSources = []string{"secret", "configMap", "projected", "emptyDir", "persistentVolumeClaim"}

// newerSources are those of a volume that later releases have, and the cluster allows.
func (c *Config) newerSources(volume manifest.Object) (names []string) {
	for _, source := range []string{"hostPath", "csi", "ephemeral", "image"} {
		if volume[source] != nil && c.allows(newerFields[source]) {
			names = append(names, source)
		}
	}
	return names
}

// refusedVolumes are volumes of two kinds, where the compiled-in Knative sees one, and images
// that are none.
func (c *Config) refusedVolumes(pod manifest.Object, path *field.Path) (errs field.ErrorList) {
	for i, volume := range manifest.Objects(pod, "volumes") {
		at := path.Child("volumes").Index(i)
		old := slices.DeleteFunc(slices.Clone(oldSources), func(name string) bool { return volume[name] == nil })
		sources := slices.Concat(old, c.newerSources(volume))
		if len(old) < 2 && len(sources) > 1 { // of two older ones the compiled-in Knative speaks
			for _, name := range sources {
				errs = append(errs, wrong(at.Child(name), "expected exactly one, got both"))
			}
		}
		if slices.Contains(sources, "image") {
			errs = append(errs, refusedImage(manifest.Map(volume, "image"), at.Child("image"))...)
		}
	}
	return errs
}

func refusedImage(image manifest.Object, at *field.Path) (errs field.ErrorList) {
	if manifest.Text(image, "reference") == "" {
		errs = append(errs, wrong(at.Child("reference"), "missing field(s)"))
	}
	policies := []string{"IfNotPresent", "Always", "Never"}
	if how := manifest.Text(image, "pullPolicy"); how != "" && !slices.Contains(policies, how) {
		errs = append(errs, wrong(at.Child("pullPolicy"), fmt.Sprintf("invalid value: %s; allowed: %s", how, strings.Join(policies, ", "))))
	}
	return errs
}

// twice are entries of a list with the name of one before them.
func twice(o manifest.Object, list string, at *field.Path) (errs field.ErrorList) {
	seen := map[string]bool{}
	for i, entry := range manifest.Objects(o, list) {
		name := manifest.Text(entry, "name")
		if seen[name] {
			errs = append(errs, wrong(at.Child(list).Index(i).Child("name"), fmt.Sprintf("%q stands there twice, and Knative 1.%d and later take it once; keep one", name, uniqueNames)))
		}
		seen[name] = true
	}
	return errs
}

func notSet(path *field.Path) *field.Error { return wrong(path, "must not set the field(s)") }

func wrong(path *field.Path, detail string) *field.Error {
	return &field.Error{Type: field.ErrorTypeInvalid, Field: path.String(), BadValue: field.OmitValueType{}, Detail: detail}
}
