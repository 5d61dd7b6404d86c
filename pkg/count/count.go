package count

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/controller/handover"
	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/inventory"
	"github.com/kubetorch/webhook/pkg/ledger"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/mutate"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"knative.dev/pkg/kmeta"
)

// Claimant is what one object claims. Two may have one key, a Deployment's plan and the
// Knative Service made from it: then the larger counts.
type Claimant struct {
	Key                   ledger.Key
	Namespace, Kind, Name string
	// Parts are the claim; Overlap is what replaced revisions hold that have pods still.
	Parts, Overlap []policy.Part
	// Plan is whether nothing of it is there yet: it keeps what was charged for it, and no
	// more.
	Plan bool
}

// All are the claims of all objects, which inventory.List has read. A child of a Knative
// object is left out only if the owner is there, with the UID that the child names, and
// asks for as much.
func All(w review.World, o *inventory.Objects) []Claimant {
	c := &counter{w: w, gpus: w.Policies.GPUResources(), objects: o, byUID: map[string]*owner{}, revisions: map[string]policy.Revisions{}, routed: map[string]bool{}, configurationUID: map[string]string{}, controlled: map[string]policy.Revisions{}, uncounted: map[string]bool{}}
	for _, r := range o.Revisions {
		namespace := manifest.Text(r, "metadata", "namespace")
		if c.revisions[namespace] == nil {
			c.revisions[namespace] = policy.Revisions{}
		}
		c.revisions[namespace][manifest.Text(r, "metadata", "name")] = r
		if owner := handover.ControllerOf(r).UID; owner != "" {
			if c.controlled[owner] == nil {
				c.controlled[owner] = policy.Revisions{}
			}
			c.controlled[owner][manifest.Text(r, "metadata", "name")] = r
		}
	}
	for _, o := range slices.Concat(o.Services, o.Routes) {
		for _, name := range policy.RoutedRevisions(o) {
			c.routed[manifest.Text(o, "metadata", "namespace")+"/"+name] = true
		}
	}
	for _, o := range o.Configurations {
		c.configurationUID[manifest.Text(o, "metadata", "namespace")+"/"+manifest.Text(o, "metadata", "name")] = uid(o)
		// Traffic to the latest revision goes to the latest that is ready, once it is sent there.
		c.routed[manifest.Text(o, "metadata", "namespace")+"/"+manifest.Text(o, "status", "latestReadyRevisionName")] = true
	}
	c.services()
	c.configurations()
	c.revisionsByThemselves()
	c.podAutoscalers()
	c.deployments()
	return c.claimants
}

// owner is an object whose children are compared with it.
type owner struct {
	// template of a Service or a Configuration, or the Revision itself.
	template policy.Demand
	// names are the revisions that are counted already, with the latest one.
	names  map[string]bool
	latest string
	// claimant has the claim of the Service or Configuration; -1 for a Revision.
	claimant              int
	kind, namespace, name string
}

func newOwner(o manifest.Object, kind string, template policy.Demand) *owner {
	return &owner{template: template, names: map[string]bool{}, latest: manifest.Text(o, "status", "latestCreatedRevisionName"), claimant: -1,
		kind: kind, namespace: manifest.Text(o, "metadata", "namespace"), name: manifest.Text(o, "metadata", "name")}
}

type counter struct {
	w         review.World
	gpus      policy.GPUResources
	objects   *inventory.Objects
	claimants []Claimant

	byUID     map[string]*owner
	revisions map[string]policy.Revisions // by namespace
	// controlled are the revisions by the UID of their controller.
	controlled map[string]policy.Revisions
	// configurationUID are the UIDs of Configurations, by namespace and name.
	configurationUID map[string]string
	// routed are the revisions that traffic of any Service or Route goes to, or goes to
	// without naming them once it is sent to a Configuration, by namespace and name: without
	// pods now, they get them back at the next request.
	routed map[string]bool
	// uncounted are the other superseded revisions without pods, by UID.
	uncounted map[string]bool
}

func (c *counter) add(o manifest.Object, kind string, key ledger.Key, parts []policy.Part) int {
	c.claimants = append(c.claimants, Claimant{Key: key, Kind: kind, Namespace: manifest.Text(o, "metadata", "namespace"),
		Name: manifest.Text(o, "metadata", "name"), Parts: parts})
	return len(c.claimants) - 1
}

func uid(o manifest.Object) string { return manifest.Text(o, "metadata", "uid") }

// controller is the owner of a child, if it is there and of the kind that makes such
// children.
func (c *counter) controller(child manifest.Object, kind string) *owner {
	if o := c.byUID[handover.ControllerOf(child).UID]; o != nil && o.kind == kind && o.namespace == manifest.Text(child, "metadata", "namespace") {
		return o
	}
	return nil
}

func (c *counter) services() {
	for _, s := range c.objects.Services {
		latest := mutate.LatestRevision(s)
		own := c.own(s)
		d := policy.ServiceDemand(s, latest, c.w.Knative, c.gpus, own)
		// What its traffic names of others' revisions counts where it belongs, and what
		// is not there does not count.
		d.Parts = slices.DeleteFunc(d.Parts, func(p policy.Part) bool { return p.Revision != "" && own[p.Revision] == nil })
		o := newOwner(s, "Service", d)
		for _, name := range policy.NamedRevisions(s) {
			o.names[name] = own[name] != nil
		}
		o.claimant = c.add(s, "Service", review.ServiceKey(s), d.Parts)
		c.byUID[uid(s)] = o
	}
}

// own are the revisions that the Configuration of a Service controls.
func (c *counter) own(service manifest.Object) policy.Revisions {
	return c.controlled[c.configurationUID[manifest.Text(service, "metadata", "namespace")+"/"+manifest.Text(service, "metadata", "name")]]
}

func (c *counter) configurations() {
	for _, o := range c.objects.Configurations {
		d := policy.ConfigurationDemand(o, c.w.Knative, c.gpus, c.revisions[manifest.Text(o, "metadata", "namespace")])
		mine := newOwner(o, "Configuration", d)
		// A Service has one Configuration, of its own name.
		if s := c.controller(o, "Service"); s != nil && s.name == mine.name && d.WithinGPUs(&s.template) {
			mine.names, mine.claimant = s.names, s.claimant
		} else {
			mine.claimant = c.add(o, "Configuration", ledger.ForUID(types.UID(uid(o))), d.Parts)
		}
		c.byUID[uid(o)] = mine
	}
}

// revisionsByThemselves counts the revisions that no claim has in it yet.
func (c *counter) revisionsByThemselves() {
	for _, r := range c.objects.Revisions {
		d := policy.RevisionDemand(r, c.w.Knative, c.gpus)
		name := manifest.Text(r, "metadata", "name")
		of := c.controller(r, "Configuration")
		c.byUID[uid(r)] = newOwner(r, "Revision", d)
		switch {
		case of == nil:
			c.add(r, "Revision", ledger.ForUID(types.UID(uid(r))), d.Parts)
		case of.names[name]: // its Service's traffic names it
		case name == of.latest && d.WithinGPUs(&of.template):
		case name == of.latest:
			c.add(r, "Revision", ledger.ForUID(types.UID(uid(r))), d.Parts)
		case policy.AtZero(r) && !c.routed[manifest.Text(r, "metadata", "namespace")+"/"+name]:
			c.uncounted[uid(r)] = true
		default:
			claimant := &c.claimants[of.claimant]
			claimant.Overlap = append(claimant.Overlap, d.Parts...)
		}
	}
}

func (c *counter) podAutoscalers() {
	targets := map[string]manifest.Object{}
	for _, d := range c.objects.Deployments {
		targets[manifest.Text(d, "metadata", "namespace")+"/"+manifest.Text(d, "metadata", "name")] = d
	}
	for _, p := range c.objects.PodAutoscalers {
		target := targets[manifest.Text(p, "metadata", "namespace")+"/"+policy.ScaledDeployment(p)]
		d := policy.AutoscalerDemand(p, target, c.w.Knative, c.gpus)
		if r := c.controller(p, "Revision"); r != nil && r.name == manifest.Text(p, "metadata", "name") && d.WithinGPUs(&r.template) &&
			policy.ScaledDeployment(p) == kmeta.ChildName(r.name, "-deployment") {
			continue
		}
		c.add(p, "PodAutoscaler", ledger.ForUID(types.UID(uid(p))), d.Parts)
	}
}

func (c *counter) deployments() {
	live := map[string]manifest.Object{}
	for _, s := range c.objects.Services {
		live[manifest.Text(s, "metadata", "namespace")+"/"+manifest.Text(s, "metadata", "name")] = s
	}
	for _, o := range c.objects.Deployments {
		if !review.ConcernsDeployment(o, c.w) {
			continue
		}
		d := policy.DeploymentDemand(o, c.gpus)
		if name, id, ok := convert.RevisionOwner(o); ok {
			r := c.byUID[id]
			if r != nil && !c.uncounted[id] && r.kind == "Revision" && r.namespace == manifest.Text(o, "metadata", "namespace") && d.WithinGPUs(&r.template) && manifest.Text(o, "metadata", "name") == kmeta.ChildName(name, "-deployment") {
				continue
			}
		}
		if len(d.Parts) > 0 {
			c.add(o, "Deployment", ledger.ForUID(types.UID(uid(o))), d.Parts)
		}
		c.plan(o, live)
	}
}

// plan counts the Knative Service that a Deployment is to become, for as long as there is
// none.
func (c *counter) plan(o manifest.Object, live map[string]manifest.Object) {
	if !mutate.ReadIntent(o).Expands() || c.w.Cluster == nil || !c.w.Cluster.Knative {
		return
	}
	name := handover.ServiceName(o)
	if s := live[manifest.Text(o, "metadata", "namespace")+"/"+name]; s != nil && handover.Owns(o, s) {
		return // it is counted as it is
	}
	service, verdict, _ := review.Become(c.w, o, nil)
	if service != nil && !verdict.Refused() && len(verdict.Demand.Parts) > 0 {
		c.claimants[c.add(o, "Deployment", review.PlanKey(o), verdict.Demand.Parts)].Plan = true
	}
}

// Claims are the claims that count for a budget, in the namespaces that it selects, and the
// plans that keep what was charged for them.
func Claims(all []Claimant, b *policy.Budget, namespaces map[string]map[string]string) (claims, plans ledger.Claims) {
	claims, plans = ledger.Claims{}, ledger.Claims{}
	selected := map[string]bool{}
	for i := range all {
		c := &all[i]
		labels, known := namespaces[c.Namespace]
		selects, decided := selected[c.Namespace]
		if !decided {
			selects = b.Selects(c.Namespace, labels, known)
			selected[c.Namespace] = selects
		}
		a := ledger.Amount{GPUs: b.Claim(c.Parts), Overlap: b.Claim(c.Overlap)}
		if !selects || a == (ledger.Amount{}) {
			continue
		}
		into := claims
		if c.Plan {
			into = plans
		}
		if into[c.Namespace] == nil {
			into[c.Namespace] = map[ledger.Key]ledger.Amount{}
		}
		into[c.Namespace][c.Key] = into[c.Namespace][c.Key].Max(a)
	}
	return claims, plans
}
