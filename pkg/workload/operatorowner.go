package workload

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// passed are the kinds of Kubernetes that may stand between a pod and an object of an operator's kind.
var passed = []schema.GroupKind{PodKind, JobKind, ReplicaSetKind, ReplicationControllerKind, StatefulSetKind}

// deepest is how many controllers there are above an object at most: a worker of a LeaderWorkerSet has
// its StatefulSet, the leader, the leader's StatefulSet and the LeaderWorkerSet.
const deepest = 6

// ChildKinds are the kinds of what an operator makes of an object; those of Kubernetes' own if the table
// names none.
func (k *OperatorKind) ChildKinds() []schema.GroupKind {
	if len(k.Children) == 0 {
		return slices.Clone(passed)
	}
	kinds := make([]schema.GroupKind, len(k.Children))
	for i, name := range k.Children {
		kinds[i] = schema.ParseGroupKind(name)
	}
	return kinds
}

// Controller is the controller that an object states, of whatever kind. It proves nothing by itself.
func Controller(o manifest.Object) (OwnerRef, bool) {
	for _, ref := range manifest.Objects(o, "metadata", "ownerReferences") {
		if controls, _ := ref["controller"].(bool); controls {
			owner := OwnerRef{KindOf(ref), manifest.Text(ref, "name"), manifest.Text(ref, "uid")}
			return owner, owner.UID != "" && owner.Name != ""
		}
	}
	return OwnerRef{}, false
}

// RootOf is the object of an operator's kind that another one is part of, the uppermost of several: by
// controllers that are there, that have the UID which is stated, and that would count it as their own.
// get reads a controller, nil where there is none of the name. Nothing is read for an object whose
// controllers are of other kinds.
func (o Operators) RootOf(object manifest.Object, get func(OwnerRef) (manifest.Object, error)) (root manifest.Object, row *OperatorKind, err error) {
	for range deepest {
		ref, ok := Controller(object)
		of := KindOf(object)
		above, operated := o.For(ref.GroupKind)
		switch {
		case !ok, !operated && !slices.Contains(passed, ref.GroupKind):
			return root, row, nil
		case operated && (!above.Charged() || !slices.Contains(above.ChildKinds(), of)):
			return root, row, nil
		}
		owner, err := get(ref)
		if err != nil {
			return nil, nil, err
		}
		if owner == nil || manifest.Text(owner, "metadata", "uid") != ref.UID || KindOf(owner) != ref.GroupKind ||
			manifest.Text(owner, "metadata", "namespace") != manifest.Text(object, "metadata", "namespace") {
			return root, row, nil
		}
		if operated {
			root, row = owner, above
		} else if !Belongs(object, owner) && (of != StatefulSetKind || ref.GroupKind != PodKind) {
			return root, row, nil
		}
		object = owner
	}
	return root, row, nil
}

// MadeBy tells whether a user is a service account of any operator.
func (o Operators) MadeBy(user string) bool {
	return slices.ContainsFunc(o.Kinds, func(k OperatorKind) bool { return k.MadeBy(user) })
}

// MakersIn are the service accounts of operators that live in some namespaces, as namespace/name, sorted.
func (o Operators) MakersIn(some func(namespace string) bool) []string {
	var found []string
	// The shipped configuration believes those that the program comes with, whatever a row of another table says.
	for _, kind := range slices.Concat(o.Kinds, BuiltInOperators().Kinds) {
		for _, maker := range kind.Makers {
			if namespace, _, _ := strings.Cut(maker, "/"); some(namespace) && !slices.Contains(found, maker) {
				found = append(found, maker)
			}
		}
	}
	slices.Sort(found)
	return found
}

// WithMade is what an object claims, given what it asks for itself and what was made of it: of each type
// of GPUs the larger of both. What is made of a type counts as part of what may be of that type.
func WithMade(own, made []Part) []Part {
	return append(slices.Clone(own), Beyond(made, own)...)
}

// HasFinished tells whether the status of an object says that there are no pods of it any more.
func (k *OperatorKind) HasFinished(o manifest.Object) bool {
	if k.Finished == nil {
		return false
	}
	for _, c := range manifest.Objects(o, "status", "conditions") {
		if manifest.Text(c, "status") == "True" && slices.Contains(k.Finished.Conditions, manifest.Text(c, "type")) {
			return true
		}
	}
	if k.Finished.Path == "" {
		return false
	}
	return slices.Contains(k.Finished.Values, manifest.Text(o, strings.Split(k.Finished.Path, ".")...))
}

// ManagedElsewhere tells whether another controller than the operator is to make the pods of an object. Whatever is
// made of it all the same is counted.
func (k *OperatorKind) ManagedElsewhere(o manifest.Object) bool {
	if k.ManagedBy == nil {
		return false
	}
	manager := manifest.Text(o, strings.Split(k.ManagedBy.Path, ".")...)
	return manager != "" && !slices.Contains(k.ManagedBy.Own, manager)
}

// ReplicasPath is where the subresource scale of a kind sets the number of replicas.
func (k *OperatorKind) ReplicasPath() []string {
	if k.Replicas == "" {
		return []string{"spec", "replicas"}
	}
	return strings.Split(k.Replicas, ".")
}

// ReplicasOf is the number that the subresource scale of an object reads, 1 where none is stated.
func (k *OperatorKind) ReplicasOf(o manifest.Object) int64 { return count(o, 1, k.ReplicasPath()...) }

// Autoscaled is an object that asks for as many replicas as HorizontalPodAutoscalers that point at it may have
// it ask for.
func (k *OperatorKind) Autoscaled(o manifest.Object, autoscalers []manifest.Object) manifest.Object {
	var peak int64
	replicas, path := k.ReplicasOf(o), k.ReplicasPath()
	for _, autoscaler := range autoscalers {
		peak = max(peak, AutoscalerPeak(autoscaler, replicas))
	}
	if !k.Scale || peak <= replicas || manifest.Map(o, path[:len(path)-1]...) == nil {
		return o // what describes no pods has none to scale
	}
	return with(o, peak, path...)
}

// with is an object with another number at a path; what of it is the same is shared.
func with(o manifest.Object, number int64, path ...string) manifest.Object {
	copied := maps.Clone(o)
	if len(path) == 1 {
		copied[path[0]] = number
		return copied
	}
	copied[path[0]] = with(manifest.Map(o, path[0]), number, path[1:]...)
	return copied
}

// statusGroups are the groups of the kinds of which the shipped configuration sends only those writes of the
// status to the webhook that may say that one has finished.
var statusGroups = sync.OnceValue(func() (groups []string) {
	var shipped Operators
	_ = yaml.Unmarshal(operatorsYAML, &shipped) // whoever uses the table reads it strictly
	for _, k := range shipped.Kinds {
		if k.Finished != nil {
			groups = append(groups, k.Group)
		}
	}
	return groups
})

// validateChildren checks what an operator makes, and how its objects end and are scaled.
func (k *OperatorKind) validateChildren(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, name := range k.Children {
		if child := schema.ParseGroupKind(name); child.Kind == "" || strings.ToUpper(child.Kind[:1]) != child.Kind[:1] {
			errs = append(errs, field.Invalid(at.Child("children").Index(i), name, "must be a kind and its group, such as Job.batch or Pod"))
		}
	}
	if k.Replicas != "" {
		errs = append(errs, validatePath(k.Replicas, at.Child("replicas"), false)...)
	}
	if m := k.ManagedBy; m != nil {
		if len(m.Own) == 0 {
			errs = append(errs, field.Required(at.Child("managedBy", "own"), "say what names the operator itself"))
		}
		errs = append(errs, validatePath(m.Path, at.Child("managedBy", "path"), false)...)
	}
	if f := k.Finished; f != nil {
		if (f.Path == "") != (len(f.Values) == 0) || (f.Path == "" && len(f.Conditions) == 0) {
			errs = append(errs, field.Required(at.Child("finished"), "give conditions, or path and values"))
		}
		if f.Path != "" {
			errs = append(errs, validatePath(f.Path, at.Child("finished", "path"), false)...)
		}
		if f.Path != "" && !strings.HasPrefix(f.Path, "status.") {
			errs = append(errs, field.Invalid(at.Child("finished", "path"), f.Path, "must be below status: changes of nothing else are sent to the webhook"))
		}
		if k.Group == "argoproj.io" && k.Kind != "Rollout" {
			errs = append(errs, field.Forbidden(at.Child("finished"), "the status of a "+k.Kind+" is no subresource, and changes with each of its steps, so that it is not sent to the webhook; leave it out, and what is made of one is charged"))
		}
		if slices.Contains(statusGroups(), k.Group) && f.Path != "" && f.Path != "status.jobDeploymentStatus" && !strings.HasPrefix(f.Path+".", "status.state.") {
			errs = append(errs, field.Invalid(at.Child("finished", "path"), f.Path,
				"of a kind in the group "+k.Group+" must be status.jobDeploymentStatus, status.state or a field of that: only changes of these, and of conditions, are sent to the webhook"))
		}
	}
	return errs
}
