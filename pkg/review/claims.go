package review

import (
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/controller/handover"
	"github.com/kubetorch/webhook/pkg/ledger"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/mutate"
	"github.com/kubetorch/webhook/pkg/policy"
)

// Claim is what the object of a request holds of budgets under one key.
type Claim struct {
	Key  ledger.Key
	Kind string
	// New is what it claims once it is stored as asked, Old what it claimed before.
	New, Old []policy.Part
	// Overlap is what the pods hold that the update replaces, until they are gone.
	Overlap []policy.Part
	// Demand is where New comes from; Unknown are requests in it that cannot be counted
	// and were not there before.
	Demand  policy.Demand
	Unknown field.ErrorList
	// written has what the author wrote where the object was made from something else.
	written *Request
}

// Rises tells whether any of the claims rises, or cannot be counted.
func Rises(claims []Claim) bool {
	return slices.ContainsFunc(claims, func(c Claim) bool {
		return total(c.New) > total(c.Old) || len(c.Overlap)+len(c.Unknown) > 0 || changesType(c)
	})
}

// changesType tells whether the GPUs are of other types than before: what is no more in
// all may be more for a budget of one type.
func changesType(c Claim) bool {
	return !slices.EqualFunc(c.New, c.Old, func(a, b policy.Part) bool { return a.Type == b.Type && a.GPUs == b.GPUs })
}

func total(parts []policy.Part) int64 {
	var n int64
	for _, p := range parts {
		n = policy.SaturatingAdd(n, p.GPUs)
	}
	return n
}

// Claims are what a budget has to count for the object of a request, as it is going to be
// stored. A child that a verified owner answers for claims nothing of its own.
func (r *Request) Claims(w World) []Claim {
	switch {
	case r.isPolicy(), r.asksTheSame():
		return nil
	case r.isDeployment():
		return r.deploymentClaims(w)
	case r.isChild():
		return r.childClaims(w)
	}
	d, old := r.demands(w)
	if old != nil && d.Claim > old.Claim && w.Live != nil {
		if names, revisions := r.routed(w); len(names) > 0 {
			w.Revisions = union(w.Revisions, revisions)
			d, old = r.demands(w, names...)
		}
	}
	c := newClaim(ServiceKey(r.object), ServiceKind.Kind, d, old)
	if r.old != nil && ServiceKey(r.old) != c.Key {
		c.Old = nil // that is another entry
	}
	if r.old != nil && !mutate.SameTemplate(r.old, r.object) {
		c.Overlap = replaced(old.Parts, d.Parts, manifest.Text(r.old, "status", "latestCreatedRevisionName"))
	}
	return []Claim{c}
}

func newClaim(key ledger.Key, kind string, d policy.Demand, old *policy.Demand) Claim {
	c := Claim{Key: key, Kind: kind, New: d.Parts, Demand: d, Unknown: d.GPUs.Unknown}
	if old != nil {
		if !d.Outgrows(old) {
			c.Old = old.Parts
		}
		if d.GPUs.SameRequests(old.GPUs) {
			c.Unknown = nil
		}
	}
	return c
}

// replaced is what the revision of the old template claims, unless the new traffic names it.
func replaced(old, now []policy.Part, latest string) []policy.Part {
	var parts []policy.Part
	for _, p := range old {
		if p.Revision == "" && !slices.ContainsFunc(now, func(n policy.Part) bool { return latest != "" && n.Revision == latest }) {
			parts = append(parts, p)
		}
	}
	return parts
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

// deploymentClaims are what the Deployment's own pods claim, and what it is to become.
func (r *Request) deploymentClaims(w World) []Claim {
	d, old := r.deploymentDemands(w)
	if r.madeByKnative(w) && r.withinRevision(w, d, r.selection(w).GPUResources()) {
		return nil
	}
	r.raiseToAutoscalers(w, &d, old)
	claims := []Claim{newClaim(key(r.object, DeploymentKind.Kind), DeploymentKind.Kind, d, old)}
	if r.scale || r.madeByKnative(w) || !mutate.ReadIntent(r.object).Expands() || !w.knative() {
		return claims
	}
	plan := Claim{Key: PlanKey(r.object), Kind: DeploymentKind.Kind, written: r}
	exempt := r.carried(w)
	if r.expandedBefore() {
		if PlanKey(r.old) == plan.Key && sameWorkload(r.old, r.object) {
			return claims
		}
		if PlanKey(r.old) == plan.Key {
			plan.Old = r.with(r.old, exempt).Convert(w, nil).Verdict.Demand.Parts
		}
	}
	plan.Demand = r.with(r.object, exempt).Convert(w, nil).Verdict.Demand
	plan.New = plan.Demand.Parts
	return append(claims, plan)
}

// childClaims are those of a Configuration, Revision, Route or PodAutoscaler for which no
// verified owner answers.
func (r *Request) childClaims(w World) []Claim {
	if r.kind() == RouteKind && len(policy.NamedRevisions(r.object)) == 0 {
		return nil // its Configurations claim for themselves
	}
	d, old := r.childDemands(w, true)
	c := newClaim(key(r.object, r.kind().Kind), r.kind().Kind, d, old)
	claims := []Claim{c}
	if !Rises(claims) || r.Covered(w) {
		return nil
	}
	return claims
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
	switch r := (&Request{raw: raw}); r.kind() {
	case ServiceKind:
		return []ledger.Key{ServiceKey(o), key(o, ServiceKind.Kind)}
	case DeploymentKind:
		return []ledger.Key{key(o, DeploymentKind.Kind), PlanKey(o)}
	default:
		return []ledger.Key{key(o, r.kind().Kind)}
	}
}
