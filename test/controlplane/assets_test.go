package controlplane

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProgramsThatThereAreAreNotBuilt(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{Etcd, KubeAPIServer, Kubectl} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"), 0o755))
	}
	t.Setenv(assetsVariable, folder)
	paths, err := EnsureTools(t.Context(), nil, KubeAPIServer, Kubectl)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(folder, KubeAPIServer), paths[KubeAPIServer])
	assert.Equal(t, filepath.Join(folder, Kubectl), paths[Kubectl])

	require.NoError(t, os.Chmod(filepath.Join(folder, Etcd), 0o644))
	_, err = EnsureTools(t.Context(), nil, KubeAPIServer)
	assert.ErrorContains(t, err, "there is no program etcd in it: unset it to have all programs built")
}

func TestWhatIsBuiltIsSaidBefore(t *testing.T) {
	t.Parallel()
	entries := func(names ...string) (found []cacheEntry) {
		for _, name := range names {
			found = append(found, cacheEntry{tool: tool{name: name, pkg: "x"}})
		}
		return append(found, cacheEntry{tool: tool{name: knativeManifests}})
	}
	for name, c := range map[string]struct {
		missing []cacheEntry
		want    string
	}{
		"nothing but manifests": {entries(), ""},
		"the demo's programs": {
			entries(Options{}.Tools()[:4]...),
			"building 4 programs into .cache, once: etcd, kube-apiserver, kube-controller-manager, kubectl\n" +
				"that takes about 6 minutes on two quiet cores, and the download of their modules; later runs start at once\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			announce(&log, c.missing)
			assert.Equal(t, c.want, log.String())
		})
	}
	assert.NotContains(t, Options{}.Tools(), Kustomize, "the demo needs none")
	assert.Subset(t, []string{Etcd, KubeAPIServer, KubeControllerManager, Kubectl, KnativeWebhook, KnativeController, knativeManifests}, Options{}.Tools())
}
