package usage

import (
	"cmp"
	"maps"
	"slices"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/policy"
)

// How many holders a status names: the largest of all, and some of each of the namespaces that
// hold most.
const (
	mostHolders    = 10
	holdersInEach  = 3
	mostNamespaces = 100
)

// Holders are the largest claims of a budget, the largest first. Each is named once.
func Holders(all []Claimant, b *policy.Budget, namespaces map[string]map[string]string) []v1alpha1.Holder {
	return listed(AllHolders(all, b, namespaces))
}

// AllHolders are all claims of a budget, the largest first. Each is named once.
func AllHolders(all []Claimant, b *policy.Budget, namespaces map[string]map[string]string) []v1alpha1.Holder {
	byKey := map[ledger.Key]v1alpha1.Holder{}
	for i := range all {
		c := &all[i]
		labels, known := namespaces[c.Namespace]
		gpus := min(ledger.Most, b.Claim(c.Parts))
		if gpus == 0 || c.Plan || !b.Selects(c.Namespace, labels, known) || gpus <= byKey[c.Key].GPUs {
			continue
		}
		byKey[c.Key] = v1alpha1.Holder{Namespace: c.Namespace, Kind: c.Kind, Name: c.Name, GPUs: gpus, Unbounded: gpus == ledger.Most}
	}
	return slices.SortedFunc(maps.Values(byKey), compareHolders)
}

func compareHolders(a, b v1alpha1.Holder) int {
	return cmp.Or(cmp.Compare(b.GPUs, a.GPUs), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

// listed picks those that a status has room for.
func listed(sorted []v1alpha1.Holder) []v1alpha1.Holder {
	inEach := map[string]int{}
	var kept []v1alpha1.Holder
	for i, h := range sorted {
		n, there := inEach[h.Namespace]
		if i >= mostHolders && (n >= holdersInEach || !there && len(inEach) >= mostNamespaces) {
			continue
		}
		inEach[h.Namespace] = n + 1
		kept = append(kept, h)
	}
	return kept
}
