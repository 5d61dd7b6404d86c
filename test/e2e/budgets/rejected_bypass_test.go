// What a later admission step rejects was charged: it is freed, and not while it may yet be
// stored.

package budgets

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// An object that another webhook rejects was charged, since all of them are asked at the
// same time.
func TestWhatAnotherWebhookRejectsIsFreed(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 16\n")
	other := harness.StartRejecter(t, client, "rejects-"+namespace, map[string]string{"kubernetes.io/metadata.name": namespace}, claiming...)
	require.NoError(t, create(t, namespace, service("a", 8, 1)))
	awaitUsed(t, name, 8)

	other.Percent.Store(100)
	awaitRejecter(t, namespace)
	harness.Eventually(t, "a rejection after the charge", func() bool {
		err := create(t, namespace, service("rejected", 1, 8))
		require.ErrorContains(t, err, harness.RejectedByAnother)
		return budget(t, name).Status.Reserved >= 8
	})
	begun := time.Now()
	other.Percent.Store(0)
	_, err := client.Resource(services).Namespace(namespace).Create(t.Context(), service("b", 1, 1), metav1.CreateOptions{})
	assert.ErrorContains(t, err, "more are reserved by requests under way, and may become free")
	awaitUsed(t, name, 8)
	assert.Greater(t, time.Since(begun), requestTimeout, "freed while the request may still be under way")
	require.NoError(t, create(t, namespace, service("b", 1, 8)))
	awaitUsed(t, name, 16)
}

// awaitRejecter waits until the API server has heard of one that rejects everything in a
// namespace.
func awaitRejecter(t *testing.T, namespace string) {
	t.Helper()
	harness.Eventually(t, "the API server to ask the other webhook", func() bool {
		o := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
		_, err := client.Resource(services).Namespace(namespace).Create(t.Context(), service("probe", 0, 1), o)
		return err != nil && strings.Contains(err.Error(), harness.RejectedByAnother)
	})
}
