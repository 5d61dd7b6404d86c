package audit

import (
	"slices"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
)

// The children of Knative objects. One is covered if its owner is there, by UID, and it asks
// for no more: then the owner is what is reported.

func (c *cluster) configuration(o manifest.Object) (d policy.Demand, covered bool) {
	d = policy.ConfigurationDemand(o, c.Knative, c.gpus(), c.beside(o, revisions))
	if owner := c.owner(o, services); owner != nil {
		admitted := c.service(owner)
		covered = d.Within(&admitted) && d.Claim <= admitted.Claim
	}
	return d, covered
}

// revision covers one that Knative keeps without pods, too: a superseded one.
func (c *cluster) revision(o manifest.Object) (d policy.Demand, covered bool) {
	d = policy.RevisionDemand(o, c.Knative, c.gpus())
	if owner := c.owner(o, configurations); owner != nil {
		admitted := policy.ConfigurationDemand(owner, c.Knative, c.gpus(), c.beside(o, revisions))
		covered = d.Within(&admitted) || c.retired(o)
	}
	return d, covered
}

// retired tells whether no traffic goes to a revision and none of its pods are left.
func (c *cluster) retired(revision manifest.Object) bool {
	name := manifest.Text(revision, "metadata", "name")
	for _, s := range c.beside(revision, services) {
		if slices.Contains(policy.NamedRevisions(s), name) {
			return false
		}
	}
	for _, r := range c.beside(revision, routes) {
		if slices.Contains(policy.NamedRevisions(r), name) {
			return false
		}
	}
	actual, seen := manifest.Whole(revision, "status", "actualReplicas")
	desired, wanted := manifest.Whole(revision, "status", "desiredReplicas")
	return seen && wanted && actual == 0 && desired == 0
}

// route covers that of a Service, which names no more than the Service does.
func (c *cluster) route(o manifest.Object) (d policy.Demand, covered bool) {
	d = policy.RouteDemand(o, c.beside(o, configurations), c.beside(o, revisions), c.Knative, c.gpus())
	owner := c.owner(o, services)
	if owner == nil {
		return d, false
	}
	within := func(names, of []string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(of, n) })
	}
	covered = within(policy.NamedRevisions(o), policy.NamedRevisions(owner)) &&
		within(policy.NamedConfigurations(o), []string{manifest.Text(owner, "metadata", "name")})
	return d, covered
}

func (c *cluster) autoscaler(o manifest.Object) (d policy.Demand, covered bool) {
	if owner := c.owner(o, revisions); owner != nil {
		admitted := policy.RevisionDemand(owner, c.Knative, c.gpus())
		own := policy.AutoscalerDemand(o, nil, c.Knative, c.gpus())
		d = own.OfRevision(&admitted)
		// Its Revision's resources and deadline are not its own to ask for.
		d.ProgressDeadline = admitted.ProgressDeadline
		return d, d.Within(&admitted)
	}
	return policy.AutoscalerDemand(o, c.beside(o, deployments)[policy.ScaledDeployment(o)], c.Knative, c.gpus()), false
}
