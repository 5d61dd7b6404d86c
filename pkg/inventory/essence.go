package inventory

import (
	"github.com/kubetorch/webhook/pkg/controller/handover"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// copies are the annotations that hold the object once more.
var copies = []string{"kubectl.kubernetes.io/last-applied-configuration", handover.AppliedAnnotation}

// essence drops, in place, what no count needs: most of an object's size, and what may be
// secret.
func essence(o manifest.Object) manifest.Object {
	delete(manifest.Map(o, "metadata"), "managedFields")
	for _, key := range copies {
		delete(manifest.Map(o, "metadata", "annotations"), key)
	}
	// A pod template, or a Revision's own spec.
	for _, podSpec := range []manifest.Object{manifest.Map(o, "spec", "template", "spec"), manifest.Map(o, "spec")} {
		for _, list := range []string{"containers", "initContainers"} {
			for _, container := range manifest.Objects(podSpec, list) {
				for _, variable := range manifest.Objects(container, "env") {
					// A Deployment that sets PORT may be one that Knative would not take.
					if variable["name"] != "PORT" {
						delete(variable, "value")
					}
				}
			}
		}
	}
	return o
}

// labelled keeps the name and the labels.
func labelled(o manifest.Object) manifest.Object {
	return manifest.Object{"metadata": manifest.Object{"name": manifest.At(o, "metadata", "name"), "labels": manifest.At(o, "metadata", "labels")}}
}
