package app

import (
	"encoding/json"
	"fmt"
	"hash/fnv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/record"

	"github.com/kubetorch/webhook/pkg/deployments"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// tell says in events of an object what its admission warns of, if it is ours or carries keys of ours: who writes it by
// a client that shows no warnings, or has forgotten the label, finds them there. What a controller made says nothing that its
// owner does not. A new object has no UID yet in the mutating step, so that the event names it only.
func tell(events record.EventRecorder) func(r *review.Request, warnings []string) {
	return func(r *review.Request, warnings []string) {
		if len(warnings) == 0 || r.DryRun() || manifest.Text(r.Object(), "metadata", "name") == "" || !r.Ours() {
			return
		}
		owner := manifest.ControllerOf(r.Object())
		if owner == (manifest.Owner{}) || (r.Kind() == review.ServiceKind && owner.GroupKind() != review.DeploymentKind) {
			deployments.Tell(events, r.Object(), warnings)
		}
	}
}

// toldOnce is a sink of events in which a warning about an object is one event, whichever step of its admission,
// replica or controller says it: its name is made of what it says. It ends up with the object's UID, if one of them
// knows it.
type toldOnce struct{ record.EventSink }

func (s toldOnce) Create(event *corev1.Event) (*corev1.Event, error) {
	if event.Reason != deployments.WarningReason {
		return s.EventSink.Create(event)
	}
	named := event.DeepCopy()
	named.Name = warningName(event)
	made, err := s.EventSink.Create(named)
	if !apierrors.IsAlreadyExists(err) {
		return made, err
	}
	change := map[string]any{"lastTimestamp": event.LastTimestamp}
	if uid := event.InvolvedObject.UID; uid != "" {
		change["involvedObject"] = map[string]any{"uid": uid}
	}
	patch, err := json.Marshal(change)
	if err != nil {
		return nil, err
	}
	return s.Patch(named, patch)
}

// longestAbout is how much of an object's name is in that of an event, which may have 253 bytes.
const longestAbout = 230

func warningName(event *corev1.Event) string {
	about := event.InvolvedObject
	said := fnv.New64a()
	fmt.Fprintf(said, "%s\x00%s\x00%s\x00%s", about.APIVersion, about.Kind, about.Name, event.Message)
	return fmt.Sprintf("%s.%016x", about.Name[:min(len(about.Name), longestAbout)], said.Sum64())
}
