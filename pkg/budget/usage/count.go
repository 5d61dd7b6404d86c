package usage

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
	"knative.dev/pkg/kmeta"
)

// Claimant is what one object claims. Two may have one key, a Deployment's plan and the
// Knative Service made from it: then the larger counts.
type Claimant struct {
	Key                   ledger.Key
	Namespace, Kind, Name string
	// Parts are the claim; Overlap is what replaced revisions hold that have pods still.
	Parts, Overlap []workload.Part
	// Plan is whether nothing of it is there yet: it keeps what was charged for it, and no
	// more.
	Plan bool
}

// All are the claims of all objects, which cluster.List has read. A child of a Knative
// object is left out only if the owner is there, with the UID that the child names, and
// asks for as much.
func All(w review.World, o *cluster.Objects) []Claimant {
	c := &counter{w: w, gpus: w.Policies.GPUResources(), objects: o, byUID: map[string]*owner{}, revisions: index(o.Revisions), routed: map[name]bool{},
		configurationUID: map[name]string{}, uncounted: map[string]bool{}}
	for _, items := range [][]cluster.Item{o.Services, o.Routes} {
		for i := range items {
			for _, revision := range workload.RoutedRevisions(items[i].Object()) {
				c.routed[name{items[i].Namespace, revision}] = true
			}
		}
	}
	c.services()
	c.configurations()
	c.revisionsByThemselves()
	c.podAutoscalers()
	c.deployments()
	return c.claimants
}

// name of an object of a known kind.
type name struct{ namespace, name string }

func nameOf(i *cluster.Item) name { return name{i.Namespace, i.Name} }

// index has the items by name.
func index(items []cluster.Item) map[name]*cluster.Item {
	m := make(map[name]*cluster.Item, len(items))
	for i := range items {
		m[nameOf(&items[i])] = &items[i]
	}
	return m
}

// owner is an object whose children are compared with it.
type owner struct {
	name
	kind string
	// template of a Service or a Configuration, or the Revision itself: pods and GPUs.
	template workload.Usage
	// names are the revisions that are counted already, with the latest one.
	names  map[string]bool
	latest string
	// claimant has the claim of the Service or Configuration; -1 for a Revision.
	claimant int
}

func newOwner(i *cluster.Item, o manifest.Object, kind string, template workload.Usage) *owner {
	template.Paths, template.Parts, template.Warnings = nil, nil, nil
	return &owner{name: nameOf(i), kind: kind, template: template, latest: manifest.Text(o, "status", "latestCreatedRevisionName"), claimant: -1}
}

type counter struct {
	w         review.World
	gpus      workload.GPUResources
	objects   *cluster.Objects
	claimants []Claimant

	byUID     map[string]*owner
	revisions map[name]*cluster.Item
	// configurationUID are the UIDs of Configurations.
	configurationUID map[name]string
	// routed are the revisions that traffic of any Service or Route goes to, or goes to
	// without naming them once it is sent to a Configuration: without pods now, they get
	// them back at the next request.
	routed map[name]bool
	// uncounted are the other superseded revisions without pods, by UID.
	uncounted map[string]bool
}

func (c *counter) add(i *cluster.Item, kind string, key ledger.Key, parts []workload.Part) int {
	// Claims are kept for longer than what was listed.
	c.claimants = append(c.claimants, Claimant{Key: key, Kind: kind, Namespace: strings.Clone(i.Namespace), Name: strings.Clone(i.Name), Parts: parts})
	return len(c.claimants) - 1
}

func keyOf(i *cluster.Item) ledger.Key { return ledger.ForUID(types.UID(i.UID)) }

// controller is the owner of a child, if it is there and of the kind that makes such
// children.
func (c *counter) controller(child *cluster.Item, kind string) *owner {
	if o := c.byUID[child.Controller]; o != nil && o.kind == kind && o.namespace == child.Namespace {
		return o
	}
	return nil
}

// known are the revisions that the claim of a Service or a Configuration depends on, as far
// as they are there and are wanted.
func (c *counter) known(i *cluster.Item, o manifest.Object, wanted func(*cluster.Item) bool) workload.Revisions {
	var known workload.Revisions
	for _, revision := range workload.RevisionsToRead(o) {
		if r := c.revisions[name{i.Namespace, revision}]; r != nil && wanted(r) {
			if known == nil {
				known = workload.Revisions{}
			}
			known[revision] = r.Object()
		}
	}
	return known
}

func (c *counter) services() {
	for i := range c.objects.Configurations {
		configuration := &c.objects.Configurations[i]
		c.configurationUID[nameOf(configuration)] = configuration.UID
	}
	for i := range c.objects.Services {
		item := &c.objects.Services[i]
		s := item.Object()
		controller := c.configurationUID[nameOf(item)]
		own := c.known(item, s, func(r *cluster.Item) bool { return controller != "" && r.Controller == controller })
		d := workload.ServiceUsage(s, expand.LatestRevision(s), c.w.Knative, c.gpus, own)
		// What its traffic names of others' revisions counts where it belongs, and what
		// is not there does not count.
		d.Parts = slices.DeleteFunc(d.Parts, func(p workload.Part) bool { return p.Revision != "" && own[p.Revision] == nil })
		o := newOwner(item, s, "Service", d)
		for _, name := range workload.NamedRevisions(s) {
			if o.names == nil {
				o.names = map[string]bool{}
			}
			o.names[name] = own[name] != nil
		}
		o.claimant = c.add(item, "Service", review.ServiceKey(s), d.Parts)
		c.byUID[item.UID] = o
	}
}

func (c *counter) configurations() {
	for i := range c.objects.Configurations {
		item := &c.objects.Configurations[i]
		o := item.Object()
		// Traffic to the latest revision goes to the latest that is ready, once it is sent there.
		c.routed[name{item.Namespace, manifest.Text(o, "status", "latestReadyRevisionName")}] = true
		d := workload.ConfigurationUsage(o, c.w.Knative, c.gpus, c.known(item, o, func(*cluster.Item) bool { return true }))
		mine := newOwner(item, o, "Configuration", d)
		// A Service has one Configuration, of its own name.
		if s := c.controller(item, "Service"); s != nil && s.name == mine.name && d.WithinGPUs(&s.template) {
			mine.names, mine.claimant = s.names, s.claimant
		} else {
			mine.claimant = c.add(item, "Configuration", keyOf(item), d.Parts)
		}
		c.byUID[item.UID] = mine
	}
}

// revisionsByThemselves counts the revisions that no claim has in it yet.
func (c *counter) revisionsByThemselves() {
	for i := range c.objects.Revisions {
		item := &c.objects.Revisions[i]
		r := item.Object()
		d := workload.RevisionUsage(r, c.w.Knative, c.gpus)
		of := c.controller(item, "Configuration")
		c.byUID[item.UID] = newOwner(item, r, "Revision", d)
		switch {
		case of == nil:
			c.add(item, "Revision", keyOf(item), d.Parts)
		case of.names[item.Name]: // its Service's traffic names it
		case item.Name == of.latest && d.WithinGPUs(&of.template):
		case item.Name == of.latest:
			c.add(item, "Revision", keyOf(item), d.Parts)
		case workload.AtZero(r) && !c.routed[nameOf(item)]:
			c.uncounted[item.UID] = true
		default:
			claimant := &c.claimants[of.claimant]
			claimant.Overlap = append(claimant.Overlap, d.Parts...)
		}
	}
}

func (c *counter) podAutoscalers() {
	targets := index(c.objects.Deployments)
	for i := range c.objects.PodAutoscalers {
		item := &c.objects.PodAutoscalers[i]
		p := item.Object()
		scaled := workload.ScaledDeployment(p)
		var target manifest.Object
		if t := targets[name{item.Namespace, scaled}]; t != nil {
			target = t.Object()
		}
		d := workload.AutoscalerUsage(p, target, c.w.Knative, c.gpus)
		if r := c.controller(item, "Revision"); r != nil && r.name == nameOf(item) && d.WithinGPUs(&r.template) &&
			scaled == kmeta.ChildName(item.Name, "-deployment") {
			continue
		}
		c.add(item, "PodAutoscaler", keyOf(item), d.Parts)
	}
}

func (c *counter) deployments() {
	live := index(c.objects.Services)
	for i := range c.objects.Deployments {
		item := &c.objects.Deployments[i]
		o := item.Object()
		if !review.ConcernsDeployment(o, c.w) {
			continue
		}
		d := workload.DeploymentUsage(o, workload.Controlled{}, c.gpus)
		if revision, id, ok := convert.RevisionOwner(o); ok {
			r := c.byUID[id]
			if r != nil && !c.uncounted[id] && r.kind == "Revision" && r.namespace == item.Namespace && d.WithinGPUs(&r.template) && item.Name == kmeta.ChildName(revision, "-deployment") {
				continue
			}
		}
		if len(d.Parts) > 0 {
			c.add(item, "Deployment", keyOf(item), d.Parts)
		}
		c.plan(item, o, live)
	}
}

// plan counts the Knative Service that a Deployment is to become, for as long as there is
// none.
func (c *counter) plan(item *cluster.Item, o manifest.Object, live map[name]*cluster.Item) {
	if !expand.ReadIntent(o).Expands() || c.w.Cluster == nil || !c.w.Cluster.Knative {
		return
	}
	if s := live[name{item.Namespace, handover.ServiceName(o)}]; s != nil && handover.Owns(o, s.Object()) {
		return // it is counted as it is
	}
	service, verdict, _ := review.Become(c.w, item.Whole(), nil)
	if service != nil && !verdict.Refused() && len(verdict.Demand.Parts) > 0 {
		c.claimants[c.add(item, "Deployment", review.PlanKey(o), verdict.Demand.Parts)].Plan = true
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
