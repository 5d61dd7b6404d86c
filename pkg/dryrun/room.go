package dryrun

import (
	"context"
	"errors"
	"strings"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// errUnknown is about budgets of which it is not known what is free.
var errUnknown = errors.New("it is not known what is free")

// Ledgers asks ledgers for room, by what they say is free: each of them once.
type Ledgers struct {
	// Ask charges demands, or looks.
	Ask func(ctx context.Context, demands []charge.Demand, dryRun bool) []charge.Answer
	// Rules is the digest of what GPUs are counted by.
	Rules string

	answers map[string]charge.Answer // by budget and entries
}

// Room tells whether the budgets that refuse have room for charges. Replacing pods that hold GPUs still takes room
// for a while, which is no matter of the number of pods alone: of that nothing is known.
func (l *Ledgers) Room(ctx context.Context, charges []review.BudgetCharge) (bool, error) {
	for i := range charges {
		c := &charges[i]
		if c.Budget.Enforcement != v1alpha1.BudgetDeny {
			continue
		}
		a, err := l.look(ctx, c)
		if err != nil {
			return false, err
		}
		added := int64(0)
		for k, charge := range c.Charges {
			if charge.Overlap > 0 || charge.Held || charge.Beyond {
				return false, errUnknown
			}
			added = workload.SaturatingAdd(added, max(0, charge.GPUs-a.Held[k]))
		}
		if added > a.Free {
			return false, nil
		}
	}
	return true, nil
}

// look asks what a budget has free, and what the entries of a charge hold.
func (l *Ledgers) look(ctx context.Context, c *review.BudgetCharge) (charge.Answer, error) {
	words := []string{c.Budget.Name}
	for _, charge := range c.Charges {
		words = append(words, charge.Key.String())
	}
	asked := strings.Join(words, " ")
	if a, known := l.answers[asked]; known {
		return a, nil
	}
	answers := l.Ask(ctx, []charge.Demand{{Budget: c.Budget.Name, Version: c.Budget.Version, Selective: c.Budget.Selective(), Rules: l.Rules, Charges: c.Charges, Look: true}}, true)
	if len(answers) != 1 || answers[0].Retry != "" || len(answers[0].Held) != len(c.Charges) {
		return charge.Answer{}, errUnknown
	}
	if l.answers == nil {
		l.answers = map[string]charge.Answer{}
	}
	l.answers[asked] = answers[0]
	return answers[0], nil
}
