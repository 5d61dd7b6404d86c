package app

import (
	"k8s.io/client-go/tools/record"

	"github.com/kubetorch/webhook/pkg/deployments"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// tell says in events of a labelled Knative Service what its admission warns of, as the controller does for a
// Deployment. A new Service has no UID yet in the mutating step, so that the event names it only.
func tell(events record.EventRecorder) func(r *review.Request, warnings []string) {
	return func(r *review.Request, warnings []string) {
		if r.Kind() == review.ServiceKind && r.Labelled() && !r.DryRun() && manifest.Text(r.Object(), "metadata", "name") != "" {
			deployments.Tell(events, r.Object(), warnings)
		}
	}
}
