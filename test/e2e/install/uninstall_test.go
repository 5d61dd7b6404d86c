package install

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// Item 56 of the checklist: helm uninstall leaves the cluster open, and the policies and
// ledgers in it; kubectl installs over them, and its removal does the same; and what was left
// goes when it is asked to.
func TestUninstallingLeavesPoliciesAndLedgersAndNothingThatStopsTheCluster(t *testing.T) {
	installed(t)
	ns := stays
	awaitUsed(t, ns, 0)
	store(t, services, ns, service("inference", "", 1, 3))
	awaitUsed(t, ns, 3)
	before := budget(t, ns)

	for _, command := range documented(t, "With Helm:") {
		execute(t, command)
	}
	requireNothingInTheWay(t, ns)
	assert.Equal(t, before.Status.Namespaces, budget(t, ns).Status.Namespaces, "the ledger as it was")
	assert.Equal(t, before.Spec, budget(t, ns).Spec)
	assert.True(t, exists(policies, "", ns))
	require.NoError(t, hook.Stop()) // as the pods
	hook = nil
	requireNothingInTheWay(t, ns)

	// kubectl puts it back over what was left.
	require.NoError(t, start(filepath.Join(root, "deploy")))
	awaitUsed(t, ns, 3)
	assert.ErrorContains(t, create(t.Context(), services, ns, service("more", "", 1, 3)), "2 of")
	assert.ErrorContains(t, create(t.Context(), services, ns, service("wide", "", 0, 9)), "at most 4")

	before = budget(t, ns)
	for _, command := range documented(t, "With kubectl:") {
		execute(t, command)
	}
	requireNothingInTheWay(t, ns)
	assert.Equal(t, before.Status.Namespaces, budget(t, ns).Status.Namespaces)
	require.NoError(t, hook.Stop())
	hook = nil
	for _, command := range documented(t, "The policies, budgets and ledgers, too, if nobody needs them again:") {
		execute(t, command)
	}
	harness.Await(t, "nothing left", func() (bool, string) {
		still := left(t)
		return len(still) == 0, fmt.Sprint(still)
	})
}

// requireNothingInTheWay demands that no configuration is left, and that everything that the
// webhook would be asked about is admitted.
func requireNothingInTheWay(t *testing.T, ns string) {
	t.Helper()
	for _, gvr := range []schema.GroupVersionResource{mutating, validating} {
		list, err := client.Resource(gvr).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, o := range list.Items {
			assert.NotContains(t, fmt.Sprint(o.Object["webhooks"]), "kubetorch", "%s %s", o.GetKind(), o.GetName())
		}
	}
	for what, make := range map[string]func(ctx context.Context) error{
		"a Deployment":                       func(ctx context.Context) error { return create(ctx, deployments, ns, deployment("a", "")) },
		"a labelled Deployment":              func(ctx context.Context) error { return create(ctx, deployments, ns, deployment("b", labelled)) },
		"a Deployment with GPUs":             func(ctx context.Context) error { return create(ctx, deployments, ns, withGPU("c", "")) },
		"a Knative Service beyond the bound": func(ctx context.Context) error { return create(ctx, services, ns, service("d", "", 1, 9)) },
	} {
		// The API server takes a moment to forget the configurations.
		harness.Eventually(t, what, func() bool { return make(t.Context()) == nil })
	}
}

// left are the cluster-wide objects of the webhook.
func left(t *testing.T) (found []string) {
	t.Helper()
	disco, err := discovery.NewDiscoveryClientForConfig(cluster.RESTConfig())
	require.NoError(t, err)
	lists, err := disco.ServerPreferredResources()
	require.NoError(t, err)
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		require.NoError(t, err)
		for _, resource := range list.APIResources {
			if resource.Namespaced || !strings.Contains(strings.Join(resource.Verbs, " "), "list") {
				continue
			}
			objects, err := client.Resource(group.WithResource(resource.Name)).List(t.Context(), metav1.ListOptions{})
			if apierrors.IsNotFound(err) {
				continue // went meanwhile
			}
			require.NoError(t, err)
			for _, o := range objects.Items {
				if strings.Contains(o.GetName(), "kubetorch") {
					found = append(found, o.GetKind()+" "+o.GetName())
				}
			}
		}
	}
	return found
}
