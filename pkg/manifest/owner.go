package manifest

import "k8s.io/apimachinery/pkg/runtime/schema"

// Owner is the controller that an object names. It proves nothing by itself: anybody can write an owner
// reference.
type Owner struct{ Version, Kind, Name, UID string }

// ControllerOf is the controller that an object names; empty if it names none. API servers store no object
// with two.
func ControllerOf(o Object) Owner {
	for _, ref := range Objects(o, "metadata", "ownerReferences") {
		if controls, _ := ref["controller"].(bool); controls {
			return Owner{Version: Text(ref, "apiVersion"), Kind: Text(ref, "kind"), Name: Text(ref, "name"), UID: Text(ref, "uid")}
		}
	}
	return Owner{}
}

// GroupKind is the owner's kind, whatever its version.
func (o Owner) GroupKind() schema.GroupKind {
	gv, err := schema.ParseGroupVersion(o.Version)
	if err != nil {
		gv.Group = o.Version // a group that nothing has
	}
	return schema.GroupKind{Group: gv.Group, Kind: o.Kind}
}
