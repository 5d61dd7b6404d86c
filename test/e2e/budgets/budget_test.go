package budgets

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

	require.Eventually(t, func() bool {
		s := budget(t, name).Status
		return s.Used == 8 && s.Reserved == 0 && s.Available == 8 && s.Workloads == 1 && len(s.Reservations) == 0
	}, freedAfter, tick, "the reservation never became use")

	require.NoError(t, create(t, namespace, service("c", 8, 1)))
	require.NoError(t, client.Resource(services).Namespace(namespace).Delete(context.Background(), "a", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool {
		s := budget(t, name).Status
		return s.Used == 8 && s.Reserved == 0 && s.Overlap == 0 && s.Available == 8
	}, freedAfter, tick, "what a deleted Service claimed was never freed")
	require.NoError(t, create(t, namespace, service("b", 4, 2)))
}
