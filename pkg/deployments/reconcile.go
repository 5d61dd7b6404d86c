package deployments

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/manifest"
	counted "github.com/kubetorch/webhook/pkg/workload"
)

var (
	deployments     = counted.MustResource(counted.DeploymentKind)
	knativeServices = counted.MustResource(counted.ServiceKind)
	coreServices    = counted.MustResource(counted.CoreServiceKind)
)

// Expander says what a Deployment is to become. service is the live Knative Service that
// was made from it; nil if there is none. Neither is changed. An error means that it
// cannot be told now.
type Expander func(ctx context.Context, deployment, service manifest.Object) (Expansion, error)

// Expansion is what a Deployment is to become.
type Expansion struct {
	// Service is the Knative Service; nil if it is refused.
	Service manifest.Object
	// Refused says why there is none.
	Refused string
	// Fixed is the replica count without Knative.
	Fixed int64
	// Warnings are what there is to say about the conversion.
	Warnings []string
}

// reconciler brings one Deployment a step further.
type reconciler struct {
	client dynamic.Interface
	expand Expander
	// served is whether there is Knative.
	served func() bool
	// owned lists the names of the Knative Services that a Deployment controls, as far as
	// they were seen.
	owned  func(namespace, uid string) []string
	events record.EventRecorder
}

// observedState is what one look at the cluster found.
type observedState struct {
	handover.Observed
	deployment, service, desired manifest.Object
	warnings                     []string
}

// lookAgain is when to look again at a Deployment that somebody else has to do something
// about: not everything that may be done makes an event here.
const lookAgain = 30 * time.Second

// reconcile looks, decides and takes one step. again is when to look next though nothing
// happened; 0 is never.
func (r *reconciler) reconcile(ctx context.Context, key types.NamespacedName) (again time.Duration, err error) {
	seen, err := r.observe(ctx, key)
	if err != nil || seen == nil {
		return 0, err
	}
	plan := handover.Decide(seen.Observed)
	if plan.Step != handover.Wait {
		log.FromContext(ctx).Info("next step", "deployment", key, "step", plan.Step, "state", plan.State.Reason)
	}
	err = r.take(ctx, seen, plan)
	switch {
	case err == nil:
		if plan.Step == handover.Apply {
			r.tell(seen)
		}
		if plan.Step == handover.Wait && plan.State.Status != "True" && plan.State != (handover.State{}) {
			again = lookAgain
		}
		return again, r.report(ctx, seen, plan.State)
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err), ctx.Err() != nil:
		return 0, err // something changed meanwhile: look again
	}
	return 0, r.failed(ctx, seen, plan, err)
}

// observe reads everything that the decision depends on, from the API server itself: a
// cache that lags behind could make a Deployment look served that is not.
func (r *reconciler) observe(ctx context.Context, key types.NamespacedName) (*observedState, error) {
	s := &observedState{}
	var err error
	if s.deployment, err = r.get(ctx, deployments, key.Namespace, key.Name); err != nil || s.deployment == nil {
		return nil, err
	}
	if !handover.Concerned(s.deployment) && len(r.owned(key.Namespace, manifest.Text(s.deployment, "metadata", "uid"))) == 0 {
		return nil, nil
	}
	s.Deployment = handover.ReadDeployment(s.deployment)
	s.Knative = r.served()
	s.Name = handover.ServiceName(s.deployment)
	if s.Knative {
		if err := r.observeServices(ctx, key.Namespace, s); err != nil {
			return nil, err
		}
	}
	if !s.Deployment.OptedIn || s.Deployment.Deleting {
		return s, nil
	}
	var live manifest.Object
	if handover.Owns(s.deployment, s.service) {
		live = s.service
	}
	e, err := r.expand(ctx, s.deployment, live)
	if err != nil {
		return nil, fmt.Errorf("expanding Deployment %s: %w", key, err)
	}
	s.Refused, s.Fixed, s.warnings = e.Refused, e.Fixed, e.Warnings
	if e.Service != nil {
		s.desired = wanted(s.deployment, e.Service, live)
		s.Current = current(s.desired, live)
	}
	return s, nil
}

// observeServices reads the Knative Services that matter, and the core Service that may
// be in their way.
func (r *reconciler) observeServices(ctx context.Context, namespace string, s *observedState) error {
	var err error
	if s.service, err = r.get(ctx, knativeServices, namespace, s.Name); err != nil {
		return err
	}
	s.Service = handover.ReadService(s.service)
	if s.service == nil {
		core, err := r.get(ctx, coreServices, namespace, s.Name)
		if err != nil {
			return err
		}
		s.NameTaken = core != nil && !handover.MadeByKnative(core)
	}
	for _, name := range r.owned(namespace, s.Deployment.UID) {
		if name == s.Name {
			continue
		}
		other, err := r.get(ctx, knativeServices, namespace, name)
		if err != nil {
			return err
		}
		if handover.Owns(s.deployment, other) {
			s.Others = append(s.Others, *handover.ReadService(other))
		}
	}
	return nil
}

// get reads one object; nil where there is none.
func (r *reconciler) get(ctx context.Context, resource schema.GroupVersionResource, namespace, name string) (manifest.Object, error) {
	o, err := r.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading %s %s/%s: %w", resource.Resource, namespace, name, err)
	}
	return o.Object, nil
}

// failed records a step that the API server did not take. It is tried again, with
// backoff.
func (r *reconciler) failed(ctx context.Context, s *observedState, plan handover.Plan, cause error) error {
	state := plan.State
	state.Status, state.Reason = "False", string(plan.Step)+"Failed"
	state.Message = cause.Error()
	if status := apierrors.APIStatus(nil); errors.As(cause, &status) {
		state.Message = status.Status().Message
	}
	if err := r.report(ctx, s, state); err != nil {
		log.FromContext(ctx).Error(err, "cannot record a state", "state", state.Reason)
	}
	return cause
}

// report keeps the state on the Deployment, and tells of a new one by events on both
// objects.
func (r *reconciler) report(ctx context.Context, s *observedState, now handover.State) error {
	text := ""
	if now != (handover.State{}) {
		text = now.Text()
	}
	was := manifest.Text(s.deployment, "metadata", "annotations", handover.StatusAnnotation)
	if was == text {
		return nil
	}
	var value any
	if text != "" {
		value = text
	}
	if _, err := r.annotate(ctx, s.deployment, manifest.Object{handover.StatusAnnotation: value}); err != nil {
		return ignoreNotFound(err)
	}
	before := handover.ReadState(was)
	if text == "" || (before.Reason == now.Reason && (!now.Problem() || before.Message == now.Message)) {
		return nil
	}
	kind := corev1.EventTypeNormal
	if now.Problem() {
		kind = corev1.EventTypeWarning
	}
	r.events.Event(reference(s.deployment), kind, now.Reason, now.Message)
	if handover.Owns(s.deployment, s.service) {
		r.events.Event(reference(s.service), kind, now.Reason, now.Message)
	}
	return nil
}

// tell says in events what the conversion of a Deployment warns of.
func (r *reconciler) tell(s *observedState) { Tell(r.events, s.deployment, s.warnings) }

// longestMessage is how many bytes the message of an event may have.
const longestMessage = 1024

// WarningReason is the reason of events that say what a conversion or an admission warns of.
const WarningReason = "Conversion"

// Tell says in events of an object what its conversion, or its expansion, warns of: who applies it by a client that
// shows no warnings finds them there.
func Tell(events record.EventRecorder, about manifest.Object, warnings []string) {
	for _, warning := range warnings {
		events.Event(reference(about), corev1.EventTypeWarning, WarningReason, strings.ToValidUTF8(warning[:min(len(warning), longestMessage)], ""))
	}
}

// reference is what an event is about.
func reference(o manifest.Object) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: manifest.Text(o, "apiVersion"), Kind: manifest.Text(o, "kind"),
		Namespace: manifest.Text(o, "metadata", "namespace"), Name: manifest.Text(o, "metadata", "name"),
		UID: types.UID(manifest.Text(o, "metadata", "uid")), ResourceVersion: manifest.Text(o, "metadata", "resourceVersion"),
	}
}
