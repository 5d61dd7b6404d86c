package workload

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"knative.dev/pkg/kmeta"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// ownedBy are the kinds whose controllers make objects of a kind. The rows of the table add those that have
// service accounts of their own.
var ownedBy = map[schema.GroupKind][]schema.GroupKind{
	JobKind:           {CronJobKind},
	DeploymentKind:    {RevisionKind},
	PodAutoscalerKind: {RevisionKind},
	RevisionKind:      {ConfigurationKind},
	ConfigurationKind: {ServiceKind},
	RouteKind:         {ServiceKind},
}

func init() {
	for _, k := range append(Kinds(), claimKind) {
		ownedBy[k.GroupKind] = append(ownedBy[k.GroupKind], slices.Collect(maps.Keys(k.Owners))...)
	}
}

// MadeFor is the kind that Knative makes objects of a kind for; false where that is not Knative, or not one.
func MadeFor(kind schema.GroupKind) (schema.GroupKind, bool) {
	owners := ownedBy[kind]
	if len(owners) != 1 || owners[0].Group != servingGroup {
		return schema.GroupKind{}, false
	}
	return owners[0], true
}

// OwnerRef is who an object says controls it. It proves nothing by itself: Belongs does, given the
// owner as it is stored.
type OwnerRef struct {
	schema.GroupKind
	Name, UID string
}

// Owner is the controller that an object states, of a kind whose controller makes such objects.
func Owner(o manifest.Object) (OwnerRef, bool) {
	stated := manifest.ControllerOf(o)
	owner := OwnerRef{stated.GroupKind(), stated.Name, stated.UID}
	if owner.UID == "" || !slices.Contains(ownedBy[KindOf(o)], owner.GroupKind) {
		return OwnerRef{}, false
	}
	return owner, true
}

// Belongs tells whether the controller of an owner's kind counts a child as one of the owner's:
// by UID and kind, in one namespace, with labels that the owner's selector takes, and where the
// controller gives its children names, with such a name. Both state their kind. Of what Knative
// makes, the caller sees to it that there is one child in each place. A ReplicaSet that takes pods which its
// Deployment does not is none of it: once it is gone, nothing tells whose its pods were.
func Belongs(child, owner manifest.Object) bool {
	ref, ok := Owner(child)
	if !ok || ref.GroupKind != KindOf(owner) || ref.UID != manifest.Text(owner, "metadata", "uid") ||
		manifest.Text(child, "metadata", "namespace") != manifest.Text(owner, "metadata", "namespace") {
		return false
	}
	name, own := manifest.Text(child, "metadata", "name"), manifest.Text(owner, "metadata", "name")
	switch KindOf(child) {
	case PodKind:
		return Selects(owner, child) && (ref.GroupKind != StatefulSetKind || isReplica(name, own))
	case ReplicaSetKind:
		return Adopts(owner, child)
	case DeploymentKind:
		return name == kmeta.ChildName(own, "-deployment")
	case PodAutoscalerKind, ConfigurationKind, RouteKind:
		return name == own
	case ResourceClaimKind:
		return claimOfPod(child, owner) != ""
	}
	return true
}

// Selects tells whether the selector of an owner takes the labels of an object. One that is empty,
// or cannot be read, takes none: the API server does not store such a selector.
func Selects(owner, o manifest.Object) bool {
	return Selector(owner).Matches(labels.Set(manifest.Texts(o, "metadata", "labels")))
}

// Adopts tells whether a Deployment takes a ReplicaSet for its own by its labels, and no pod is the ReplicaSet's
// that it does not select itself. The deployment controller makes none of which that does not hold.
func Adopts(deployment, set manifest.Object) bool {
	return Selects(deployment, set) && narrows(Selector(set), Selector(deployment))
}

// narrows tells whether a selector has all requirements of another one, so that it takes nothing beyond that.
func narrows(selector, of labels.Selector) bool {
	own, selectable := selector.Requirements()
	wanted, _ := of.Requirements()
	has := make([]string, len(own))
	for i := range own {
		has[i] = own[i].String()
	}
	return selectable && !slices.ContainsFunc(wanted, func(w labels.Requirement) bool { return !slices.Contains(has, w.String()) })
}

// Selector is what an owner takes its children by; one that takes nothing if it cannot be read.
func Selector(owner manifest.Object) labels.Selector {
	stated := manifest.Map(owner, "spec", "selector")
	if KindOf(owner) == ReplicationControllerKind {
		if selector := manifest.Texts(owner, "spec", "selector"); len(stated) > 0 && len(selector) == len(stated) {
			return labels.SelectorFromSet(selector)
		}
		return labels.Nothing()
	}
	var s metav1.LabelSelector
	if runtime.DefaultUnstructuredConverter.FromUnstructured(stated, &s) != nil {
		return labels.Nothing()
	}
	if selector, err := metav1.LabelSelectorAsSelector(&s); err == nil && !selector.Empty() {
		return selector
	}
	return labels.Nothing()
}
