package deployments

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// take does what a plan says.
func (r *reconciler) take(ctx context.Context, s *observedState, p handover.Plan) error {
	switch p.Step {
	case handover.Apply:
		return r.apply(ctx, s)
	case handover.Adopt:
		return r.empty(ctx, s, manifest.Object{
			handover.AdoptedAnnotation:  p.Service.UID,
			handover.ReplicasAnnotation: strconv.FormatInt(p.Replicas, 10),
		})
	case handover.Empty:
		return r.empty(ctx, s, manifest.Object{handover.AdoptedAnnotation: s.Service.UID})
	case handover.Fix:
		// Empty and not absent: an update that lacks the annotation gets it back.
		return r.scale(ctx, s.deployment, p.Replicas, manifest.Object{handover.AdoptedAnnotation: ""})
	case handover.Resume:
		// 0 is remembered from now on: whoever scales the Deployment to 0 means it.
		return r.scale(ctx, s.deployment, p.Replicas, manifest.Object{handover.ReplicasAnnotation: "0"})
	case handover.Restore:
		return r.scale(ctx, s.deployment, p.Replicas, manifest.Object{handover.AdoptedAnnotation: nil, handover.ReplicasAnnotation: nil})
	case handover.Remove:
		return r.remove(ctx, s.deployment, p.Service)
	}
	return nil
}

// apply writes the Knative Service. A new one is created, which fails if somebody else
// makes one of that name at the same time; applying would take theirs over.
func (r *reconciler) apply(ctx context.Context, s *observedState) error {
	desired := (&unstructured.Unstructured{Object: s.desired}).DeepCopy()
	services := r.client.Resource(knativeServices).Namespace(desired.GetNamespace())
	if s.service == nil {
		created, err := services.Create(ctx, desired, metav1.CreateOptions{FieldManager: handover.FieldManager})
		if err != nil {
			return fmt.Errorf("creating Knative Service %s: %w", desired.GetName(), err)
		}
		s.service = created.Object
		return nil
	}
	live := &unstructured.Unstructured{Object: s.service}
	// What was created counts as applied, so that it can be removed by not applying it.
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, sets.New(handover.FieldManager), handover.FieldManager)
	if err != nil {
		return fmt.Errorf("reading the managed fields of Knative Service %s: %w", live.GetName(), err)
	}
	if len(patch) > 0 {
		if _, err := services.Patch(ctx, live.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: handover.FieldManager}); err != nil {
			return fmt.Errorf("updating the managed fields of Knative Service %s: %w", live.GetName(), err)
		}
	}
	desired.SetUID(live.GetUID()) // one that was made anew since it was read is not this one
	applied, err := services.Apply(ctx, desired.GetName(), desired, metav1.ApplyOptions{FieldManager: handover.FieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("applying Knative Service %s: %w", desired.GetName(), err)
	}
	s.service = applied.Object
	return nil
}

// empty records that a Knative Service serves, and scales the Deployment to 0. The
// webhook does the scaling as part of the same update: replicas then stay a field of
// whoever applies the Deployment, who would else meet a conflict. Should the webhook not
// be there, the controller does it.
func (r *reconciler) empty(ctx context.Context, s *observedState, annotations manifest.Object) error {
	updated, err := r.annotate(ctx, s.deployment, annotations)
	if err != nil {
		return err
	}
	s.deployment = updated
	if handover.Replicas(updated) == 0 {
		return nil
	}
	return r.scale(ctx, updated, 0, nil)
}

// annotate sets annotations of a Deployment as it was read; nil removes one.
func (r *reconciler) annotate(ctx context.Context, deployment, annotations manifest.Object) (manifest.Object, error) {
	return r.patch(ctx, deployment, manifest.Object{"metadata": manifest.Object{"annotations": annotations}})
}

// scale sets the replicas of a Deployment as it was read, and annotations with them.
func (r *reconciler) scale(ctx context.Context, deployment manifest.Object, replicas int64, annotations manifest.Object) error {
	patch := manifest.Object{"spec": manifest.Object{"replicas": replicas}}
	if annotations != nil {
		patch["metadata"] = manifest.Object{"annotations": annotations}
	}
	_, err := r.patch(ctx, deployment, patch)
	return err
}

// patch changes a Deployment unless it changed since it was read. The version read is
// replaced by the new one in place, for the next write of the same look.
func (r *reconciler) patch(ctx context.Context, deployment, patch manifest.Object) (manifest.Object, error) {
	metadata := manifest.Map(patch, "metadata")
	if metadata == nil {
		metadata = manifest.Object{}
		patch["metadata"] = metadata
	}
	metadata["resourceVersion"] = manifest.Text(deployment, "metadata", "resourceVersion")
	metadata["uid"] = manifest.Text(deployment, "metadata", "uid")
	body, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("writing a patch: %w", err)
	}
	namespace, name := manifest.Text(deployment, "metadata", "namespace"), manifest.Text(deployment, "metadata", "name")
	updated, err := r.client.Resource(deployments).Namespace(namespace).
		Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: handover.FieldManager})
	if err != nil {
		return nil, fmt.Errorf("updating Deployment %s/%s: %w", namespace, name, err)
	}
	deployment["metadata"] = updated.Object["metadata"]
	return updated.Object, nil
}

// remove deletes one Knative Service, and no other of that name.
func (r *reconciler) remove(ctx context.Context, deployment manifest.Object, service handover.Service) error {
	uid, background := types.UID(service.UID), metav1.DeletePropagationBackground
	err := r.client.Resource(knativeServices).Namespace(manifest.Text(deployment, "metadata", "namespace")).
		Delete(ctx, service.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background})
	if err = ignoreNotFound(err); err != nil {
		return fmt.Errorf("deleting Knative Service %s: %w", service.Name, err)
	}
	return nil
}

// ignoreNotFound drops the error that an object is gone.
func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
