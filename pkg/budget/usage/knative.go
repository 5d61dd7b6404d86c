package usage

import (
	"cmp"
	"slices"

	"knative.dev/pkg/kmeta"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// owner is an object whose children are compared with it.
type owner struct {
	name
	kind   string
	object manifest.Object
	// template of a Service or a Configuration, or the Revision itself: pods and GPUs.
	template workload.Usage
	// names are the revisions that are counted already, with the latest one.
	names  map[string]bool
	latest string
	// merged is the revision whose pods are those of the template: of a Service and its Configuration
	// there is one.
	merged *string
	// claimant has the claim of the Service or Configuration, or that which has a Revision's.
	claimant int
	// empty is whether a Revision was seen without pods, and nothing sends any to it.
	empty bool
	// superseded is whether a Revision's claim hangs on what statuses say of it, and replaced whether it is
	// the overlap of what replaced it.
	superseded, replaced bool
	// apart is whether a Revision counts by itself though it was part of something else when it was admitted, which
	// has a claim of its own: what its pods hold is all that raises its entry.
	apart bool
}

func newOwner(i *cluster.Item, o manifest.Object, kind string, template workload.Usage) *owner {
	template.Paths, template.Parts, template.Warnings = nil, nil, nil
	return &owner{name: nameOf(i), kind: kind, object: o, template: template, merged: new(string),
		latest: manifest.Text(o, "status", "latestCreatedRevisionName"), claimant: -1}
}

// controller is the owner that a child belongs to, if it is there.
func (c *counter) controller(i *cluster.Item, child manifest.Object) *owner {
	if o := c.byUID[i.Controller]; o != nil && workload.Belongs(child, o.object) {
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
	for i := range c.objects.Services {
		item := &c.objects.Services[i]
		s := item.Object()
		configuration := c.configurationsByName[nameOf(item)]
		own := c.known(item, s, func(r *cluster.Item) bool {
			return configuration != nil && configuration.UID != "" && r.Controller == configuration.UID
		})
		d := workload.ServiceUsage(s, latestOf(s, configuration), c.w.Knative, c.gpus, own)
		// What its traffic names of others' revisions counts where it belongs, and what
		// is not there does not count.
		d.Parts = slices.DeleteFunc(d.Parts, func(p workload.Part) bool { return p.Revision != "" && own[p.Revision] == nil })
		o := newOwner(item, s, "Service", d)
		*o.merged = d.Merged
		for _, name := range workload.NamedRevisions(s) {
			if o.names == nil {
				o.names = map[string]bool{}
			}
			o.names[name] = own[name] != nil
		}
		o.claimant = c.addAsked(item, "Service", review.ServiceKey(s), d.Parts, askedOf(s, d.Parts))
		c.byUID[item.UID] = o
	}
}

// latestOf is the revision that a Service's template made. Its Configuration tells by its generation, which nobody can
// write, also while the Service's status, which a tenant may write, does not tell.
func latestOf(service manifest.Object, configuration *cluster.Item) string {
	var made manifest.Object
	if configuration != nil {
		made = configuration.Object()
	}
	return review.LatestMade(service, made)
}

// askedOf are the parts of a Service's claim without those of revisions that only its status names, which
// a tenant may write.
func askedOf(service manifest.Object, parts []workload.Part) []workload.Part {
	named := map[string]bool{}
	for _, t := range manifest.Objects(service, "spec", "traffic") {
		named[manifest.Text(t, "revisionName")] = true
	}
	only := func(p workload.Part) bool { return p.Revision != "" && !named[p.Revision] }
	if !slices.ContainsFunc(parts, only) {
		return parts
	}
	return slices.DeleteFunc(slices.Clone(parts), only)
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
		if s := c.controller(item, o); s != nil && d.WithinGPUs(&s.template) {
			mine.names, mine.claimant, mine.merged = s.names, s.claimant, s.merged
		} else {
			mine.claimant = c.add(item, "Configuration", keyOf(item), d.Parts)
		}
		c.byUID[item.UID] = mine
	}
}

// revisionsByThemselves counts the revisions that no claim has in it yet. One of them is what the
// latest template made: the one whose name traffic has, or the one that the status calls the latest.
func (c *counter) revisionsByThemselves() {
	runs := map[string]bool{} // by UID: whether a Deployment says that it is of a revision
	for i := range c.objects.Deployments {
		runs[c.objects.Deployments[i].Controller] = true
	}
	for i := range c.objects.Revisions {
		item := &c.objects.Revisions[i]
		r := item.Object()
		d := workload.RevisionUsage(r, c.w.Knative, c.gpus)
		of := c.controller(item, r)
		mine := newOwner(item, r, "Revision", d)
		c.byUID[item.UID] = mine
		if of != nil {
			mine.claimant = of.claimant
		}
		latest := of != nil && item.Name == of.latest && (*of.merged == "" || *of.merged == item.Name)
		switch {
		case of == nil && isDeleted(r) && !runs[item.UID]:
			mine.claimant = c.add(item, "Revision", keyOf(item), nil) // Knative makes no pods for it any more
		case of == nil:
			// Its Service was charged with it, for what others had not, or with nothing, if it was superseded and had
			// no pods. One that somebody wrote has the entry that it was charged with.
			mine.apart, mine.claimant = true, c.addAsked(item, "Revision", keyOf(item), d.Parts, nil)
		case of.names[item.Name]: // its Service's traffic names it
		case latest && d.WithinGPUs(&of.template):
			*of.merged = item.Name
		case latest: // of an earlier template, or by a status only
			mine.apart, mine.claimant = true, c.addAsked(item, "Revision", keyOf(item), d.Parts, nil)
		case workload.AtZero(r) && !c.routed[nameOf(item)]:
			mine.empty = true // but for what its Deployment says
		case d.Class != parameter.KPA || !c.w.Knative.ScaleToZero():
			// It keeps pods for as long as it is there.
			claimant := &c.claimants[of.claimant]
			claimant.Parts = append(slices.Clip(claimant.Parts), d.Parts...)
			mine.superseded = true
		case len(d.Parts) > 0:
			mine.superseded, mine.replaced = true, true
			c.earlier[of.claimant] = append(c.earlier[of.claimant], d.Parts...)
		}
	}
}

func isDeleted(o manifest.Object) bool {
	return manifest.Text(o, "metadata", "deletionTimestamp") != ""
}

// dropEnding takes the claim of their templates from Services and Configurations that are being deleted, if no revision
// has its pods: Knative makes nothing for them any more. They may wait for a finalizer for as long as a tenant
// likes, and what was below them has left them, and counts by itself. Nothing replaced the earlier revisions that they
// still have, so that these are no overlap.
func (c *counter) dropEnding() {
	ending := func(o *owner) bool {
		return o != nil && isDeleted(o.object) && *o.merged == ""
	}
	dropped := map[int]bool{}
	drop := func(o *owner) {
		own := func(p workload.Part) bool { return p.Revision == "" }
		claimant := &c.claimants[o.claimant]
		claimant.Parts = append(slices.DeleteFunc(slices.Clone(claimant.Parts), own), c.earlier[o.claimant]...)
		claimant.Asked.Parts = slices.DeleteFunc(slices.Clone(claimant.Asked.Parts), own)
		delete(c.earlier, o.claimant)
		dropped[o.claimant] = true
	}
	goesOn := map[int]bool{} // whether a Configuration that is not being deleted has a claim with its Service
	for i := range c.objects.Configurations {
		o := c.byUID[c.objects.Configurations[i].UID]
		switch {
		case o == nil:
		case !ending(o):
			goesOn[o.claimant] = true
		case c.claimants[o.claimant].Kind == o.kind:
			drop(o)
		}
	}
	for i := range c.objects.Services {
		if o := c.byUID[c.objects.Services[i].UID]; ending(o) && !goesOn[o.claimant] {
			drop(o)
		}
	}
	for i := range c.objects.Revisions {
		if r := c.byUID[c.objects.Revisions[i].UID]; r != nil && dropped[r.claimant] {
			r.replaced = false
		}
	}
}

// seenReplaced splits what the pods of superseded revisions hold like what these claim.
func (c *counter) seenReplaced() {
	for at, parts := range c.seen {
		slices.SortStableFunc(parts, func(a, b workload.Part) int { return cmp.Compare(b.GPUs, a.GPUs) })
		asked := &c.claimants[at].Asked
		asked.Overlap = append(slices.Clip(asked.Overlap), parts[0])
		asked.Parts = append(slices.Clip(asked.Parts), parts[1:]...)
	}
}

// replaced counts the superseded revisions that may have pods still. The largest of a workload overlaps
// with what replaced it; if there are more, the others are claims: no more than one rollout at a time
// is beside the budget.
func (c *counter) replaced() {
	for at, parts := range c.earlier {
		slices.SortStableFunc(parts, func(a, b workload.Part) int { return cmp.Compare(b.GPUs, a.GPUs) })
		claimant := &c.claimants[at]
		claimant.Overlap = append(claimant.Overlap, parts[0])
		claimant.Parts = append(slices.Clip(claimant.Parts), parts[1:]...)
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
		if r := c.controller(item, p); r != nil && d.WithinGPUs(&r.template) && scaled == kmeta.ChildName(item.Name, "-deployment") {
			continue
		}
		c.addAsked(item, "PodAutoscaler", keyOf(item), d.Parts, nil) // it was charged when it was written
	}
}

// ofRevision counts the Deployment of a Revision, if it is one: what it and its pods hold beyond the
// Revision's claim.
func (c *counter) ofRevision(found *holder, o manifest.Object) bool {
	r := c.controller(found.item, o)
	d := workload.DeploymentUsage(o, workload.Controlled{}, c.gpus)
	if r == nil || !d.WithinGPUs(&r.template) {
		return false
	}
	if r.empty {
		// What it holds is not what a rollout leaves behind: nothing is to run there.
		d = c.holders.deployment(found, 0, nil)
		asked := c.holders.asked(found, 0)
		c.claimants[r.claimant].plus(d.Parts, d.Overlap, Asked{asked.Parts, asked.Overlap})
		return true
	}
	d = c.holders.deployment(found, r.template.PeakPods, nil)
	claimed := workload.SaturatingMul(r.template.GPUs.PerPod, r.template.PeakPods)
	claimant := &c.claimants[r.claimant]
	if r.apart {
		claimant.plus(beyond(d, claimed), d.Overlap, Asked{Parts: c.holders.seen(found)})
		return true
	}
	if r.superseded {
		claimant.plus(beyond(d, claimed), d.Overlap, Asked{})
		c.seeReplaced(r, c.holders.asked(found, 0))
		return true
	}
	asked := c.holders.asked(found, r.template.PeakPods)
	claimant.plus(beyond(d, claimed), d.Overlap, Asked{beyond(asked, claimed), asked.Overlap})
	return true
}

// seeReplaced counts what the pods of a superseded revision hold.
func (c *counter) seeReplaced(revision *owner, held workload.Usage) {
	if revision.replaced && len(held.Parts) > 0 {
		c.seen[revision.claimant] = append(c.seen[revision.claimant], held.Parts...)
		held.Parts = nil
	}
	c.claimants[revision.claimant].plus(nil, nil, Asked{held.Parts, held.Overlap})
}

// beyond is what of a usage is more than was claimed.
func beyond(d workload.Usage, claimed int64) []workload.Part {
	if more := d.Claim - claimed; more > 0 && len(d.Parts) > 0 {
		return []workload.Part{{GPUs: more, Type: d.Parts[0].Type}}
	}
	return nil
}
