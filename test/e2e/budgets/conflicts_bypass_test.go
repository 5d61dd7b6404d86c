// Somebody who writes the ledger all the time gets nothing admitted.

package budgets

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/e2e/harness"
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
	harness.Await(t, "the ledger to equal what is stored", func() (bool, string) {
		b := budget(t, name)
		return settled(b, listed(t, namespace)), held(b)
	})
	assert.LessOrEqual(t, listed(t, namespace), int64(24))
}
