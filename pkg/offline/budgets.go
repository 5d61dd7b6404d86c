package offline

import (
	"context"
	"strconv"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/pkg/dryrun"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// ledgers charge the objects of the input to the budgets, one after the other, as if nothing
// else was there.
type ledgers struct {
	budgets *policy.Budgets
	memory  *charge.Memory
	cluster *ClusterState
}

func newLedgers(in Inputs) *ledgers {
	memory := charge.NewMemory(in.Budgets)
	if in.Cluster != nil {
		memory = charge.NewMemoryOf(in.Budgets)
	}
	return &ledgers{budgets: policy.CompileBudgets(in.Budgets), memory: memory, cluster: in.Cluster}
}

// unknown is what a ledger that starts empty cannot say.
const unknown = "; what the workloads of a cluster hold is not known here"

// known has the claims of an object be those that the cluster's ledgers have of it, if it is
// there already.
func (l *ledgers) known(claims []review.Claim, o *Preview, written manifest.Object) error {
	if l.cluster == nil || len(claims) == 0 {
		return nil
	}
	object := o.Object
	if o.Replaced {
		object = written
	}
	uid, err := l.cluster.UID(groupKind(object), namespaceOf(object), manifest.Text(object, "metadata", "name"))
	if err != nil || uid == "" {
		return err
	}
	there := runtime.DeepCopyJSON(object)
	if err := unstructured.SetNestedField(there, uid, "metadata", "uid"); err != nil {
		return err
	}
	if err := unstructured.SetNestedField(there, namespaceOf(object), "metadata", "namespace"); err != nil {
		return err
	}
	claims[0].Key = review.KeyOf(there, o.Replaced)
	return nil
}

// charge takes what an admitted object claims, or refuses it. written is the object as its
// author wrote it.
func (l *ledgers) charge(o *Preview, written manifest.Object, w review.World, noKnative bool) {
	if noKnative {
		w.Cluster = &review.Cluster{}
	}
	if o.Verdict.Refused() {
		review.WithFit(o.Verdict.Denied, l.fitting(o, written, w))
		return
	}
	if l.budgets.None() {
		return
	}
	namespace := namespaceOf(o.Object)
	if review.MakesPods(groupKind(o.Object)) && !o.Concerned {
		return // it asks for no devices, or is part of what is charged
	}
	r := request(o.Object, w)
	labels, known := w.NamespaceLabels(namespace)
	claims, _ := r.Claims(context.Background(), w) // documents can always be read
	if o.Replaced {
		for i := range claims {
			claims[i].WrittenIn(written)
		}
	}
	if err := l.known(claims, o, written); err != nil {
		o.Verdict.Errors = append(o.Verdict.Errors, field.InternalError(field.NewPath("metadata", "uid"), err))
		return
	}
	charges, refused := r.Charges(l.budgets, claims, labels, known, false)
	if len(refused) > 0 {
		o.Verdict.Denied = append(o.Verdict.Denied, refused...)
		return
	}
	demands := make([]charge.Demand, len(charges))
	for i, c := range charges {
		demands[i] = charge.Demand{Budget: c.Budget.Name, Charges: c.Charges}
	}
	for i, a := range l.memory.Charge(context.Background(), demands, false) {
		if !a.Fits {
			x := charges[i].NoRoom(a, namespace, l.refusing(a, o, written, w))
			if l.cluster == nil {
				x.Error.Detail += unknown
			}
			switch x.Enforcement {
			case v1alpha1.Deny:
				o.Verdict.Denied = append(o.Verdict.Denied, x)
			case v1alpha1.Warn:
				o.Verdict.Warned = append(o.Verdict.Warned, x)
				o.Verdict.Warnings = append(o.Verdict.Warnings, x.Error.Field+" "+x.Error.Detail)
			default:
				o.Verdict.Audited = append(o.Verdict.Audited, x)
			}
			continue
		}
		left := charges[i].Left(a.Outcome, namespace)
		rest := room(&charges[i], a.Outcome)
		if l.cluster == nil {
			left, rest.Left = left+unknown, rest.Left+" at most"
		}
		o.Verdict.Warnings = append(o.Verdict.Warnings, left)
		o.Verdict.Room = append(o.Verdict.Room, rest)
	}
}

// refusing is what would fit in place of what a budget refuses.
func (l *ledgers) refusing(a charge.Answer, o *Preview, written manifest.Object, w review.World) review.Fitting {
	if a.Despite != "" {
		return review.Fitting{}
	}
	return l.fitting(o, written, w)
}

// fitting is what would fit in place of an object that is refused.
func (l *ledgers) fitting(o *Preview, written manifest.Object, w review.World) review.Fitting {
	object := written
	if object == nil {
		object = o.Object
	}
	namespace := namespaceOf(object)
	raw, err := dryrun.Request(object, nil, namespace, authenticationv1.UserInfo{})
	if err != nil {
		return review.Fitting{}
	}
	refused, reply := review.Read(raw)
	if reply != nil {
		return review.Fitting{}
	}
	refused.Refused(o.Verdict)
	asked := dryrun.Ledgers{Ask: l.memory.Charge}
	search := dryrun.Search{World: w, Budgets: l.budgets, Room: asked.Room}
	search.Labels, search.Known = w.NamespaceLabels(namespace)
	return search.Fitting(context.Background(), refused)
}

// room is a budget among the bounds.
func room(c *review.BudgetCharge, o ledger.Outcome) policy.Headroom {
	bound := "budget.max"
	if o.PerNamespace {
		bound = "budget.maxPerNamespace"
	}
	left := strconv.FormatInt(o.Free, 10)
	if o.Free == 0 {
		left = "none"
	}
	return policy.Headroom{Policy: c.Budget.Name, Bound: bound, Asks: c.Asks(), Allows: "at most " + strconv.FormatInt(o.Of, 10), Left: left, Enforcement: string(c.Budget.Enforcement)}
}
