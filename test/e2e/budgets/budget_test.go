package budgets

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

func TestABudgetFromTheFirstClaimToTheLast(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 16\n")

	require.NoError(t, create(t, namespace, service("a", 2, 4)))
	err := create(t, namespace, service("b", 4, 3))
	require.Error(t, err)
	status := err.(apierrors.APIStatus).Status()
	assert.EqualValues(t, http.StatusForbidden, status.Code)
	assert.Contains(t, status.Message, "asks for 12 GPUs (4 x 3 pods); 8 of 16 are free in budget "+name)

	awaitLedger(t, "the reservation to become use", name, func(s *v1alpha1.GPUBudgetStatus) bool {
		return s.Used == 8 && s.Reserved == 0 && s.Available == 8 && s.Workloads == 1 && len(s.Reservations)+len(s.InFlight) == 0
	})

	require.NoError(t, create(t, namespace, service("c", 8, 1)))
	remove(t, services, namespace, "a")
	awaitLedger(t, "what a deleted Service claimed to be freed", name, func(s *v1alpha1.GPUBudgetStatus) bool {
		return s.Used == 8 && s.Reserved == 0 && s.Overlap == 0 && s.Available == 8
	})
	require.NoError(t, create(t, namespace, service("b", 4, 2)))
}
