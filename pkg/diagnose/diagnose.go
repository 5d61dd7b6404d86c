// Package diagnose tells which bound or budget refuses a workload, who holds the budget, and what
// would fit; and what there is of a workload, down to its pods. It is pure.
package diagnose

import (
	"context"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/dryrun"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// Query is a workload, and what its verdict depends on.
type Query struct {
	// Object is written over Old, or made if that is nil.
	Object, Old manifest.Object
	Namespace   string
	User        authenticationv1.UserInfo
	World       review.World
	// Budgets have their ledgers in their status; Uses are who holds them.
	Budgets []v1alpha1.GPUBudget
	Uses    []audit.BudgetUse
}

// Diagnosis is what becomes of a workload, and why.
type Diagnosis struct {
	Workload string `json:"workload"`
	Allowed  bool   `json:"allowed"`
	// Unknown is whether nothing but a budget that is being counted stands against it: right now
	// it is refused, and told to come back.
	Unknown bool `json:"unknown,omitempty"`
	// Reasons are why it is refused.
	Reasons  []string      `json:"reasons"`
	Warnings []string      `json:"warnings"`
	Budgets  []BudgetState `json:"budgets"`
	// Fits are numbers of pods that would be admitted, in words in Fit.
	Fits []dryrun.Fit `json:"fits,omitempty"`
	Fit  string       `json:"fit,omitempty"`
}

// BudgetState is a budget that holds for the workload.
type BudgetState struct {
	Name string `json:"name"`
	// Asks is what the workload asks of it in words; Free is what is left of Of, before it if it
	// is refused, else with it.
	Asks string `json:"asks"`
	Free int64  `json:"free"`
	Of   int64  `json:"of"`
	Fits bool   `json:"fits"`
	// Counted is false while the budget counts what exists: no claim may rise then.
	Counted bool         `json:"counted"`
	Holders []AgedHolder `json:"holders"`
	// counting is whether that refuses the workload for now.
	counting bool
}

// AgedHolder is one that holds a budget, and since when.
type AgedHolder struct {
	v1alpha1.Holder
	// Age of the object, where it was asked for.
	Age string `json:"age,omitempty"`
}

// Explain tells what becomes of a workload.
func Explain(in Query) (Diagnosis, error) {
	a := Diagnosis{Workload: manifest.Text(in.Object, "kind") + " " + in.Namespace + "/" + manifest.Text(in.Object, "metadata", "name"), Reasons: []string{}}
	r, states, err := in.try(in.Object)
	if err != nil {
		return a, err
	}
	a.Allowed, a.Warnings, a.Budgets = r.Allowed, append([]string{}, r.Warnings...), states
	for _, c := range r.Causes {
		a.Reasons = append(a.Reasons, strings.TrimPrefix(c.Field+": "+c.Message, ": "))
	}
	if a.Allowed {
		for _, s := range states {
			if s.counting {
				a.Allowed, a.Unknown = false, true
				a.Reasons = append(a.Reasons, "budget "+s.Name+" is being counted, so no claim may rise right now; ask again in a minute")
			}
		}
	}
	if !a.Allowed && !a.Unknown && r.ForPods && r.Request != nil {
		a.Fits, a.Fit = in.fits(r.Request)
	}
	return a, nil
}

// try admits an object, and charges the budgets.
func (in *Query) try(object manifest.Object) (dryrun.Response, []BudgetState, error) {
	states := []BudgetState{}
	raw, err := dryrun.Request(object, in.Old, in.Namespace, in.User)
	if err != nil {
		return dryrun.Response{}, states, err
	}
	r, err := dryrun.Admit(in.World, raw)
	if err != nil || r.Request == nil {
		return r, states, err
	}
	labels, known := in.World.NamespaceLabels(in.Namespace)
	charges, refused := r.Request.Charges(policy.CompileBudgets(in.Budgets), r.Claims, labels, known, false)
	if len(refused) > 0 {
		r.Add(r.Request.Refuse(refused))
		return r, states, nil
	}
	for i := range charges {
		state, outcome, err := in.state(&charges[i])
		if err != nil {
			return r, states, err
		}
		states = append(states, state)
		answer := charge.Answer{Outcome: outcome}
		if e := charges[i].Budget.Enforcement; e != v1alpha1.BudgetDeny {
			answer.Despite = e
		}
		switch none := charges[i].NoRoom(answer, in.Namespace, review.Fitting{Tried: answer.Despite == ""}); {
		case state.Fits:
		case answer.Admits():
			reply := &admissionv1.AdmissionResponse{Allowed: r.Allowed}
			r.Request.AdmitBeyond(reply, none)
			r.Add(reply)
		default:
			r.Add(r.Request.Refuse([]policy.Violation{none}))
		}
	}
	return r, states, nil
}

// state tries a charge on the ledger of its budget.
func (in *Query) state(c *review.BudgetCharge) (BudgetState, ledger.Outcome, error) {
	s := BudgetState{Name: c.Budget.Name, Asks: c.Asks(), Holders: []AgedHolder{}}
	i := slices.IndexFunc(in.Budgets, func(b v1alpha1.GPUBudget) bool { return b.Name == c.Budget.Name })
	b := &in.Budgets[i]
	book, err := ledger.Read(&b.Status)
	if err != nil {
		return s, ledger.Outcome{}, err
	}
	o := book.Try(charge.Limits(b), c.Charges...)
	s.Free, s.Of, s.Fits = o.Free, o.Of, o.Fits
	s.Counted = charge.Counted(b, charge.Rules(&b.Status)) // by whatever rules the webhook has
	s.counting = !s.Counted && c.Budget.Enforcement == v1alpha1.BudgetDeny && c.Grows()
	for _, use := range in.Uses {
		if use.Name == b.Name {
			for _, h := range use.Holders {
				s.Holders = append(s.Holders, AgedHolder{Holder: h})
			}
		}
	}
	return s, o, nil
}

// fits looks for numbers of pods that are admitted, as refusals by the webhook do. It says too that there is none.
func (in *Query) fits(refused *review.Request) ([]dryrun.Fit, string) {
	labels, known := in.World.NamespaceLabels(in.Namespace)
	search := dryrun.Search{World: in.World, Budgets: policy.CompileBudgets(in.Budgets), Labels: labels, Known: known, Room: in.room}
	what, fits := search.Fits(context.Background(), refused.Raw())
	if what == "" || len(fits) > 0 {
		return fits, dryrun.Sentence(what, fits)
	}
	return nil, "not even one pod fits"
}

// room tells whether the ledgers of the budgets that refuse have room for charges.
func (in *Query) room(_ context.Context, charges []review.BudgetCharge) (bool, error) {
	for i := range charges {
		state, _, err := in.state(&charges[i])
		if err != nil || !state.Fits && charges[i].Budget.Enforcement == v1alpha1.BudgetDeny {
			return false, err
		}
	}
	return true, nil
}
