package handover

import (
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// Observed is everything that a decision depends on.
type Observed struct {
	Deployment Deployment
	// Knative is whether the cluster serves Knative Services.
	Knative bool
	// Name of the Knative Service that the Deployment asks for.
	Name string
	// Refused says why the Deployment cannot be expanded as it is now.
	Refused string
	// Fixed is the replica count without Knative.
	Fixed int64
	// Service is the live Knative Service of that name; nil where there is none.
	Service *Service
	// Current is whether that Service is as the expansion wants it.
	Current bool
	// NameTaken is whether a core Service that Knative does not own has the name.
	NameTaken bool
	// Others are further Knative Services that the Deployment controls.
	Others []Service
}

// Deployment is what counts of a Deployment.
type Deployment struct {
	Name, UID string
	Deleting  bool
	OptedIn   bool
	// Replicas that are asked for, and Running, the pods that there are.
	Replicas, Running int64
	// Ready is whether all pods asked for are up to date and ready.
	Ready bool
	// AdoptedBy and Remembered are the annotations of those names.
	AdoptedBy  string
	Remembered *int64
}

// Service is what counts of a Knative Service.
type Service struct {
	Name, UID string
	Owner     manifest.Owner
	Deleting  bool
	// Ready is whether the latest template serves. Message says what it lacks.
	Ready   bool
	Message string
}

// ReadDeployment reads a live Deployment; one that is gone is nil.
func ReadDeployment(o manifest.Object) Deployment {
	d := Deployment{
		Name: manifest.Text(o, "metadata", "name"), UID: manifest.Text(o, "metadata", "uid"),
		Deleting: manifest.Text(o, "metadata", "deletionTimestamp") != "",
		OptedIn:  expand.ReadIntent(o).Expands(),
		Replicas: Replicas(o), Remembered: remembered(o),
		AdoptedBy: manifest.Text(o, "metadata", "annotations", AdoptedAnnotation),
	}
	d.Running, _ = manifest.Whole(o, "status", "replicas")
	generation, _ := manifest.Whole(o, "metadata", "generation")
	observed, _ := manifest.Whole(o, "status", "observedGeneration")
	updated, _ := manifest.Whole(o, "status", "updatedReplicas")
	ready, _ := manifest.Whole(o, "status", "readyReplicas")
	d.Ready = observed >= generation && updated >= d.Replicas && ready >= d.Replicas && d.Running == updated
	return d
}

// Replicas is the count that a Deployment asks for; the API server defaults it to 1.
func Replicas(o manifest.Object) int64 {
	if n, ok := manifest.Whole(o, "spec", "replicas"); ok {
		return n
	}
	return 1
}

// ReadService reads a live Knative Service.
func ReadService(o manifest.Object) *Service {
	if o == nil {
		return nil
	}
	s := &Service{
		Name: manifest.Text(o, "metadata", "name"), UID: manifest.Text(o, "metadata", "uid"), Owner: manifest.ControllerOf(o),
		Deleting: manifest.Text(o, "metadata", "deletionTimestamp") != "",
	}
	generation, _ := manifest.Whole(o, "metadata", "generation")
	observed, _ := manifest.Whole(o, "status", "observedGeneration")
	if observed != generation {
		return s // Knative has not looked at it yet
	}
	for _, c := range manifest.Objects(o, "status", "conditions") {
		if manifest.Text(c, "type") == "Ready" {
			s.Ready = manifest.Text(c, "status") == "True" &&
				manifest.Text(o, "status", "latestReadyRevisionName") == manifest.Text(o, "status", "latestCreatedRevisionName")
			s.Message = manifest.Text(c, "message")
		}
	}
	return s
}

// owns tells whether the Deployment controls a Service.
func (d Deployment) owns(s *Service) bool { return s != nil && d.UID != "" && s.Owner.UID == d.UID }

// Leftover tells whether a Knative Service was made from an earlier Deployment of the
// same name, and is about to be collected.
func Leftover(deployment string, owner manifest.Owner) bool {
	return owner.Version == DeploymentVersion && owner.Kind == DeploymentKind && owner.Name == deployment
}
