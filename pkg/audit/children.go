package audit

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// The children of Knative objects. One that its owner answers for is covered: then the owner
// is what is reported.

func (c *indexed) configuration(o manifest.Object) (d workload.Usage, covered bool) {
	return workload.ConfigurationUsage(o, c.Knative, c.gpus(), c.beside(o, review.RevisionKind, workload.RevisionsToRead(o)...)), c.covered(o)
}

func (c *indexed) revision(o manifest.Object) (d workload.Usage, covered bool) {
	return workload.RevisionUsage(o, c.Knative, c.gpus()), c.covered(o) || c.retired(o)
}

func (c *indexed) route(o manifest.Object) (d workload.Usage, covered bool) {
	configurations := c.beside(o, review.ConfigurationKind, workload.NamedConfigurations(o)...)
	names := workload.NamedRevisions(o)
	for _, configuration := range configurations {
		names = append(names, workload.RevisionsToRead(configuration)...)
	}
	return workload.RouteUsage(o, configurations, c.beside(o, review.RevisionKind, names...), c.Knative, c.gpus()), c.covered(o)
}

func (c *indexed) autoscaler(o manifest.Object) (d workload.Usage, covered bool) {
	target := c.one(o, review.DeploymentKind, workload.ScaledDeployment(o))
	if owner := c.owner(o, review.RevisionKind); owner != nil && target == nil {
		// Knative made its Deployment after Deployments were listed, or none yet.
		admitted := workload.RevisionUsage(owner, c.Knative, c.gpus())
		own := workload.AutoscalerUsage(o, nil, c.Knative, c.gpus())
		d = own.OfRevision(&admitted)
		return d, d.Within(&admitted)
	}
	return workload.AutoscalerUsage(o, target, c.Knative, c.gpus()), c.covered(o)
}

// owner is the listed object of a kind that controls another, by UID; nil where there is
// none.
func (c *indexed) owner(o manifest.Object, kind schema.GroupKind) manifest.Object {
	named := manifest.ControllerOf(o)
	if named.GroupKind() != kind || named.UID == "" {
		return nil
	}
	if found := c.one(o, kind, named.Name); manifest.Text(found, "metadata", "uid") == named.UID {
		return found
	}
	return nil
}

// retired tells whether a revision is one that Knative keeps without pods: superseded, with
// no traffic going to it.
func (c *indexed) retired(revision manifest.Object) bool {
	if c.owner(revision, review.ConfigurationKind) == nil {
		return false
	}
	if c.named[placeOf(revision).namespace][manifest.Text(revision, "metadata", "name")] {
		return false
	}
	actual, seen := manifest.Whole(revision, "status", "actualReplicas")
	desired, wanted := manifest.Whole(revision, "status", "desiredReplicas")
	return seen && wanted && actual == 0 && desired == 0
}
