package audit

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// place is where the objects of one kind and namespace are.
type place struct {
	kind      schema.GroupKind
	namespace string
}

// indexed is the input, by place and name.
type indexed struct {
	Listing
	objects map[place]map[string]*cluster.Item
	// named are the revisions that traffic of a Service or a Route names, by namespace.
	named map[string]map[string]bool
}

func index(in Listing) *indexed {
	c := &indexed{Listing: in, objects: map[place]map[string]*cluster.Item{}, named: map[string]map[string]bool{}}
	for i := range in.Objects {
		item := &in.Objects[i]
		o := item.Object()
		at := placeOf(o)
		if c.objects[at] == nil {
			c.objects[at] = map[string]*cluster.Item{}
		}
		c.objects[at][item.Name] = item
		if at.kind != review.ServiceKind && at.kind != review.RouteKind {
			continue
		}
		for _, name := range workload.NamedRevisions(o) {
			if c.named[at.namespace] == nil {
				c.named[at.namespace] = map[string]bool{}
			}
			c.named[at.namespace][name] = true
		}
	}
	c.Policies = in.Policies.WithClaims(c.claims())
	return c
}

// GPUResources are what counts as GPUs, the resource claims of the objects' pods among them.
func (in *Listing) GPUResources() workload.GPUResources { return index(*in).gpus() }

// claims are what resource claims of pods are counted by.
func (c *indexed) claims() *workload.ClaimIndex {
	of := map[schema.GroupKind][]manifest.Object{}
	for at, items := range c.objects {
		if at.kind != workload.ResourceClaimKind && at.kind != workload.ResourceClaimTemplateKind {
			continue
		}
		for _, item := range items {
			of[at.kind] = append(of[at.kind], item.Object())
		}
	}
	claims := workload.NewClaims(of[workload.ResourceClaimTemplateKind], of[workload.ResourceClaimKind])
	claims.AdminAccess = func(namespace string) bool { return workload.AdminAccess(c.Namespaces[namespace]) }
	return claims
}

func placeOf(o manifest.Object) place {
	gv, _ := schema.ParseGroupVersion(manifest.Text(o, "apiVersion")) // what cannot be read is of no kind
	return place{schema.GroupKind{Group: gv.Group, Kind: manifest.Text(o, "kind")}, manifest.Text(o, "metadata", "namespace")}
}

// beside are those objects of a kind in the namespace of another that have one of the names.
func (c *indexed) beside(o manifest.Object, kind schema.GroupKind, names ...string) map[string]manifest.Object {
	var found map[string]manifest.Object
	there := c.objects[place{kind, placeOf(o).namespace}]
	for _, name := range names {
		if item := there[name]; item != nil {
			if found == nil {
				found = map[string]manifest.Object{}
			}
			found[name] = item.Object()
		}
	}
	return found
}

// one is the object of a kind and a name in the namespace of another; nil where there is
// none.
func (c *indexed) one(o manifest.Object, kind schema.GroupKind, name string) manifest.Object {
	return c.beside(o, kind, name)[name]
}

// listedReader is a cluster.Reader of what was listed.
type listedReader struct{ *indexed }

func (b listedReader) Get(_ context.Context, kind schema.GroupKind, namespace, name string) (manifest.Object, error) {
	if item := b.objects[place{kind, namespace}][name]; item != nil {
		return item.Object(), nil
	}
	return nil, nil
}

func (b listedReader) List(_ context.Context, kind schema.GroupKind, namespace string, selector labels.Selector) ([]manifest.Object, error) {
	var all []manifest.Object
	for _, item := range b.objects[place{kind, namespace}] {
		if o := item.Object(); selector.Matches(labels.Set(manifest.Texts(o, "metadata", "labels"))) {
			all = append(all, o)
		}
	}
	return all, nil
}

// violations are the bounds that an object breaks; concerned is false for what bounds are
// not about.
func (c *indexed) violations(item *cluster.Item) (o manifest.Object, found []policy.Violation, concerned bool) {
	if slices.Contains(c.Excluded, item.Namespace) {
		return nil, nil, false
	}
	o = item.Object()
	at := placeOf(o)
	var d workload.Usage
	covered := false
	switch at.kind {
	case review.DeploymentKind:
		if !review.ConcernsDeployment(o, c.world(o)) {
			return o, nil, false
		}
		return o, c.deployment(item, o), true
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
	case workload.HorizontalPodAutoscalerKind:
		return o, c.raised(o), true
	case workload.LimitRangeKind:
		d = workload.LimitRangeUsage(o)
		if len(d.GPUs.Unknown) == 0 {
			return o, nil, false
		}
	default:
		var concerned bool
		if d, covered, concerned = c.pods(o, at.kind); !concerned {
			return o, nil, false
		}
	}
	if covered {
		return o, nil, true
	}
	return o, c.selection(o).Audit(d), true
}

// world is what the verdict on an object depends on.
func (c *indexed) world(o manifest.Object) review.World {
	var revision manifest.Object
	if name, _, ok := convert.RevisionOwner(o); ok {
		revision = c.one(o, review.RevisionKind, name)
	}
	return review.World{
		Policies: c.Policies, Knative: c.Knative,
		NamespaceLabels: func(name string) (map[string]string, bool) {
			labels, known := c.Namespaces[name]
			return labels, known
		},
		Live:    listedReader{c},
		Cluster: &review.Cluster{Knative: c.Served, Revision: revision},
	}
}

// covered tells whether an owner that was listed answers for an object, as at admission.
func (c *indexed) covered(o manifest.Object) bool {
	covered, _ := review.ForObject(o, placeOf(o).namespace).Covered(context.Background(), c.world(o)) // what was listed can be read
	return covered
}

// selection is the policies that hold for an object, written by nobody in particular.
func (c *indexed) selection(o manifest.Object) policy.Selection {
	namespace := placeOf(o).namespace
	labels, known := c.Namespaces[namespace]
	return c.Policies.For(policy.Subject{Namespace: namespace, NamespaceLabels: labels, NamespaceKnown: known,
		Labels: manifest.Texts(o, "metadata", "labels")})
}

// selecting are the policies that hold for an object: of a HorizontalPodAutoscaler, for what it scales.
func (c *indexed) selecting(o manifest.Object) []string {
	if placeOf(o).kind == workload.HorizontalPodAutoscalerKind {
		ref := workload.AutoscalerTarget(o)
		if o = c.one(o, ref.GroupKind, ref.Name); o == nil {
			return nil
		}
	}
	return c.selection(o).Selecting()
}

func (c *indexed) gpus() workload.GPUResources { return c.Policies.GPUResources() }

func (c *indexed) service(o manifest.Object) workload.Usage {
	return workload.ServiceUsage(o, expand.LatestRevision(o), c.Knative, c.gpus(), c.beside(o, review.RevisionKind, workload.RevisionsToRead(o)...))
}

// deployment holds a Deployment against the bounds: the pods that it runs by itself, and
// what it is to become. The Knative Service that it became is there to be judged itself.
func (c *indexed) deployment(item *cluster.Item, o manifest.Object) []policy.Violation {
	if c.covered(o) {
		return nil
	}
	d := workload.DeploymentUsage(o, workload.Controlled{}, c.gpus())
	_, _, claimsOwner := convert.RevisionOwner(o)
	if !expand.ReadIntent(o).Expands() || !c.Served || claimsOwner {
		return c.selection(o).Audit(d)
	}
	if handover.Owns(o, c.one(o, review.ServiceKind, handover.ServiceName(o))) {
		if d.PeakPods == 0 {
			return nil
		}
		return c.selection(o).Audit(d)
	}
	v := review.ForObject(item.Whole(), item.Namespace).Plan(c.world(o)).Verdict
	found := slices.Concat(c.selection(o).Audit(d), v.Denied, v.Warned, v.Audited)
	return slices.DeleteFunc(found, func(x policy.Violation) bool { _, invalid := c.Policies.Invalid()[x.Policy]; return invalid })
}
