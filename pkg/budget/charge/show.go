package charge

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
)

// Show puts a ledger into the status of its budget, with all that is shown of it: whoever reads
// it sees figures of one moment.
func Show(b *v1alpha1.GPUBudget, book *ledger.Book) {
	limit := Limits(b).Max
	book.Write(&b.Status, limit)
	s := &b.Status
	s.Rules = counts(Rules(s), s.Base != nil)
	s.Summary = &v1alpha1.BudgetSummary{
		Max: strconv.FormatInt(limit, 10), Used: words(s.Used), Reserved: words(s.Reserved), Available: strconv.FormatInt(s.Available, 10),
		Holders: holders(s.Holders),
	}
}

// words is a number of GPUs as people read it.
func words(n int64) string {
	if n >= ledger.Most {
		return "unbounded"
	}
	return strconv.FormatInt(n, 10)
}

// holders names the largest few.
func holders(all []v1alpha1.Holder) string {
	const most = 3
	var named []string
	for _, h := range all[:min(most, len(all))] {
		named = append(named, fmt.Sprintf("%s/%s: %s", h.Namespace, h.Name, words(h.GPUs)))
	}
	return strings.Join(named, ", ")
}
