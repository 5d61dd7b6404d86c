package app

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// longestMessage is how many bytes the message of an event may have.
const longestMessage = 1024

// tell says in events of a labelled Knative Service what its admission warns of, as the controller does for a
// Deployment: who applies it by a client that shows no warnings finds them there. A new Service has no UID yet in the
// mutating step, so that the event names it only.
func tell(events record.EventRecorder) func(r *review.Request, warnings []string) {
	return func(r *review.Request, warnings []string) {
		name := manifest.Text(r.Object(), "metadata", "name")
		if r.Kind() != review.ServiceKind || !r.Labelled() || r.DryRun() || name == "" {
			return
		}
		about := &corev1.ObjectReference{
			APIVersion: manifest.Text(r.Object(), "apiVersion"), Kind: review.ServiceKind.Kind, Namespace: r.Namespace(), Name: name,
			UID: types.UID(manifest.Text(r.Object(), "metadata", "uid")),
		}
		for _, warning := range warnings {
			events.Event(about, corev1.EventTypeWarning, "Conversion", warning[:min(len(warning), longestMessage)])
		}
	}
}
