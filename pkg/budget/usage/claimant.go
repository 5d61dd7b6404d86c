package usage

import (
	"slices"

	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Claimant is what one object claims. Two may have one key, a Deployment's plan and the
// Knative Service made from it: then the larger counts.
type Claimant struct {
	Key                   ledger.Key
	Namespace, Kind, Name string
	// Parts are the claim; Overlap is what pods of an earlier version hold until they are gone.
	Parts, Overlap []workload.Part
	// Asked is what of it admissions were asked about, and what pods hold: the rest may yet come, and
	// has an entry kept, not raised.
	Asked Asked
	// Plan is whether nothing of it is there yet: it keeps what was charged for it, and no
	// more.
	Plan bool
}

// Asked is the part of a claim that raises an entry of a ledger.
type Asked struct{ Parts, Overlap []workload.Part }

// plus adds parts to a claim.
func (c *Claimant) plus(parts, overlap []workload.Part, asked Asked) {
	c.Parts, c.Overlap = append(slices.Clip(c.Parts), parts...), append(slices.Clip(c.Overlap), overlap...)
	c.Asked.Parts, c.Asked.Overlap = append(slices.Clip(c.Asked.Parts), asked.Parts...), append(slices.Clip(c.Asked.Overlap), asked.Overlap...)
}

// Without leaves out the claims in some namespaces.
func Without(all []Claimant, namespaces []string) []Claimant {
	return slices.DeleteFunc(all, func(c Claimant) bool { return slices.Contains(namespaces, c.Namespace) })
}

// Claims are the claims that count for a budget, in the namespaces that it selects.
func Claims(all []Claimant, b *policy.Budget, namespaces map[string]map[string]string) ledger.Listed {
	claims, asked, plans := ledger.Claims{}, ledger.Claims{}, ledger.Claims{}
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
		switch {
		case !selects || a == (ledger.Amount{}):
		case c.Plan:
			raise(plans, c, a)
		default:
			of := ledger.Amount{GPUs: b.Claim(c.Asked.Parts), Overlap: b.Claim(c.Asked.Overlap)}
			// Of two with one key the larger counts: of that, what was asked.
			if before := claims[c.Namespace][c.Key]; before != (ledger.Amount{}) || of != a {
				if was, less := asked[c.Namespace][c.Key]; less {
					before = was
				}
				raise(asked, c, of.Max(before))
			}
			raise(claims, c, a)
		}
	}
	return ledger.Listed{Live: claims, Asked: asked, Plans: plans}
}

// raise has claims hold at least an amount for a claimant.
func raise(claims ledger.Claims, c *Claimant, a ledger.Amount) {
	if claims[c.Namespace] == nil {
		claims[c.Namespace] = map[ledger.Key]ledger.Amount{}
	}
	claims[c.Namespace][c.Key] = claims[c.Namespace][c.Key].Max(a)
}
