package review

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// inNamespace reads objects of one namespace.
type inNamespace struct {
	cluster.Reader
	namespace string
}

func (r inNamespace) get(ctx context.Context, kind schema.GroupKind, name string) (manifest.Object, error) {
	if name == "" {
		return nil, nil
	}
	return r.Get(ctx, kind, r.namespace, name)
}

// referred is the object that an owner reference means; nil if it is gone. Controllers go by the UID, whatever name
// stands beside it.
func (r inNamespace) referred(ctx context.Context, ref workload.OwnerRef) (manifest.Object, error) {
	named, err := r.get(ctx, ref.GroupKind, ref.Name)
	if err != nil || (named != nil && manifest.Text(named, "metadata", "uid") == ref.UID) {
		return named, err
	}
	listed, err := r.List(ctx, ref.GroupKind, r.namespace, labels.Everything())
	for _, o := range listed {
		if manifest.Text(o, "metadata", "uid") == ref.UID {
			return o, nil
		}
	}
	return nil, err
}

// owner is the controller that an object states, if it is there and the object belongs to it.
func (r inNamespace) owner(ctx context.Context, o manifest.Object) (manifest.Object, error) {
	ref, ok := workload.Owner(o)
	if !ok {
		return nil, nil
	}
	owner, err := r.referred(ctx, ref)
	if err != nil || owner == nil || !workload.Belongs(o, owner) {
		return nil, err
	}
	return owner, nil
}

// children are the objects of a kind that belong to an owner.
func (r inNamespace) children(ctx context.Context, kind schema.GroupKind, owner manifest.Object) ([]manifest.Object, error) {
	selector := workload.Selector(owner)
	if manifest.At(owner, "spec", "selector") == nil {
		selector = labels.Everything() // Knative's kinds have none
	}
	listed, err := r.List(ctx, kind, r.namespace, selector)
	if err != nil {
		return nil, err
	}
	return belonging(listed, owner), nil
}

func belonging(objects []manifest.Object, owner manifest.Object) []manifest.Object {
	var children []manifest.Object
	for _, o := range objects {
		if workload.Belongs(o, owner) {
			children = append(children, o)
		}
	}
	return children
}

// autoscalers are the HorizontalPodAutoscalers that point at an object.
func (r inNamespace) autoscalers(ctx context.Context, target workload.Target) ([]manifest.Object, error) {
	listed, err := r.List(ctx, workload.HorizontalPodAutoscalerKind, r.namespace, labels.Everything())
	if err != nil {
		return nil, err
	}
	var found []manifest.Object
	for _, o := range listed {
		if workload.AutoscalerTarget(o) == target {
			found = append(found, o)
		}
	}
	return found, nil
}

// autoscaled is the most pods that HorizontalPodAutoscalers may have an object ask for that asks for
// so many now; 0 without any.
func autoscaled(autoscalers []manifest.Object, replicas int64) int64 {
	var pods int64
	for _, o := range autoscalers {
		pods = max(pods, workload.AutoscalerPeak(o, replicas))
	}
	return pods
}

// podsOf are the pods of each of the ReplicaSets of a Deployment, in their order, and loose those that the
// Deployment selects and that belong to nothing: what a ReplicaSet left that was deleted, while its
// Deployment has others in their place.
func (r inNamespace) podsOf(ctx context.Context, deployment manifest.Object, sets []manifest.Object) (pods [][]manifest.Object, loose []manifest.Object, err error) {
	listed, err := r.List(ctx, workload.PodKind, r.namespace, workload.Selector(deployment))
	if err != nil {
		return nil, nil, err
	}
	pods = make([][]manifest.Object, len(sets))
	known := map[string]bool{} // by UID: whether there is such an owner
	for i, set := range sets {
		known[manifest.Text(set, "metadata", "uid")] = true
		pods[i] = belonging(listed, set)
	}
	for _, pod := range listed {
		ref, stated := workload.Owner(pod)
		if there, asked := known[ref.UID]; stated && !asked {
			owner, err := r.owner(ctx, pod)
			if err != nil {
				return nil, nil, err
			}
			known[ref.UID] = owner != nil
		} else if there {
			continue
		}
		if !known[ref.UID] {
			loose = append(loose, pod)
		}
	}
	return pods, loose, nil
}

// rootGoes tells whether the root that an object belongs to, which may be itself, is being deleted. A Job is one,
// also of a CronJob, which makes no pods in the place of those that it leaves.
func (r inNamespace) rootGoes(ctx context.Context, o manifest.Object) (bool, error) {
	for {
		if workload.KindOf(o) == workload.JobKind {
			return manifest.Text(o, "metadata", "deletionTimestamp") != "", nil
		}
		owner, err := r.owner(ctx, o)
		if err != nil || owner == nil {
			return manifest.Text(o, "metadata", "deletionTimestamp") != "", err
		}
		o = owner
	}
}

// ofRevisions takes what Knative made for a Revision: it writes this label whatever others are there.
var ofRevisions = func() labels.Selector {
	made, err := labels.NewRequirement("serving.knative.dev/revisionUID", selection.Exists, nil)
	if err != nil {
		panic(err)
	}
	return labels.NewSelector().Add(*made)
}()

// leftByKnative are the pods that were made for Revisions, and that no Revision answers for any more: it is
// gone, or its Deployment or ReplicaSet is; and the Revisions whose Configuration is gone. Which Service they
// were of, nothing tells that a tenant could not write.
func (r inNamespace) leftByKnative(ctx context.Context) (left, revisions []manifest.Object, err error) {
	pods, err := r.List(ctx, workload.PodKind, r.namespace, ofRevisions)
	if err != nil {
		return nil, nil, err
	}
	answers := map[string]manifest.Object{} // by UID, from Configurations down
	for _, level := range []struct {
		kind     schema.GroupKind
		selector labels.Selector
	}{{ConfigurationKind, labels.Everything()}, {RevisionKind, labels.Everything()}, {DeploymentKind, ofRevisions}, {workload.ReplicaSetKind, ofRevisions}} {
		listed, err := r.List(ctx, level.kind, r.namespace, level.selector)
		if err != nil {
			return nil, nil, err
		}
		for _, o := range listed {
			belongs := belongsTo(o, answers)
			if level.kind == RevisionKind && !belongs {
				revisions = append(revisions, o)
			}
			if belongs || level.kind == RevisionKind || level.kind == ConfigurationKind {
				answers[manifest.Text(o, "metadata", "uid")] = o
			}
		}
	}
	for _, pod := range pods {
		if !belongsTo(pod, answers) {
			left = append(left, pod)
		}
	}
	return left, revisions, nil
}

// belongsTo tells whether an object belongs to one of some owners.
func belongsTo(o manifest.Object, owners map[string]manifest.Object) bool {
	ref, ok := workload.Owner(o)
	owner := owners[ref.UID]
	return ok && owner != nil && workload.Belongs(o, owner)
}
