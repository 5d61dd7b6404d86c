package app

import (
	"cmp"
	"context"
	"runtime"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/dryrun"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// charging is how admissions are charged to budgets.
type charging struct {
	// charge asks the ledgers.
	charge func(ctx context.Context, demands []charge.Demand, dryRun bool) []charge.Answer
	// holds is nil while this replica may let claims rise; nil where there is only one.
	holds func() error
	// begun is nil once holds has been; nil where there is only one replica.
	begun func() error
	// labels reads the labels of a namespace uncached.
	labels func(ctx context.Context, namespace string) (labels map[string]string, known bool, err error)
	// release frees what a deleted object claimed; nil where a controller does.
	release func(namespace string, keys ...ledger.Key)
	// everything is whether claims that fall are told too, since nobody counts afresh.
	everything bool
}

// searchTime is how long a refusal may take longer to say what would fit, and searching are the places for those that
// look for it: each admits the object some dozens of times, which a flood of refusals must not multiply.
const searchTime = 500 * time.Millisecond

var searching = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// fitting is what would fit in place of what is refused, as far as there is time to look for it. Labels are those of
// the request's namespace.
func (c *charging) fitting(ctx context.Context, r *review.Request, w review.World, now *snapshot, labels map[string]string, known bool) review.Fitting {
	limit := searchTime
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case searching <- struct{}{}:
		defer func() { <-searching }()
	case <-ctx.Done():
		return review.Fitting{}
	}
	ledgers := dryrun.Ledgers{Ask: c.charge, Rules: policy.Rules(now.policies, now.knative)}
	search := dryrun.Search{World: w, Budgets: now.budgets, Labels: labels, Known: known, Room: ledgers.Room}
	return search.Fitting(ctx, r)
}

// refit ends a refusal by bounds with what would fit.
func (c *charging) refit(ctx context.Context, r *review.Request, w review.World, now *snapshot, refused *admissionv1.AdmissionResponse) *admissionv1.AdmissionResponse {
	if !r.RefusedForPods() {
		return refused
	}
	labels, known := w.NamespaceLabels(r.Namespace())
	return r.RefuseWith(c.fitting(ctx, r, w, now, labels, known))
}

// retryAfter is when to come back to a ledger that cannot be charged now, in seconds, and
// longRetry to one that is being counted where it is not known how long that takes.
const retryAfter, longRetry = 1, 5

// charge takes what an admitted object claims from the budgets, or refuses it.
func (c *charging) admit(ctx context.Context, r *review.Request, w review.World, now *snapshot, admitted *admissionv1.AdmissionResponse) (*admissionv1.AdmissionResponse, error) {
	if c == nil || (now.budgets.None() && c.holds == nil) {
		return admitted, nil
	}
	claims, err := r.Claims(ctx, w)
	if err != nil {
		return nil, err
	}
	if c.holds != nil {
		if why := c.holds(); why != nil {
			// This replica may let no claim rise. It may know the policies and budgets of long ago, so what
			// falls has to do so by all rules that there could be. The count finds its overlap.
			rises := review.Grows(claims) || (now.budgets.Strict() && review.Rises(claims))
			if !rises {
				rises, err = r.RisesByOtherRules(ctx, w)
			}
			if err != nil || !rises {
				return admitted, err
			}
			return r.Later("", why.Error(), retryAfter), nil
		}
	}
	if len(claims) == 0 || (!c.everything && !review.Rises(claims)) {
		return admitted, nil
	}
	labels, known := w.NamespaceLabels(r.Namespace())
	if c.labels != nil && now.budgets.Selective() {
		if labels, known, err = c.labels(ctx, r.Namespace()); err != nil {
			return nil, err
		}
	}
	charges, refused := r.Charges(now.budgets, claims, labels, known, c.everything)
	if len(refused) > 0 {
		return r.Refuse(refused), nil
	}
	if len(charges) == 0 {
		return admitted, nil
	}
	rules := policy.Rules(now.policies, now.knative)
	demands := make([]charge.Demand, len(charges))
	for i, c := range charges {
		demands[i] = charge.Demand{Budget: c.Budget.Name, Version: c.Budget.Version, Selective: c.Budget.Selective(), Rules: rules, Charges: c.Charges,
			// A claim may always fall. The count finds what its rollout overlaps.
			Optional: !c.Grows() && (!c.Budget.Strict || c.Settled()), Unwritten: c.Settled()}
	}
	for i, answer := range c.charge(ctx, demands, r.DryRun()) {
		switch {
		case answer.Retry != "" && demands[i].Optional:
		case answer.Retry != "":
			return r.Later(charges[i].Budget.Name, charge.Wait(answer.Retry, answer.After), cmp.Or(answer.After, longRetry)), nil
		case !answer.Admits():
			return r.Refuse([]policy.Violation{charges[i].NoRoom(answer, r.Namespace(), c.fitting(ctx, r, w, now, labels, known))}), nil
		case !answer.Fits:
			r.AdmitBeyond(admitted, charges[i].NoRoom(answer, r.Namespace(), review.Fitting{}))
		case answer.Raised > 0:
			admitted.Warnings = append(admitted.Warnings, charges[i].Left(answer.Outcome, r.Namespace()))
		}
	}
	return admitted, nil
}
