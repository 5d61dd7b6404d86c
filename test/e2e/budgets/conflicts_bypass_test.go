// Somebody who writes the ledger all the time gets nothing admitted.

package budgets

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Somebody who writes the budget all the time makes admissions lose, over and over.
func TestAStormOfConflictsAdmitsNothingThatDoesNotFit(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 24\n")
	ctx, stop := context.WithCancel(t.Context())
	var storm sync.WaitGroup
	for i := range 4 {
		storm.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, _ = client.Resource(budgets).Patch(ctx, name, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{"e2e.kubetorch.com/%d":"%d"}}}`, i, n), metav1.PatchOptions{})
			}
		})
	}
	var asking sync.WaitGroup
	for i := range 40 {
		asking.Go(func() {
			code, _, status := answer(t, namespace, service(fmt.Sprintf("s-%d", i), 2, 2))
			switch code {
			case 201, 403, 500, 504:
			case 429:
				assert.Contains(t, status.Message, "please retry")
			default:
				t.Errorf("%d: %s", code, status.Message)
			}
		})
	}
	asking.Wait()
	assert.LessOrEqual(t, listed(t, namespace), int64(24))
	stop()
	storm.Wait()
	require.Eventually(t, func() bool { return settled(budget(t, name), listed(t, namespace)) }, freedAfter, tick)
	assert.LessOrEqual(t, listed(t, namespace), int64(24))
}
