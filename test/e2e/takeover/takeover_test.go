// Package takeover tests on a real control plane, with fake nodes, that Helm takes over what kubectl
// installed and gives it back, by the commands of the documents.
package takeover

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

const (
	namespace = "kubetorch-system"
	name      = "kubetorch-webhook"
)

var (
	cluster    *controlplane.ControlPlane
	client     dynamic.Interface
	root, helm string

	budgets    = schema.GroupVersionResource{Group: "policy.kubetorch.com", Version: "v1alpha1", Resource: "gpubudgets"}
	mutating   = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	validating = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
)

func TestMain(m *testing.M) { harness.Run(m, run) }

func run(ctx context.Context, m *testing.M) (code int, err error) {
	if root, err = controlplane.RepositoryRoot(); err != nil {
		return 1, err
	}
	tools, err := controlplane.EnsureTools(ctx, os.Stderr, controlplane.Helm)
	if err != nil {
		return 1, err
	}
	helm = tools[controlplane.Helm]
	// Pods are ready at once, so that --wait can be.
	if cluster, err = controlplane.Start(ctx, controlplane.Options{Scheduler: true, Nodes: 1, WithoutKnative: true}); err != nil {
		return 1, err
	}
	defer func() {
		if stopErr := cluster.Stop(); err == nil {
			err = stopErr
		}
	}()
	if client, err = dynamic.NewForConfig(cluster.RESTConfig()); err != nil {
		return 1, err
	}
	go func() {
		<-ctx.Done()
		_ = cluster.Stop()
	}()
	return m.Run(), nil
}

// TestFromKubectlToHelmAndBack: nothing is deleted on the way, no rule is lost, and whoever has taken over
// owns what it applies alone, so that its next version is applied without a conflict.
func TestFromKubectlToHelmAndBack(t *testing.T) {
	dir := t.TempDir()
	pack(t, dir, "v0.1.0")
	pack(t, dir, "v0.2.0", "failureThreshold: 60", "failureThreshold: 90")
	pack(t, dir, "v0.3.0", "kinds.kubetorch.com", "other.kubetorch.com")
	do(t, dir, "kubectl apply --server-side -f install-v0.1.0.yaml")
	before := identities(t)
	store(t, "kept")
	open(t)
	opened := entries(t)
	require.NotContains(t, slices.Collect(maps.Values(opened)), false)
	same := func(what string) {
		t.Helper()
		assert.Equal(t, before, identities(t), what)
		assert.Equal(t, opened, entries(t), what)
	}

	// Helm minds what kubectl owns, also where it says the same.
	for what, set := range map[string]string{"another count": " --set replicas=3", "another image": " --set image.tag=v0.3.0", "the same": ""} {
		out, err := try(t, dir, "helm install conflicting ./chart-v0.1.0 --namespace kubetorch-system --take-ownership --wait"+set)
		require.Error(t, err, what)
		assert.Contains(t, out, `conflicts with "kubectl"`, what)
		do(t, dir, "kubectl -n kubetorch-system delete secret -l owner=helm,name=conflicting")
	}
	same("after an installation that failed")

	const names = "**From kubectl to Helm, and back.**"
	commands := strings.SplitAfter(documented(t, names, "v0.1.0"), "\n") // the names, the installation, what kubectl gives up
	do(t, dir, commands[0]+commands[1])
	same("taken over by Helm")
	out, err := try(t, dir, "helm upgrade kubetorch ./chart-v0.2.0 --namespace kubetorch-system --reuse-values --wait")
	require.Error(t, err)
	assert.Contains(t, out, `conflicts with "kubectl"`, "as long as it has not given it up")
	do(t, dir, commands[0]+commands[2])
	same("given up by kubectl")
	assert.Empty(t, ownedBy(t, "kubectl"))
	requireVersion(t, "v0.1.0", 2, 60)
	do(t, dir, "helm upgrade kubetorch ./chart-v0.2.0 --namespace kubetorch-system --reuse-values --wait --set replicas=3")
	same("upgraded by Helm")
	requireVersion(t, "v0.2.0", 3, 90)
	do(t, dir, "helm upgrade kubetorch ./chart-v0.3.0 --namespace kubetorch-system --reuse-values --wait")
	requireRenamed(t)
	do(t, dir, "helm upgrade kubetorch ./chart-v0.1.0 --namespace kubetorch-system --reuse-values --wait")
	open(t)
	same("back at the first version")
	requireVersion(t, "v0.1.0", 3, 60)

	do(t, dir, commands[0]+documented(t, "Back, with `names` as above,", "v0.1.0"))
	same("given back to kubectl")
	assert.Empty(t, ownedBy(t, "helm"))
	assert.NotContains(t, do(t, dir, "helm list --namespace kubetorch-system"), "kubetorch-webhook")
	requireVersion(t, "v0.1.0", 2, 60)
	do(t, dir, "kubectl apply --server-side -f install-v0.2.0.yaml")
	same("upgraded by kubectl")
	requireVersion(t, "v0.2.0", 2, 90)
	for what, o := range everything(t) {
		assert.NotContains(t, o.GetAnnotations(), "meta.helm.sh/release-name", what)
		assert.NotEqual(t, "Helm", o.GetLabels()["app.kubernetes.io/managed-by"], what)
	}
	do(t, dir, "kubectl apply --server-side -f install-v0.3.0.yaml")
	requireRenamed(t)
	requireStored(t, "kept")

	pastItAndBack(t, dir, opened)
}

// pastItAndBack removes the configurations, as in an emergency, and applies them again: all entries come back
// without rules.
func pastItAndBack(t *testing.T, dir string, opened map[string]bool) {
	t.Helper()
	do(t, dir, documented(t, "To get past it in an emergency:", "v0.2.0"))
	back := strings.SplitAfter(documented(t, "Afterwards, as it was installed, of the same version:", "v0.2.0"), "\n")
	do(t, dir, back[0])
	assert.ElementsMatch(t, slices.Collect(maps.Keys(opened)), slices.Collect(maps.Keys(entries(t))))
	assert.NotContains(t, slices.Collect(maps.Values(entries(t))), true)
}
