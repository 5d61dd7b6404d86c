package audit

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/controller/handover"
	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/mutate"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// place is where the objects of one kind and namespace are.
type place struct {
	kind      schema.GroupKind
	namespace string
}

// cluster is the input, by place and name.
type cluster struct {
	Input
	objects map[place]map[string]manifest.Object
}

func index(in Input) *cluster {
	c := &cluster{Input: in, objects: map[place]map[string]manifest.Object{}}
	for _, o := range in.Objects {
		at := placeOf(o)
		if c.objects[at] == nil {
			c.objects[at] = map[string]manifest.Object{}
		}
		c.objects[at][manifest.Text(o, "metadata", "name")] = o
	}
	return c
}

func placeOf(o manifest.Object) place {
	gv, _ := schema.ParseGroupVersion(manifest.Text(o, "apiVersion")) // what cannot be read is of no kind
	return place{schema.GroupKind{Group: gv.Group, Kind: manifest.Text(o, "kind")}, manifest.Text(o, "metadata", "namespace")}
}

// beside are the objects of a kind in the namespace of another.
func (c *cluster) beside(o manifest.Object, kind schema.GroupKind) map[string]manifest.Object {
	return c.objects[place{kind, placeOf(o).namespace}]
}

// beside is a review.Live of what was listed.
type beside struct {
	*cluster
	object manifest.Object
}

func (b beside) Named(kind schema.GroupKind, names ...string) map[string]manifest.Object {
	found := map[string]manifest.Object{}
	for _, name := range names {
		if o, ok := b.beside(b.object, kind)[name]; ok {
			found[name] = o
		}
	}
	return found
}

func (b beside) All(kind schema.GroupKind) []manifest.Object {
	return slices.Collect(maps.Values(b.beside(b.object, kind)))
}

// violations are the bounds that an object breaks; concerned is false for what bounds are
// not about.
func (c *cluster) violations(o manifest.Object) (found []policy.Violation, concerned bool) {
	at := placeOf(o)
	if slices.Contains(c.Excluded, at.namespace) {
		return nil, false
	}
	var d policy.Demand
	covered := false
	switch at.kind {
	case review.DeploymentKind:
		if !review.ConcernsDeployment(o, c.world(o)) {
			return nil, false
		}
		return c.deployment(o), true
	case review.ServiceKind:
		d = c.service(o)
	case review.ConfigurationKind:
		d, covered = c.configuration(o)
	case review.RouteKind:
		d, covered = c.route(o)
	case review.RevisionKind:
		d, covered = c.revision(o)
	case review.AutoscalerKind:
		d, covered = c.autoscaler(o)
	default:
		return nil, false
	}
	if covered {
		return nil, true
	}
	return c.selection(o).Audit(d), true
}

// world is what the verdict on an object depends on.
func (c *cluster) world(o manifest.Object) review.World {
	revision, _, _ := convert.RevisionOwner(o)
	return review.World{
		Policies: c.Policies, Knative: c.Knative,
		NamespaceLabels: func(name string) (map[string]string, bool) {
			labels, known := c.Namespaces[name]
			return labels, known
		},
		Revisions: c.beside(o, review.RevisionKind),
		Live:      beside{c, o},
		Cluster:   &review.Cluster{Knative: c.Served, Revision: c.beside(o, review.RevisionKind)[revision]},
	}
}

// covered tells whether an owner that was listed answers for an object, as at admission.
func (c *cluster) covered(o manifest.Object) bool {
	return review.ForObject(o, placeOf(o).namespace).Covered(c.world(o))
}

// selection is the policies that hold for an object, written by nobody in particular.
func (c *cluster) selection(o manifest.Object) policy.Selection {
	namespace := placeOf(o).namespace
	labels, known := c.Namespaces[namespace]
	return c.Policies.For(policy.Subject{Namespace: namespace, NamespaceLabels: labels, NamespaceKnown: known,
		Labels: manifest.Texts(o, "metadata", "labels")})
}

func (c *cluster) gpus() policy.GPUResources { return c.Policies.GPUResources() }

func (c *cluster) service(o manifest.Object) policy.Demand {
	return policy.ServiceDemand(o, mutate.LatestRevision(o), c.Knative, c.gpus(), c.beside(o, review.RevisionKind))
}

// deployment holds a Deployment against the bounds: the pods that it runs by itself, and
// what it is to become. The Knative Service that it became is there to be judged itself.
func (c *cluster) deployment(o manifest.Object) []policy.Violation {
	if c.covered(o) {
		return nil
	}
	d := policy.DeploymentDemand(o, c.gpus())
	_, _, claimsOwner := convert.RevisionOwner(o)
	if !mutate.ReadIntent(o).Expands() || !c.Served || claimsOwner {
		return c.selection(o).Audit(d)
	}
	if handover.Owns(o, c.beside(o, review.ServiceKind)[handover.ServiceName(o)]) {
		if d.PeakPods == 0 {
			return nil
		}
		return c.selection(o).Audit(d)
	}
	v := review.ForObject(o, placeOf(o).namespace).Convert(c.world(o), nil).Verdict
	found := slices.Concat(c.selection(o).Audit(d), v.Denied, v.Warned, v.Audited)
	return slices.DeleteFunc(found, func(x policy.Violation) bool { _, invalid := c.Policies.Invalid()[x.Policy]; return invalid })
}
