package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// round is one complete count.
type round struct {
	*Controller
	replicas []charge.Seen
	// agreed is when replicas were read, listed when the lists were begun: after the
	// budgets were read.
	agreed, listed time.Time
	rules          string
	all            []usage.Claimant
	namespaces     map[string]map[string]string
	operators      workload.Operators
	// holders are the largest claims of the budget that is brought up to date, and makers the accounts of operators
	// in the namespaces that it selects.
	holders []v1alpha1.Holder
	makers  []string
}

// budget brings the ledger of one budget up to date. The budget was read before the lists
// were begun.
func (r *round) budget(ctx context.Context, b *v1alpha1.GPUBudget) (next time.Duration, err error) {
	compiled := policy.CompileBudgets([]v1alpha1.GPUBudget{*b}).All()
	after := b.DeepCopy()
	f := r.follow(b)
	if len(compiled) == 0 {
		errs := policy.ValidateBudget(b)
		r.condition(after, v1alpha1.ConditionCounted, metav1.ConditionFalse, "Invalid", manifest.Together(errs))
		return 0, r.write(ctx, b, after)
	}
	all := usage.Claims(r.all, compiled[0], r.namespaces)
	selected := r.selected(compiled[0])
	base, unreadable := r.Store.Base(ctx, b)
	if unreadable != nil && !errors.Is(unreadable, charge.ErrNoBase) {
		return soon, unreadable
	}
	var book *ledger.Book
	if unreadable == nil {
		book, unreadable = ledger.ReadOver(base, &b.Status)
	}
	counted := charge.Counted(b, r.rules)
	if counted {
		// Should the ledger be lost, what is under way then has to be waited for.
		f.agreed = time.Time{}
	}
	if counted && unreadable != nil {
		// A replica may know the base still, and charge until it sees that nothing may rise: only
		// from then on it is waited for what it has admitted.
		message := "the ledger could not be read (" + unreadable.Error() + "); everything is counted again"
		r.condition(after, v1alpha1.ConditionCounted, metav1.ConditionFalse, "WaitingForRequests", message)
		r.countedBy(f, after)
		return soon, r.write(ctx, b, after)
	}
	if counted {
		r.holders = usage.Holders(r.all, compiled[0], r.namespaces)
		settled, next, commit := f.tracker.Settle(book, all, selected, r.listed, r.Wait)
		stored, err := r.settle(ctx, f, b, base, book, settled)
		if err != nil {
			return next, err
		}
		commit(stored)
		return r.swept(ctx, f, b, next)
	} else if ready, in, reason, message := r.mayCount(f, b, unreadable); ready {
		before := underWay(book, b)
		book, f.agreed = f.tracker.Rebuild(all.Live, selected, b.Status.Settlements), time.Time{}
		if (charge.Enforcement(b) != v1alpha1.BudgetDeny || unreadable != nil) && before != nil {
			book.Keep(before, selected)
		}
		book, _ = r.place(ctx, f, b, nil, book)
		r.holders = usage.Holders(r.all, compiled[0], r.namespaces)
		after.Status.Rules, after.Status.Base, after.Status.CountedBy = r.rules, nil, nil
		r.condition(after, v1alpha1.ConditionCounted, metav1.ConditionTrue, "Counted", "every claim is in the ledger")
	} else {
		r.condition(after, v1alpha1.ConditionCounted, metav1.ConditionFalse, reason, message)
		r.countedBy(f, after)
		return in, r.write(ctx, b, after)
	}
	r.show(after, book)
	return next, r.write(ctx, b, after)
}

// selected are the namespaces that a budget holds for, nil for all of them. Who may make pods of operators'
// kinds in them is noted as well.
func (r *round) selected(b *policy.Budget) ledger.Selected {
	r.makers = r.operators.MakersIn(func(name string) bool {
		labels, there := r.namespaces[name]
		return there && !slices.Contains(r.Excluded, name) && b.Selects(name, labels, true)
	})
	if !b.Selective() {
		return nil
	}
	selected := ledger.Selected{}
	for name, labels := range r.namespaces {
		if b.Selects(name, labels, true) {
			selected[name] = true
		}
	}
	return selected
}

// underWay is the ledger of what was charged so far, of reservations alone where it could not be read; nil where
// these cannot be read either, so that no replica could charge.
func underWay(book *ledger.Book, b *v1alpha1.GPUBudget) *ledger.Book {
	if book != nil {
		return book
	}
	reserved, err := ledger.InFlight(&b.Status)
	if err != nil {
		return nil
	}
	return reserved
}

// swept deletes what a settled ledger has no use for any more, and says when to look again.
func (r *round) swept(ctx context.Context, f *followed, b *v1alpha1.GPUBudget, next time.Duration) (time.Duration, error) {
	if err := r.sweep(ctx, f, b); err != nil {
		return soon, err
	}
	if !r.agree(b) {
		next = soon // for the limits
	}
	return next, nil
}

// retries is how often a settled ledger is put onto what admissions charged meanwhile.
const retries = 8

// settle stores a settled ledger, and returns what is stored now. Admissions that charge
// meanwhile keep what they wrote.
func (r *round) settle(ctx context.Context, f *followed, b *v1alpha1.GPUBudget, base *ledger.Base, from, settled *ledger.Book) (*ledger.Book, error) {
	for try := 0; ; try++ {
		var placed *ledger.Book
		placed, base = r.place(ctx, f, b, base, settled) // another try needs no other base
		after := b.DeepCopy()
		r.show(after, placed)
		err := r.write(ctx, b, after)
		if !apierrors.IsConflict(err) || try == retries {
			return settled, err
		}
		now, failed := r.Store.Live(ctx, b.Name)
		if failed != nil {
			return nil, failed
		}
		if now == nil || now.UID != b.UID || !charge.Counted(now, r.rules) {
			return nil, err
		}
		read, failed := r.Store.Base(ctx, now)
		if failed != nil {
			return nil, err
		}
		book, failed := ledger.ReadOver(read, &now.Status)
		if failed != nil {
			return nil, err
		}
		if settled = ledger.Rebase(settled, from, book); settled == nil {
			return nil, err // another controller does the same
		}
		from, b = book, now
	}
}

// show puts a ledger that was counted, and whether it is within the budget, into the status.
func (r *round) show(b *v1alpha1.GPUBudget, book *ledger.Book) {
	b.Status.Scope = charge.Scope(&b.Spec)
	if c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionCounted); c != nil {
		c.ObservedGeneration = b.Generation // a change of the limits alone leaves what is counted
	}
	if r.agree(b) {
		charge.Adopt(b)
	}
	b.Status.Holders = r.holders
	if len(r.makers) == 0 {
		meta.RemoveStatusCondition(&b.Status.Conditions, v1alpha1.ConditionMakersApart)
	} else {
		r.condition(b, v1alpha1.ConditionMakersApart, metav1.ConditionFalse, v1alpha1.ReasonMakersSelected, policy.MakersSelected(r.makers))
	}
	charge.Show(b, book)
	r.judge(b, book, charge.Limits(b))
}

// agree tells whether every replica knows the spec of a budget.
func (r *round) agree(b *v1alpha1.GPUBudget) bool {
	return charge.Agree(r.replicas, b.Name, policy.Version(string(b.UID), b.Generation), r.rules)
}

// countedBy says about when the claims will be counted. It is kept while it is to come, so that
// a status is not written for every moment that passes.
func (r *round) countedBy(f *followed, b *v1alpha1.GPUBudget) {
	by := r.listed
	if !f.agreed.IsZero() {
		by = f.agreed
	}
	by = by.Add(r.Wait + soon)
	if b.Status.CountedBy == nil || !f.agreed.IsZero() && b.Status.CountedBy.Sub(by).Abs() > 2*time.Second || b.Status.CountedBy.Time.Before(r.listed) {
		b.Status.CountedBy = &metav1.Time{Time: by.Truncate(time.Second)}
	}
}

// mayCount tells whether everything that was admitted without regard to this generation of
// the budget is in the lists, or will never be stored.
func (r *round) mayCount(f *followed, b *v1alpha1.GPUBudget, unreadable error) (ready bool, next time.Duration, reason, message string) {
	if !charge.Agree(r.replicas, b.Name, policy.Version(string(b.UID), b.Generation), r.rules) {
		f.agreed = time.Time{}
		return false, soon, "WaitingForReplicas", r.why(b) + "not every replica of the webhook has seen this generation yet"
	}
	if f.agreed.IsZero() || f.generation != b.Generation || f.rules != r.rules || f.settlements != b.Status.Settlements {
		f.agreed, f.generation, f.rules, f.settlements = r.agreed, b.Generation, r.rules, b.Status.Settlements
	}
	if remaining := r.Wait - r.listed.Sub(f.agreed); remaining > 0 {
		message := fmt.Sprintf("requests that were admitted before may take up to %s; claims may not rise until then", r.Wait)
		if unreadable != nil {
			message = "the ledger could not be read (" + unreadable.Error() + "); " + message
		}
		return false, remaining, "WaitingForRequests", r.why(b) + message
	}
	return true, 0, "", ""
}

// why says what made another count necessary, if it was not a change of the budget.
func (r *round) why(b *v1alpha1.GPUBudget) string {
	if rules := charge.Rules(&b.Status); rules == "" || rules == r.rules {
		return ""
	}
	return "policies, DeviceClasses or Knative's scale defaults make the same objects ask for something else; "
}

// judge sets the condition that says whether the claims are within the budget.
func (r *round) judge(b *v1alpha1.GPUBudget, book *ledger.Book, limits ledger.Limits) {
	within, beyond := book.Within(limits)
	if within {
		r.condition(b, v1alpha1.ConditionWithin, metav1.ConditionTrue, "Within", "the claims are within the budget")
		return
	}
	claimed := fmt.Sprintf("%d GPUs are claimed", b.Status.Used+b.Status.Reserved)
	if all, _ := book.Held(""); all >= ledger.Most {
		claimed = "an unbounded number of GPUs is claimed"
		if len(b.Status.Holders) > 0 && b.Status.Holders[0].Unbounded {
			h := b.Status.Holders[0]
			claimed += fmt.Sprintf(" by %s %s/%s, which has no maximum of pods", h.Kind, h.Namespace, h.Name)
		}
	}
	if b.Status.Overlap > 0 {
		claimed += fmt.Sprintf(", %d more are held by revisions that are being replaced", b.Status.Overlap)
	}
	message := fmt.Sprintf("%s and %d allowed", claimed, limits.Max)
	if len(beyond) > 0 {
		const most = 10
		more := ""
		if len(beyond) > most {
			beyond, more = beyond[:most], fmt.Sprintf(" and %d more", len(beyond)-most)
		}
		message += fmt.Sprintf("; above %d per namespace: %s%s", *limits.MaxPerNamespace, strings.Join(beyond, ", "), more)
	}
	r.condition(b, v1alpha1.ConditionWithin, metav1.ConditionFalse, "Exceeded", message+"; what runs goes on running, and may not grow")
}

// condition sets a condition, and tells of it when it turns.
func (r *round) condition(b *v1alpha1.GPUBudget, kind string, status metav1.ConditionStatus, reason, message string) {
	before := meta.FindStatusCondition(b.Status.Conditions, kind)
	turned := before == nil || before.Status != status || before.Reason != reason
	meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: b.Generation})
	if turned && (reason != "Within" || before != nil) {
		r.event(b, reason == "Exceeded" || reason == "Invalid", reason, message)
	}
}

// rechecked is after how long a status is written again to show that somebody looks after it.
const rechecked = every - time.Minute

// ready says whether the budget holds: it is valid, counted, and asked about what it is for.
func (r *round) ready(b *v1alpha1.GPUBudget) {
	if now := metav1.Now().Rfc3339Copy(); b.Status.Checked == nil || now.Sub(b.Status.Checked.Time) >= rechecked {
		b.Status.Checked = &now
	}
	c := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonInForce, ObservedGeneration: b.Generation,
		Message: "the budget is valid and in force",
	}
	problem := ""
	if r.NotRegistered != nil {
		problem = r.NotRegistered()
	}
	if counted := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionCounted); counted != nil && counted.Status != metav1.ConditionTrue {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, counted.Reason, counted.Message
	} else if problem != "" {
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonNotRegistered
		c.Message = problem + "; until this is mended, the budget does not hold for everything that it is about"
	}
	before := meta.FindStatusCondition(b.Status.Conditions, c.Type)
	if c.Reason == v1alpha1.ReasonNotRegistered && (before == nil || before.Reason != c.Reason) {
		r.event(b, true, c.Reason, c.Message)
	}
	meta.SetStatusCondition(&b.Status.Conditions, c)
}

// write stores a status that has changed.
func (r *round) write(ctx context.Context, before, after *v1alpha1.GPUBudget) error {
	r.Metrics.show(after)
	r.ready(after)
	if apiequality.Semantic.DeepEqual(before.Status, after.Status) {
		return nil
	}
	_, err := r.Store.Write(ctx, after)
	return err
}
