package dryrun

import (
	"slices"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// Set sets parameters of a workload by their names, in place of what it states for them:
// Knative's own annotations of its template if it is not labelled.
func Set(o manifest.Object, values map[string]string) { set(o, values, Labelled(o)) }

// set sets them as parameters, or as Knative's own annotations.
func set(o manifest.Object, values map[string]string, asParameters bool) {
	metadata, template := within(o, "metadata"), within(within(within(o, "spec"), "template"), "metadata")
	for name, value := range values {
		i := slices.IndexFunc(parameter.Table, func(p *parameter.Parameter) bool { return p.Name == name })
		if i < 0 {
			continue
		}
		key, native := parameter.Table[i].Key(), knative.AutoscalingPrefix+name
		delete(manifest.Map(metadata, "labels"), key)
		for _, spelling := range knative.Spellings(native) {
			delete(manifest.Map(template, "annotations"), spelling)
		}
		if asParameters {
			within(metadata, "annotations")[key] = value
		} else {
			within(template, "annotations")[native] = value
		}
	}
}

// Labelled tells whether a workload is expanded, so that it is scaled by parameters.
func Labelled(o manifest.Object) bool {
	label := manifest.Texts(o, "metadata", "labels")[parameter.AutoscaleLabel]
	return label != "" && label != "false"
}

// within is the object under a key, made if there is none.
func within(o manifest.Object, key string) manifest.Object {
	inner := manifest.Map(o, key)
	if inner == nil {
		inner = manifest.Object{}
		o[key] = inner
	}
	return inner
}
