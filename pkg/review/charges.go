package review

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// BoundGPUBudget names a budget's limit among the bounds.
const BoundGPUBudget = "gpuBudget"

// BudgetCharge is what a request asks of one budget.
type BudgetCharge struct {
	Budget  *policy.Budget
	Claims  []BudgetClaim
	Charges []ledger.Charge
}

// Charges are what the claims of a request ask of the budgets that hold in its namespace,
// given the namespace's labels. Claims that do not rise are left out unless all are wanted.
// Refused are what no budget can count.
func (r *Request) Charges(budgets *policy.Budgets, claims []Claim, labels map[string]string, known, all bool) (charges []BudgetCharge, refused []policy.Violation) {
	if invalid := budgets.Invalid(); len(invalid) > 0 && Rises(claims) {
		refused = append(refused, policy.Violation{Policy: invalid[0], Bound: BoundGPUBudget, Enforcement: v1alpha1.Deny,
			Error: claims[0].forbidden(fmt.Sprintf("asks for GPUs, and budget %s is invalid, so its limits are not known; ask the platform team to mend it", strings.Join(invalid, ", ")))})
	}
	for _, b := range budgets.All() {
		if !b.Selects(r.raw.Namespace, labels, known) {
			continue
		}
		charge := BudgetCharge{Budget: b}
		for i := range claims {
			c := &claims[i]
			for _, e := range c.Unknown {
				if b.Enforcement != v1alpha1.BudgetDeny {
					break // it refuses nothing, and counts what it can
				}
				named := *e
				named.Detail += "; budget " + b.Name + " counts GPUs"
				refused = append(refused, policy.Violation{Policy: b.Name, Bound: BoundGPUBudget, Enforcement: v1alpha1.Deny, Error: &named})
			}
			counted, rises := c.ForBudget(b)
			if !rises && !all {
				continue
			}
			charge.Claims = append(charge.Claims, counted)
			charge.Charges = append(charge.Charges, ledger.Charge{Key: c.Key, Namespace: strings.Clone(r.raw.Namespace), Kind: strings.Clone(c.Kind), Name: strings.Clone(r.nameOf(c)), // kept by the ledger
				Amount: ledger.Amount{GPUs: counted.GPUs, Overlap: counted.Overlap}, Rises: counted.GPUs > b.Claim(c.Old), Held: c.Held, Beyond: c.Beyond || (c.Held && !c.Settled)})
		}
		if len(charge.Charges) > 0 {
			charges = append(charges, charge)
		}
	}
	return charges, refused
}

// nameOf is the name of the object whose entry a claim is.
func (r *Request) nameOf(c *Claim) string {
	if c.Name != "" {
		return c.Name
	}
	return r.storedName()
}

// storedName is the name that the object gets, as far as it is known.
func (r *Request) storedName() string {
	if name := manifest.Text(r.object, "metadata", "name"); name != "" {
		return name
	}
	return r.name
}

// forbidden refuses a claim at the place where its number of pods was written.
func (c *Claim) forbidden(text string) *field.Error {
	at := c.Demand.PeakPath()
	if at == nil {
		at = field.NewPath("spec", "template", "spec")
	}
	e := field.Forbidden(at, text)
	if c.written != nil {
		e = c.written.place(field.ErrorList{e})[0]
	}
	return e
}

// WrittenIn has refusals of a claim name the places of the Deployment that the object was
// made from.
func (c *Claim) WrittenIn(deployment manifest.Object) { c.written = &Request{object: deployment} }

// Asks words a charge: "40 GPUs (4 x 10 pods)".
func (c *BudgetCharge) Asks() string {
	var words []string
	for _, claim := range c.Claims {
		if claim.GPUs == 0 && len(c.Claims) > 1 {
			continue
		}
		text := claim.Demand.Asks()
		switch types := c.Budget.Types(); {
		case claim.GPUs < claim.Demand.Claim && types != "":
			text += fmt.Sprintf(", %d of them of the types %s", claim.GPUs, types)
		case claim.GPUs > claim.Demand.Claim:
			text += fmt.Sprintf(", %d with what is there already", claim.GPUs)
		}
		words = append(words, text)
	}
	return strings.Join(words, " and ")
}

// NoRoom is what a charge that does not fit breaks: the refusal of it or, where the budget
// admits it all the same, what it is told of as. A refusal ends with what would fit.
func (c *BudgetCharge) NoRoom(a charge.Answer, namespace string, fit Fitting) policy.Violation {
	of := fmt.Sprintf("%d of %d are free in budget %s", a.Free, a.Of, c.Budget.Name)
	if a.PerNamespace {
		of = fmt.Sprintf("%d of the %d for namespace %s are free in budget %s", a.Free, a.Of, namespace, c.Budget.Name)
	}
	text := "asks for " + c.Asks() + "; " + of
	if a.Raised < c.sum() && a.Raised > 0 && a.Raised < ledger.Most {
		text += fmt.Sprintf(", and it would take %d more than it has", a.Raised)
	}
	if overlap := c.overlap(); overlap > 0 && a.Raised <= a.Free {
		text += fmt.Sprintf("; with the %d that the pods of the earlier version hold until they are gone it does not fit, which the budget demands (%s)", overlap, c.demands())
	}
	if a.Reserved > 0 {
		text += fmt.Sprintf(" (%s more are reserved by requests under way, and may become free)", gpusText(a.Reserved))
	}
	if who := heldBy(a, namespace); who != "" {
		text += "; " + who
	}
	if ways := c.ways(a, fit); ways != "" {
		text += "; " + ways
	}
	enforcement := v1alpha1.Deny
	if a.Despite != "" {
		enforcement = v1alpha1.Enforcement(a.Despite)
	}
	return policy.Violation{Policy: c.Budget.Name, Bound: BoundGPUBudget, Enforcement: enforcement, Error: c.largest().forbidden(text)}
}

// heldBy words who holds a budget's GPUs: objects of the request's own namespace by name, all
// others, which its author may not be allowed to know of, as a number.
func heldBy(a charge.Answer, namespace string) string {
	var own []string
	for _, h := range a.Holders {
		if h.Namespace == namespace && len(own) < 3 {
			own = append(own, fmt.Sprintf("%s %s %s", h.Kind, h.Name, gpusText(h.GPUs)))
		}
	}
	var parts []string
	if len(own) > 0 {
		parts = append(parts, "in namespace "+namespace+" these hold most: "+strings.Join(own, ", "))
	}
	switch others := a.All - a.Own; {
	case a.PerNamespace, others <= 0:
	case a.All >= ledger.Most:
		parts = append(parts, "an unbounded number is held in other namespaces")
	default:
		parts = append(parts, fmt.Sprintf("%d are held in other namespaces", others))
	}
	return strings.Join(parts, ", and ")
}

// gpusText words a number of GPUs of a ledger.
func gpusText(n int64) string {
	if n >= ledger.Most {
		return "an unbounded number"
	}
	return strconv.FormatInt(n, 10)
}

// AdmitBeyond tells, in an answer that admits a request, of a budget that it goes beyond.
func (r *Request) AdmitBeyond(a *admissionv1.AdmissionResponse, x policy.Violation) {
	outcome := Audited
	if x.Enforcement == v1alpha1.Warn {
		outcome = Warned
		a.Warnings = shorten(append(a.Warnings, x.Error.Field+" "+x.Error.Detail))
	} else {
		if a.AuditAnnotations == nil {
			a.AuditAnnotations = map[string]string{}
		}
		a.AuditAnnotations[x.Bound] = x.Error.Detail
	}
	r.decisions = append(r.decisions, Decision{x.Policy, x.Bound, x.Enforcement, outcome})
}

// demands is what has the overlap of a rollout fit.
func (c *BudgetCharge) demands() string {
	if c.Budget.Strict {
		return "rollout: Strict"
	}
	return "maxPerNamespace"
}

// Grows tells whether a claim itself rises, and not only replaces what holds GPUs still.
func (c *BudgetCharge) Grows() bool {
	for i, charge := range c.Charges {
		if charge.Rises && !c.Claims[i].Settled {
			return true
		}
	}
	return false
}

// Settled tells whether all claims are of pods that their roots were admitted with.
func (c *BudgetCharge) Settled() bool {
	return !slices.ContainsFunc(c.Claims, func(claim BudgetClaim) bool { return !claim.Settled })
}

// largest is the claim that a refusal points at.
func (c *BudgetCharge) largest() BudgetClaim {
	return slices.MaxFunc(c.Claims, func(a, b BudgetClaim) int { return cmp.Compare(a.GPUs, b.GPUs) })
}

func (c *BudgetCharge) sum() int64 {
	var n int64
	for _, claim := range c.Claims {
		n = workload.SaturatingAdd(n, claim.GPUs)
	}
	return n
}

func (c *BudgetCharge) overlap() int64 {
	var n int64
	for _, claim := range c.Claims {
		n = workload.SaturatingAdd(n, claim.Overlap)
	}
	return n
}

// Left tells what an admitted charge leaves.
func (c *BudgetCharge) Left(o ledger.Outcome, namespace string) string {
	if o.PerNamespace {
		return fmt.Sprintf("claims %s of budget %s; %d of the %d for namespace %s are left", c.Asks(), c.Budget.Name, o.Free, o.Of, namespace)
	}
	return fmt.Sprintf("claims %s of budget %s; %d of %d are left", c.Asks(), c.Budget.Name, o.Free, o.Of)
}

// Refuse answers with what budgets refuse.
func (r *Request) Refuse(denied []policy.Violation) *admissionv1.AdmissionResponse {
	return r.answer(Verdict{Denied: denied})
}

// Later answers that the request can be decided in a while: 429, which clients try again.
func (r *Request) Later(budget, why string, seconds int32) *admissionv1.AdmissionResponse {
	text := "no claim of GPUs can rise right now"
	if budget != "" {
		text += " in budget " + budget
	}
	return &admissionv1.AdmissionResponse{UID: r.raw.UID, Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests,
		Message: text + ": " + why + "; please retry",
		Details: &metav1.StatusDetails{Group: r.raw.Kind.Group, Kind: r.raw.Kind.Kind, Name: r.name, RetryAfterSeconds: seconds},
	}}
}

// DryRun tells whether nothing is to be stored.
func (r *Request) DryRun() bool { return r.raw.DryRun != nil && *r.raw.DryRun }
