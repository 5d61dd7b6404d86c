package gitops

import (
	"testing"

	"github.com/fluxcd/pkg/ssa"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestFlux applies as a Kustomization does, which needs no settings.
func TestFlux(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c, err := client.New(l.config, client.Options{})
	require.NoError(t, err)
	flux := ssa.NewResourceManager(c, nil, ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"})
	apply := func(t *testing.T, u *unstructured.Unstructured) ssa.Action {
		t.Helper()
		change, err := flux.Apply(t.Context(), u.DeepCopy(), ssa.DefaultApplyOptions())
		require.NoError(t, err)
		return change.Action
	}
	drift := func(t *testing.T, u *unstructured.Unstructured) ssa.Action {
		t.Helper()
		// The controller's latest state may fall between the two reads.
		for {
			before := l.live(u).GetResourceVersion()
			change, _, _, err := flux.Diff(t.Context(), u.DeepCopy(), ssa.DefaultDiffOptions())
			require.NoError(t, err)
			if before == l.live(u).GetResourceVersion() {
				return change.Action
			}
		}
	}
	for name, u := range l.manifests() {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, ssa.CreatedAction, apply(t, u))
			l.settle(u)
			assert.Equal(t, ssa.UnchangedAction, drift(t, u))
			before := l.generation(u)
			require.Eventually(t, func() bool { return apply(t, u) == ssa.UnchangedAction }, timeout, tick)
			assert.Equal(t, before, l.generation(u))

			changed := u.DeepCopy()
			require.NoError(t, unstructured.SetNestedField(changed.Object, "7", "metadata", "annotations", "autoscale.kubetorch.com/max-scale"))
			assert.Equal(t, ssa.ConfiguredAction, drift(t, changed), "a change is one")
		})
	}
}
