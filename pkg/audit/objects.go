package audit

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"knative.dev/pkg/kmeta"

	"github.com/kubetorch/webhook/pkg/controller/handover"
	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/mutate"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// The kinds that bounds are about.
var (
	deployments    = schema.GroupKind{Group: "apps", Kind: "Deployment"}
	services       = schema.GroupKind{Group: "serving.knative.dev", Kind: "Service"}
	configurations = schema.GroupKind{Group: "serving.knative.dev", Kind: "Configuration"}
	routes         = schema.GroupKind{Group: "serving.knative.dev", Kind: "Route"}
	revisions      = schema.GroupKind{Group: "serving.knative.dev", Kind: "Revision"}
	autoscalers    = schema.GroupKind{Group: "autoscaling.internal.knative.dev", Kind: "PodAutoscaler"}
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

// owner is the listed object of a kind that controls another, by UID; nil where there is
// none. What an object says of itself counts only as far as the owner is there.
func (c *cluster) owner(o manifest.Object, kind schema.GroupKind) manifest.Object {
	named := handover.ControllerOf(o)
	gv, err := schema.ParseGroupVersion(named.Version)
	if err != nil || gv.Group != kind.Group || named.Kind != kind.Kind || named.UID == "" {
		return nil
	}
	if found := c.beside(o, kind)[named.Name]; manifest.Text(found, "metadata", "uid") == named.UID {
		return found
	}
	return nil
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
	case deployments:
		if !review.ConcernsDeployment(o, c.world()) {
			return nil, false
		}
		return c.deployment(o), true
	case services:
		d = c.service(o)
	case configurations:
		d, covered = c.configuration(o)
	case routes:
		d, covered = c.route(o)
	case revisions:
		d, covered = c.revision(o)
	case autoscalers:
		d, covered = c.autoscaler(o)
	default:
		return nil, false
	}
	if covered {
		return nil, true
	}
	return c.selection(o).Audit(d), true
}

func (c *cluster) world() review.World {
	return review.World{Policies: c.Policies, Knative: c.Knative, NamespaceLabels: func(name string) (map[string]string, bool) {
		labels, known := c.Namespaces[name]
		return labels, known
	}}
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
	return policy.ServiceDemand(o, mutate.LatestRevision(o), c.Knative, c.gpus(), c.beside(o, revisions))
}

// deployment holds a Deployment against the bounds: the pods that it runs by itself, and
// what it is to become. The Knative Service that it became is there to be judged itself.
func (c *cluster) deployment(o manifest.Object) []policy.Violation {
	d := policy.DeploymentDemand(o, c.gpus())
	if r := c.owner(o, revisions); r != nil && manifest.Text(o, "metadata", "name") == kmeta.ChildName(manifest.Text(r, "metadata", "name"), "-deployment") {
		admitted := policy.RevisionDemand(r, c.Knative, c.gpus())
		if d.Within(&admitted) {
			return nil
		}
		return c.selection(o).Audit(d)
	}
	_, _, claimsOwner := convert.RevisionOwner(o)
	if !mutate.ReadIntent(o).Expands() || !c.Served || claimsOwner {
		return c.selection(o).Audit(d)
	}
	if handover.Owns(o, c.beside(o, services)[handover.ServiceName(o)]) {
		if d.PeakPods == 0 {
			return nil
		}
		return c.selection(o).Audit(d)
	}
	v := review.ForObject(o, placeOf(o).namespace).Convert(c.world(), nil).Verdict
	found := slices.Concat(c.selection(o).Audit(d), v.Denied, v.Warned, v.Audited)
	return slices.DeleteFunc(found, func(x policy.Violation) bool { _, invalid := c.Policies.Invalid()[x.Policy]; return invalid })
}
