package harness

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
)

// Named is the label of one namespace.
func Named(namespace string) string { return "{kubernetes.io/metadata.name: " + namespace + "}" }

// ApplyBudget writes a budget for the namespaces with labels. spec are further lines of its spec.
func ApplyBudget(t testing.TB, client dynamic.Interface, name, labels, spec string) {
	t.Helper()
	text := fmt.Sprintf("apiVersion: policy.kubetorch.com/v1alpha1\nkind: GPUBudget\nmetadata: {name: %s}\n"+
		"spec:\n  namespaceSelector: {matchLabels: %s}\n%s", name, labels, spec)
	budget := Object(t, text)
	require.NoError(t, Answered(func() error {
		o := metav1.ApplyOptions{FieldManager: "e2e", Force: true}
		_, err := client.Resource(Budgets).Apply(t.Context(), name, budget, o)
		return err
	}))
}

// NewBudget makes a budget for the namespaces with labels, and waits until it is counted.
func NewBudget(t testing.TB, client dynamic.Interface, name, labels, spec string) {
	t.Helper()
	ApplyBudget(t, client, name, labels, spec)
	t.Cleanup(func() { _ = client.Resource(Budgets).Delete(context.Background(), name, metav1.DeleteOptions{}) })
	AwaitCounted(t, client, name)
}

// AwaitCounted waits until the claims under a budget are counted.
func AwaitCounted(t testing.TB, client dynamic.Interface, name string) {
	t.Helper()
	Await(t, "counting of budget "+name, func() (bool, string) {
		b := Budget(t, client, name)
		return Counted(b), Held(b)
	})
}

// Budget reads a budget.
func Budget(t testing.TB, client dynamic.Interface, name string) *v1alpha1.GPUBudget {
	t.Helper()
	u, err := Read(func() (*unstructured.Unstructured, error) {
		return client.Resource(Budgets).Get(context.Background(), name, metav1.GetOptions{})
	})
	require.NoError(t, err)
	b := &v1alpha1.GPUBudget{}
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, b))
	return b
}

// Held words a ledger.
func Held(b *v1alpha1.GPUBudget) string {
	return fmt.Sprintf("used %d, reserved %d, overlap %d, available %d, workloads %d, settlements %d, "+
		"reservations %+v %d bytes in flight, conditions %+v",
		b.Status.Used, b.Status.Reserved, b.Status.Overlap, b.Status.Available, b.Status.Workloads, b.Status.Settlements,
		b.Status.Reservations, len(b.Status.InFlight), b.Status.Conditions)
}

// Counted tells whether the claims under a budget, as it is written now, are counted.
func Counted(b *v1alpha1.GPUBudget) bool {
	c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionCounted)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == b.Generation
}

// Settled tells whether a ledger can be read, is at rest and holds just so much. Of one that was
// damaged, the sums and the condition may be as they were until that is seen.
func Settled(b *v1alpha1.GPUBudget, used int64) bool {
	s := b.Status
	// Whether the claims of a base are those of its sums, the webhook alone sees.
	if _, err := ledger.Read(&s); err != nil && (s.Base == nil || len(s.Base.Parts) == 0) {
		return false
	}
	return Counted(b) && s.Used == used && s.Reserved == 0 && s.Overlap == 0 && len(s.Reservations) == 0 && len(s.InFlight) == 0 &&
		s.Available == max(0, *b.Spec.Max-used)
}

// AwaitUsed waits until a ledger is at rest and holds just so much.
func AwaitUsed(t testing.TB, client dynamic.Interface, name string, used int64) {
	t.Helper()
	Await(t, fmt.Sprintf("%d used in the ledger of budget %s, and nothing under way", used, name), func() (bool, string) {
		b := Budget(t, client, name)
		return Settled(b, used), Held(b)
	})
}
