package review

import (
	"context"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Claim is what the object of a request holds of budgets under one key.
type Claim struct {
	Key  ledger.Key
	Kind string
	// New is what it claims once it is stored as asked, Old what it claimed before.
	New, Old []workload.Part
	// Overlap is what the pods hold that the update replaces, until they are gone.
	Overlap []workload.Part
	// Demand is where New comes from; Unknown are requests in it that cannot be counted
	// and were not there before.
	Demand  workload.Usage
	Unknown field.ErrorList
	// Held is whether New is all that the entry has to hold, its overlap included: what a root needs
	// for a Pod that its controller makes. Settled is whether that is no more than the root was
	// admitted with.
	Held, Settled bool
	// Beyond is whether the ledger as a whole has to have room, even where the entry holds as much already.
	Beyond bool
	// Name of the object whose entry it is; that of the request's object if it is empty.
	Name string
	// was is the demand of the stored object where bounds are judged by what it claims.
	was workload.Usage
	// service is the expanded Knative Service that claims it; nil for what is none.
	service manifest.Object
	// written has what the author wrote where the object was made from something else.
	written *Request
}

// Rises tells whether the claims ask anything of a ledger: one rises, cannot be counted, or
// replaces pods that hold GPUs still.
func Rises(claims []Claim) bool {
	return Grows(claims) || slices.ContainsFunc(claims, func(c Claim) bool { return len(c.Overlap) > 0 || c.Held })
}

// Grows tells whether any of the claims itself rises, or cannot be counted.
func Grows(claims []Claim) bool {
	return slices.ContainsFunc(claims, func(c Claim) bool {
		return !c.Settled && (total(c.New) > total(c.Old) || len(c.Unknown) > 0 || changesType(c))
	})
}

// changesType tells whether more GPUs of some type are claimed than before.
func changesType(c Claim) bool { return workload.ChangesType(c.New, c.Old) }

func total(parts []workload.Part) int64 { return workload.Sum(parts) }

// Claims are what a budget has to count for the object of a request, as it is going to be
// stored. A child that a verified owner answers for claims nothing of its own.
func (r *Request) Claims(ctx context.Context, w World) ([]Claim, error) {
	switch {
	case r.isPolicy(), r.asksTheSame():
		return nil, nil
	case r.isOperatedStatus():
		return r.finishClaims(w), nil
	case r.raw.SubResource == "status" && r.of != DeploymentKind:
		return append(r.statusClaims(w), r.podClaims(w)...), nil
	case r.isDeployment():
		return r.deploymentClaims(ctx, w)
	case r.hasPods():
		return r.podClaims(w), nil
	case r.isOperated():
		return r.operatedClaims(w), nil
	case r.of == workload.HorizontalPodAutoscalerKind:
		if row, ok := r.operators.For(workload.KindOf(r.related.target)); ok && !row.Charged() {
			return nil, nil // what is made of it is charged
		}
		return r.targetClaims(w), nil
	case r.of == workload.LimitRangeKind:
		return r.limitRangeClaims(), nil
	case r.of == workload.ResourceClaimTemplateKind:
		return r.templateClaims(), nil
	case r.isChild():
		return r.childClaims(ctx, w)
	}
	return r.serviceClaims(ctx, w)
}

// serviceClaims are those of a Knative Service.
func (r *Request) serviceClaims(ctx context.Context, w World) ([]Claim, error) {
	d, old, err := r.routedDemands(ctx, &w)
	if err != nil {
		return nil, err
	}
	c := newClaim(ServiceKey(r.object), ServiceKind.Kind, d, old)
	c.service = r.object
	if r.old == nil {
		return []Claim{c}, nil
	}
	// What the ledger has for the Service is its own: not what others' revisions claim that
	// its traffic names.
	controls := r.controls(w)
	var own []workload.Part
	for _, p := range c.Old {
		controlled := p.Revision == ""
		if !controlled {
			if controlled, err = controls(ctx, w.Revisions[p.Revision]); err != nil {
				return nil, err
			}
		}
		if controlled {
			own = append(own, p)
		}
	}
	c.Old = own
	if err := r.addSuperseded(ctx, w, &c, old); err != nil {
		return nil, err
	}
	was := ServiceKey(r.old)
	if was == c.Key {
		return []Claim{c}, nil
	}
	// With another owner it has another key from now on. Until the next count the entry under
	// the old one holds what it had, so nothing has to be charged for that, unless it holds that for
	// another Service to come.
	left, err := r.leftDeployment(ctx, w)
	if err != nil {
		return nil, err
	}
	if left {
		c.Old, c.Beyond = nil, true
	}
	return []Claim{c, {Key: was, Kind: ServiceKind.Kind}}, nil
}

// controls tells whether a revision belongs to the Configuration of the request's Service, or
// to the request's Configuration: what only says so counts by itself.
func (r *Request) controls(w World) func(ctx context.Context, revision manifest.Object) (bool, error) {
	own := manifest.Text(r.object, "metadata", "name")
	var live string
	asked := false
	return func(ctx context.Context, revision manifest.Object) (bool, error) {
		name, uid := controllerOf(revision, ConfigurationKind)
		if name != own || uid == "" || w.Live == nil {
			return name == own && uid != "", nil
		}
		if !asked {
			configuration, err := r.live(w).get(ctx, ConfigurationKind, own)
			if err != nil {
				return false, err
			}
			asked, live = true, manifest.Text(configuration, "metadata", "uid")
		}
		return uid == live, nil
	}
}

func newClaim(key ledger.Key, kind string, d workload.Usage, old *workload.Usage) Claim {
	c := Claim{Key: key, Kind: kind, New: d.Parts, Demand: d, Unknown: d.GPUs.Unknown}
	if old != nil {
		if !d.Outgrows(old) {
			c.Old = old.Parts
		}
		if d.GPUs.SameRequests(old.GPUs) && d.PeakPods <= old.PeakPods {
			c.Unknown = nil
		}
	}
	return c
}

// KeyOf is the key of a stored object; of a Deployment that is to become a Knative Service, that
// of its plan.
func KeyOf(o manifest.Object, planned bool) ledger.Key {
	switch kind := manifest.Text(o, "kind"); {
	case planned:
		return PlanKey(o)
	case kind == ServiceKind.Kind && strings.HasPrefix(manifest.Text(o, "apiVersion"), ServiceKind.Group+"/"):
		return ServiceKey(o)
	default:
		return key(o, kind)
	}
}

// ServiceKey is the key of a Knative Service: that of the Deployment's plan where it says
// that a Deployment controls it.
func ServiceKey(service manifest.Object) ledger.Key {
	namespace, name := manifest.Text(service, "metadata", "namespace"), manifest.Text(service, "metadata", "name")
	if _, uid := controllerOf(service, DeploymentKind); uid != "" {
		return ledger.ForMade(types.UID(uid), namespace, name)
	}
	return key(service, ServiceKind.Kind)
}

// PlanKey is the key of the Knative Service that a Deployment is to become.
func PlanKey(deployment manifest.Object) ledger.Key {
	namespace := manifest.Text(deployment, "metadata", "namespace")
	uid := manifest.Text(deployment, "metadata", "uid")
	if uid == "" {
		uid = key(deployment, DeploymentKind.Kind).String()
	}
	return ledger.ForMade(types.UID(uid), namespace, handover.ServiceName(deployment))
}

// key is that of an object by itself.
func key(o manifest.Object, kind string) ledger.Key {
	if uid := manifest.Text(o, "metadata", "uid"); uid != "" {
		return ledger.ForUID(types.UID(uid))
	}
	return ledger.ForName(kind, manifest.Text(o, "metadata", "namespace"), manifest.Text(o, "metadata", "name"))
}

// key is that of the request's object by itself. One that gets its name or its UID later has that of the
// request.
func (r *Request) key() ledger.Key {
	if manifest.Text(r.object, "metadata", "uid") == "" && manifest.Text(r.object, "metadata", "name") == "" {
		return ledger.ForUID(r.raw.UID)
	}
	o := r.object
	if manifest.Text(o, "metadata", "namespace") == "" && manifest.Text(o, "metadata", "uid") == "" {
		return ledger.ForName(r.of.Kind, r.raw.Namespace, manifest.Text(o, "metadata", "name"))
	}
	return key(o, r.of.Kind)
}

// deploymentClaims are what the Deployment's own pods claim, and what it is to become.
func (r *Request) deploymentClaims(ctx context.Context, w World) ([]Claim, error) {
	d, old := r.deploymentDemands(w)
	if r.madeByKnative(w) && r.withinRevision(w, d, r.selection(w).GPUResources()) {
		return nil, nil
	}
	if old != nil { // a ReplicaSet that it is yet to adopt was charged by itself
		was := r.related.own.adopted().usage(r.old, nil, r.selection(w).GPUResources())
		old = &was
	}
	if r.raised() {
		_, old = r.byItself().deploymentDemands(w)
	}
	if err := r.raiseToAutoscalers(ctx, w, &d, old); err != nil {
		return nil, err
	}
	left, err := r.detached(ctx, w)
	if err != nil {
		return nil, err
	}
	claims := []Claim{newClaim(key(r.object, DeploymentKind.Kind), DeploymentKind.Kind, d, old)}
	claims[0].Overlap = r.rollout(w, d)
	if left {
		claims[0].Old, claims[0].Beyond = nil, true // its owner's entry, not its own: one that is left from before is not free
	}
	expands := expand.ReadIntent(r.object).Expands() && w.knative()
	if r.expandedBefore() && (!expands || PlanKey(r.old) != PlanKey(r.object)) {
		claims = append(claims, Claim{Key: PlanKey(r.old), Kind: DeploymentKind.Kind}) // nothing any more
	}
	if r.scale || r.madeByKnative(w) || !expands {
		return claims, nil
	}
	plan := Claim{Key: PlanKey(r.object), Kind: DeploymentKind.Kind, written: r}
	exempt := r.carried(w)
	if r.expandedBefore() {
		if PlanKey(r.old) == plan.Key && sameWorkload(r.old, r.object) {
			return claims, nil
		}
		if PlanKey(r.old) == plan.Key {
			plan.Old = r.with(r.old, exempt).Plan(w).Verdict.Demand.Parts
		}
	}
	planned := r.planned(w)
	plan.Demand, plan.service = planned.Verdict.Demand, planned.Service
	plan.New = plan.Demand.Parts
	return append(claims, plan), nil
}

// childClaims are those of a Configuration, Revision, Route or PodAutoscaler for which no
// verified owner answers.
func (r *Request) childClaims(ctx context.Context, w World) ([]Claim, error) {
	if r.kind() == RouteKind && len(workload.NamedRevisions(r.object)) == 0 {
		return nil, nil // its Configurations claim for themselves
	}
	d, old, err := r.childDemands(ctx, w, true)
	if err != nil {
		return nil, err
	}
	c := newClaim(key(r.object, r.kind().Kind), r.kind().Kind, d, old)
	left, err := r.detached(ctx, w)
	if err != nil {
		return nil, err
	}
	if left || r.startsRevision() || r.retargets() {
		gone := false
		if w.Live != nil {
			if gone, err = r.dangles(ctx, r.live(w).inNamespace, r.object); err != nil {
				return nil, err
			}
		}
		c.Old, c.Beyond = nil, left || gone // nothing was charged for it under its own key, and what is left from before is not free
	}
	if r.kind() == ConfigurationKind && r.old != nil && len(old.Parts)+len(d.Parts) > 0 {
		covered, err := r.Covered(ctx, w)
		if err == nil && !covered {
			err = r.addSuperseded(ctx, w, &c, old)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.kind() == RouteKind && old != nil {
		c.Old = stillNamed(c.Old, d.Parts)
	}
	claims := []Claim{c}
	if !Rises(claims) {
		return nil, nil
	}
	for _, charged := range []func(context.Context, World) (bool, error){r.Covered, r.alreadyRouted} {
		if elsewhere, err := charged(ctx, w); elsewhere || err != nil {
			return nil, err
		}
	}
	return claims, nil
}

// stillNamed are the parts of what a Route named that it names still: others give it no right
// to as many GPUs of further revisions.
func stillNamed(old, now []workload.Part) []workload.Part {
	return slices.DeleteFunc(slices.Clone(old), func(p workload.Part) bool { return !slices.ContainsFunc(now, p.Equal) })
}

// BudgetClaim is a claim as one budget counts it.
type BudgetClaim struct {
	*Claim
	GPUs, Overlap int64
}

// ForBudget is how a budget counts a claim: rises is false where that is no more than it
// was. Overlap is what the replaced pods hold beyond what the claim falls by.
func (c *Claim) ForBudget(b *policy.Budget) (counted BudgetClaim, rises bool) {
	was := b.Claim(c.Old)
	counted = BudgetClaim{Claim: c, GPUs: b.Claim(c.New)}
	counted.Overlap = max(0, b.Claim(c.Overlap)-max(0, was-counted.GPUs))
	return counted, counted.GPUs > was || counted.Overlap > 0
}

// Released are the keys of the object that a DELETE removes.
func Released(raw *admissionv1.AdmissionRequest) []ledger.Key {
	o, err := manifest.Decode(raw.OldObject.Raw)
	if err != nil {
		return nil
	}
	switch kind := groupKind(raw.Kind); kind {
	case ServiceKind:
		return []ledger.Key{ServiceKey(o), key(o, ServiceKind.Kind)}
	case DeploymentKind:
		return []ledger.Key{key(o, DeploymentKind.Kind), PlanKey(o)}
	default:
		return []ledger.Key{key(o, kind.Kind)}
	}
}
