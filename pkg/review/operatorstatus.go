package review

import (
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/workload"
)

// isOperatedStatus tells whether a request writes the status of an object of an operator's kind by which a count
// tells that it has finished.
func (r *Request) isOperatedStatus() bool {
	row, ok := r.operators.For(r.of)
	return ok && row.Charged() && row.Finished != nil && r.raw.SubResource == "status"
}

// finishClaims refuse, where a budget counts an object of an operator's kind, that somebody else than its
// operator says that it has finished, or goes on after all: the one frees what it claims, the other claims it
// anew. Where a kind has no subresource for its status, an object may be created so, or its own update may say so.
func (r *Request) finishClaims(w World) []Claim {
	row, _ := r.operators.For(r.of)
	asks, says := maps.Clone(r.object), r.madeFinished && !w.Documents // what is stored has a status, and may be applied again
	if r.old != nil {
		asks, says = maps.Clone(r.old), row.HasFinished(r.object) != row.HasFinished(r.old)
	}
	if !says || row.MadeBy(r.raw.UserInfo.Username) || row.ManagedElsewhere(asks) {
		return nil
	}
	delete(asks, "status")
	was := workload.OperatorUsage(asks, row, r.selection(w).GPUResources())
	if !was.GPUs.Asked() {
		return nil
	}
	why := field.Forbidden(field.NewPath("status"), fmt.Sprintf(
		"only the operator of a %s with GPUs (%s) may say whether it has finished; suspend or delete it, or ask the platform team to list your operator's account among the makers",
		r.of, strings.Join(row.Makers, ", ")))
	return []Claim{{Key: r.key(), Kind: r.of.Kind, Name: r.storedName(), Demand: was, Unknown: field.ErrorList{why}}}
}
