package convert

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// RevisionOwner is the Knative Revision that a Deployment says it was made for: Knative
// gives its Deployments all labels of the template, so one of them may look like a
// workload. Anybody can write an owner reference; where a cluster is at hand, the Revision
// has to be looked up.
func RevisionOwner(deployment manifest.Object) (name, uid string, ok bool) {
	owner := manifest.ControllerOf(deployment)
	if owner.GroupKind() != workload.RevisionKind {
		return "", "", false
	}
	return owner.Name, owner.UID, true
}

// NameTaken refuses a Deployment whose Knative Service cannot have its name, since
// something else has it. Knative gives its Route a core Service of that name, and never
// takes one over that is not its own.
func (n *Notes) NameTaken(name, by string) *field.Error {
	return &field.Error{Type: field.ErrorTypeInvalid, Field: n.Path(metadataPath.Child("name").String()), BadValue: name,
		Detail: fmt.Sprintf("is the name of %s, so the Knative Service would never get ready; rename one of them, or set %s to another name", by, parameter.ServiceName.Key())}
}
