package gitops

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/fluxcd/pkg/ssa"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// configurations are the shipped ones under another name, so that the webhook leaves them alone.
func configurations(t *testing.T, l *lab) map[schema.GroupVersionResource]*unstructured.Unstructured {
	t.Helper()
	all := map[schema.GroupVersionResource]*unstructured.Unstructured{}
	for _, kind := range []string{"mutating", "validating"} {
		raw, err := os.ReadFile(filepath.FromSlash("../../deploy/base/webhooks/" + kind + ".yaml"))
		require.NoError(t, err)
		u := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal(raw, &u.Object))
		u.SetName(l.namespace)
		resource := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: kind + "webhookconfigurations"}
		t.Cleanup(func() {
			_ = l.client.Resource(resource).Delete(context.Background(), u.GetName(), metav1.DeleteOptions{})
		})
		all[resource] = u
	}
	return all
}

func (l *lab) configuration(t *testing.T, resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	t.Helper()
	u, err := l.client.Resource(resource).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return u
}

// open writes rules and CAs as a replica does. The rules are about nothing that there is.
func (l *lab) open(t *testing.T, resource schema.GroupVersionResource, name string) {
	t.Helper()
	webhooks, _, err := unstructured.NestedSlice(l.configuration(t, resource, name).Object, "webhooks")
	require.NoError(t, err)
	var operations []map[string]any
	for i := range webhooks {
		operations = append(operations,
			map[string]any{"op": "add", "path": fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i), "value": []byte("-----BEGIN CERTIFICATE-----\n")},
			map[string]any{"op": "add", "path": fmt.Sprintf("/webhooks/%d/rules", i), "value": []any{map[string]any{
				"apiGroups": []any{"none.example.com"}, "apiVersions": []any{"v1"}, "resources": []any{"nones"}, "operations": []any{"CREATE"}, "scope": "Namespaced"}}})
	}
	patch, err := json.Marshal(operations)
	require.NoError(t, err)
	_, err = l.client.Resource(resource).Patch(t.Context(), name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: "kubetorch-webhook"})
	require.NoError(t, err)
}

// requireOpen demands that no rule was taken away.
func (l *lab) requireOpen(t *testing.T, resource schema.GroupVersionResource, name string) {
	t.Helper()
	webhooks, _, err := unstructured.NestedSlice(l.configuration(t, resource, name).Object, "webhooks")
	require.NoError(t, err)
	require.NotEmpty(t, webhooks)
	for _, w := range webhooks {
		entry := w.(map[string]any)
		assert.NotEmpty(t, entry["rules"], entry["name"])
		bundle, _, _ := unstructured.NestedString(entry, "clientConfig", "caBundle")
		assert.NotEmpty(t, bundle, entry["name"])
	}
}

// What the first ready replica writes is no difference to Argo CD, and a sync leaves it.
func TestArgoCDSeesNoDriftInOpenedConfigurations(t *testing.T) {
	for name, c := range map[string]struct {
		serverSide bool
		settings   []diff.Option
	}{
		"without any setting":   {false, nil},
		"with ServerSideDiff":   {true, []diff.Option{diff.WithServerSideDiff(true)}},
		"with structured merge": {true, []diff.Option{diff.WithStructuredMergeDiff(true)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArgo(t)
			for resource, u := range configurations(t, a.lab) {
				a.sync(t, u, c.serverSide)
				a.open(t, resource, u.GetName())
				r, err := diff.Diff(u.DeepCopy(), a.configuration(t, resource, u.GetName()), append(c.settings, a.always...)...)
				require.NoError(t, err)
				assert.False(t, r.Modified, "%s: %s becomes %s", resource.Resource, r.NormalizedLive, r.PredictedLive)
				a.sync(t, u, c.serverSide)
				a.requireOpen(t, resource, u.GetName())
			}
		})
	}
}

// The same goes for Flux.
func TestFluxSeesNoDriftInOpenedConfigurations(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c, err := client.New(l.config, client.Options{})
	require.NoError(t, err)
	flux := ssa.NewResourceManager(c, nil, ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"})
	for resource, u := range configurations(t, l) {
		_, err := flux.Apply(t.Context(), u.DeepCopy(), ssa.DefaultApplyOptions())
		require.NoError(t, err)
		l.open(t, resource, u.GetName())
		change, _, _, err := flux.Diff(t.Context(), u.DeepCopy(), ssa.DefaultDiffOptions())
		require.NoError(t, err)
		assert.Equal(t, ssa.UnchangedAction, change.Action)
		change, err = flux.Apply(t.Context(), u.DeepCopy(), ssa.DefaultApplyOptions())
		require.NoError(t, err)
		assert.Equal(t, ssa.UnchangedAction, change.Action)
		l.requireOpen(t, resource, u.GetName())
	}
}
