package cluster

import (
	"encoding/base64"
	"maps"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/jsonscan"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// Item is an object that was listed: what counts and audits look at, held in little room.
type Item struct {
	Namespace, Name, UID string
	// Controller is the UID of the object's controller.
	Controller string
	// controller is its kind.
	controller schema.GroupKind
	generation int64

	kept *kept
	// head is the text of all but the spec, and whole that of the object, if it may be
	// converted.
	head, whole string
	// digest is that of all that stood in the pod template.
	digest jsonscan.Digest
	// spec has the spec, and is shared by objects that have the same. Without a head it is
	// the object.
	spec manifest.Object
}

// digestKey stands for what was left out of a pod template, so that two are equal that were.
const digestKey = "kubetorch.com/digest"

// Of is an item of an object as it is.
func Of(o manifest.Object) Item {
	i := Item{spec: o}
	i.describe(o)
	return i
}

// AllOf are items of objects as they are.
func AllOf(objects []manifest.Object) []Item {
	items := make([]Item, len(objects))
	for n, o := range objects {
		items[n] = Of(o)
	}
	return items
}

func (i *Item) describe(o manifest.Object) {
	i.Namespace, i.Name, i.UID = manifest.Text(o, "metadata", "namespace"), manifest.Text(o, "metadata", "name"), manifest.Text(o, "metadata", "uid")
	owner := manifest.ControllerOf(o)
	i.Controller = owner.UID
	i.controller = owner.GroupKind()
	i.generation, _ = manifest.Whole(o, "metadata", "generation")
}

// Object is the object without what nobody looks at. Its parts may be shared: whoever
// changes it clones it first.
func (i *Item) Object() manifest.Object {
	if i.head == "" {
		return i.spec
	}
	o, _ := jsonscan.ObjectIn(i.head) // it was read before
	maps.Copy(o, i.spec)
	if i.digest != (jsonscan.Digest{}) && manifest.Map(o, i.kept.digest...) != nil {
		at := o
		for _, key := range i.kept.digest {
			own := maps.Clone(manifest.Map(at, key)) // not of all that share it
			at[key], at = own, own
		}
		at[digestKey] = base64.RawStdEncoding.EncodeToString(i.digest[:])
	}
	if o["apiVersion"] == nil && o["kind"] == nil {
		o["apiVersion"], o["kind"] = i.kept.apiVersion, i.kept.kind
	}
	return o
}

// Whole is the object with all that a Deployment's conversion needs.
func (i *Item) Whole() manifest.Object {
	if i.whole == "" {
		return i.Object()
	}
	o, _ := decode([]byte(i.whole))
	return o
}
