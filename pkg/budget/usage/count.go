package usage

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// All are the claims of all objects, which cluster.List has read. A child is left out only if its
// owner is there and would count it as its own (workload.Belongs), and asks for as much; what its
// pods hold beyond that is its root's.
func All(w review.World, o *cluster.Objects) []Claimant {
	w.Policies = w.Policies.WithClaims(o.Claims())
	c := &counter{w: w, gpus: w.Policies.GPUResources(), objects: o, byUID: map[string]*owner{}, revisions: index(o.Revisions), routed: map[name]bool{},
		configurationsByName: index(o.Configurations), earlier: map[int][]workload.Part{}, seen: map[int][]workload.Part{}}
	c.holders = newHolders(o, c.gpus, w.Policies.Operators())
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
	c.dropEnding()
	c.replaced()
	c.podAutoscalers()
	c.deployments()
	c.seenReplaced()
	for _, root := range c.holders.roots {
		if parts := c.holders.parts(root, true); len(parts) > 0 {
			c.addAsked(root.item, root.kind.Kind, keyOf(root.item), parts, c.holders.parts(root, false))
		}
	}
	for _, pod := range c.holders.alone {
		c.addAsked(pod.item, workload.PodKind.Kind, keyOf(pod.item), pod.parts, pod.asked)
	}
	c.resourceClaims()
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

type counter struct {
	w         review.World
	gpus      workload.GPUResources
	objects   *cluster.Objects
	claimants []Claimant

	byUID                map[string]*owner
	revisions            map[name]*cluster.Item
	configurationsByName map[name]*cluster.Item
	// routed are the revisions that traffic of any Service or Route goes to, or goes to
	// without naming them once it is sent to a Configuration: without pods now, they get
	// them back at the next request.
	routed map[name]bool
	// earlier are the superseded revisions that may have pods still, by claimant.
	earlier map[int][]workload.Part
	// seen is what the pods of these hold.
	seen    map[int][]workload.Part
	holders *holders
}

func (c *counter) add(i *cluster.Item, kind string, key ledger.Key, parts []workload.Part) int {
	return c.addAsked(i, kind, key, parts, parts)
}

func (c *counter) addAsked(i *cluster.Item, kind string, key ledger.Key, parts, asked []workload.Part) int {
	// Claims are kept for longer than what was listed.
	c.claimants = append(c.claimants, Claimant{Key: key, Kind: kind, Namespace: strings.Clone(i.Namespace), Name: strings.Clone(i.Name),
		Parts: parts, Asked: Asked{Parts: asked}})
	return len(c.claimants) - 1
}

func keyOf(i *cluster.Item) ledger.Key { return ledger.ForUID(types.UID(i.UID)) }

func (c *counter) deployments() {
	live := index(c.objects.Services)
	for i := range c.objects.Deployments {
		item := &c.objects.Deployments[i]
		o := item.Object()
		found := c.holders.byUID[item.UID]
		if found.empty() && !review.ConcernsDeployment(o, c.w) {
			continue
		}
		if found == nil || found.item != item { // of no UID, or of one that stands twice
			found = &holder{item: item, kind: workload.DeploymentKind}
		}
		if c.ofRevision(found, o) {
			continue
		}
		var service manifest.Object
		if s := live[name{item.Namespace, handover.ServiceName(o)}]; s != nil {
			service = s.Object()
		}
		d, asked := c.holders.deployment(found, 0, service), c.holders.asked(found, 0)
		if len(d.Parts)+len(d.Overlap) > 0 {
			at := c.addAsked(item, "Deployment", keyOf(item), d.Parts, asked.Parts)
			c.claimants[at].Overlap, c.claimants[at].Asked.Overlap = d.Overlap, asked.Overlap
		}
		c.plan(item, o, service)
	}
}

// plan counts the Knative Service that a Deployment is to become, for as long as there is
// none.
func (c *counter) plan(item *cluster.Item, o, live manifest.Object) {
	if !expand.ReadIntent(o).Expands() || c.w.Cluster == nil || !c.w.Cluster.Knative {
		return
	}
	if live != nil && handover.Owns(o, live) {
		return // it is counted as it is
	}
	planned, _, err := review.Become(context.Background(), c.w, item.Whole(), nil) // what was listed can be read
	if v := planned.Verdict; err == nil && planned.Service != nil && !v.Refused() && len(v.Demand.Parts) > 0 {
		c.claimants[c.add(item, "Deployment", review.PlanKey(o), v.Demand.Parts)].Plan = true
	}
}

// resourceClaims counts those that are not counted with a pod: made by hand, or left by a pod that has ended. Those
// that only wait to be gone hold nothing, however often a tenant has others made.
func (c *counter) resourceClaims() {
	pods := make(map[string]*cluster.Item, len(c.objects.ResourceClaims))
	for i := range c.objects.ResourceClaims {
		pods[c.objects.ResourceClaims[i].Controller] = nil
	}
	for i := range c.objects.Pods {
		pod := &c.objects.Pods[i]
		if _, named := pods[pod.UID]; named && pod.UID != "" {
			pods[pod.UID] = pod
		}
	}
	for i := range c.objects.ResourceClaims {
		item := &c.objects.ResourceClaims[i]
		claim := item.Object()
		if pod := pods[item.Controller]; pod != nil && c.gpus.Claims().PartOf(claim, pod.Object()) || workload.Waits(claim) {
			continue
		}
		if u := workload.ClaimUsage(claim, c.gpus); len(u.Parts) > 0 {
			c.add(item, workload.ResourceClaimKind.Kind, keyOf(item), u.Parts)
		}
	}
}
