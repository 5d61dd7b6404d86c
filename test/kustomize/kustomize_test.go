// Package kustomize runs the built program as a KRM function of the built kustomize.
package kustomize

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

var kustomize, webhook, root string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kustomize:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if root, err = controlplane.RepositoryRoot(); err != nil {
		return 1, err
	}
	paths, err := controlplane.EnsureTools(context.Background(), os.Stderr, controlplane.Kustomize)
	if err != nil {
		return 1, err
	}
	kustomize = paths[controlplane.Kustomize]
	dir, err := os.MkdirTemp("", "kubetorch-kustomize-")
	if err != nil {
		return 1, err
	}
	defer func() { err = firstOf(err, os.RemoveAll(dir)) }()
	if webhook, err = harness.Binary(context.Background(), dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// tree copies the examples to a folder with the program beside them, as in the repository
// after make build.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "examples"), os.DirFS(filepath.Join(root, "examples"))))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	require.NoError(t, os.Symlink(webhook, filepath.Join(dir, "bin", "kubetorch-webhook")))
	return dir
}

// build runs kustomize build.
func build(t *testing.T, dir string, flags ...string) (stdout, stderr string, err error) {
	t.Helper()
	c := exec.Command(kustomize, append(append([]string{"build"}, flags...), dir)...)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	err = c.Run()
	return out.String(), errOut.String(), err
}

var plugins = []string{"--enable-alpha-plugins", "--enable-exec"}

func objects(t *testing.T, text string) []manifest.Object {
	t.Helper()
	docs, err := offline.Parse("out", []byte(text))
	require.NoError(t, err)
	all := make([]manifest.Object, len(docs))
	for i, d := range docs {
		all[i] = d.Object
	}
	return all
}

func edit(t *testing.T, path, old, now string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), old)
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, now)), 0o644))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// The function makes of the overlay what expand makes of the same overlay built without
// it, with the same policy and configuration.
func TestTheFunctionAgreesWithExpand(t *testing.T) {
	dir := tree(t)
	overlay := filepath.Join(dir, "examples/kustomize/overlays/krm")
	got, stderr, err := build(t, overlay, plugins...)
	require.NoError(t, err, stderr)

	configs := filepath.Join(dir, "config.yaml")
	function, err := offline.ReadDocuments([]string{filepath.Join(overlay, "expand.yaml")}, nil)
	require.NoError(t, err)
	features := manifest.Objects(function[0].Object, "spec", "knativeConfig")[0]
	text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-features}\ndata:\n"
	for k, v := range manifest.Texts(features, "data") {
		text += "  " + k + ": " + v + "\n"
	}
	write(t, configs, text)
	edit(t, filepath.Join(overlay, "kustomization.yaml"), "transformers:\n- expand.yaml\n", "")
	plain, stderr, err := build(t, overlay)
	require.NoError(t, err, stderr)
	expand := exec.Command(webhook, "expand", "-f", "-", "--policy", filepath.Join(overlay, "policy.yaml"), "--knative-config", configs)
	expand.Stdin = strings.NewReader(plain)
	want, err := expand.Output()
	require.NoError(t, err)

	assert.Equal(t, objects(t, string(want)), objects(t, got))
	var kinds []string
	for _, o := range objects(t, got) {
		kinds = append(kinds, manifest.Text(o, "apiVersion")+" "+manifest.Text(o, "kind")+" "+manifest.Text(o, "metadata", "name"))
		for key := range manifest.Map(o, "metadata", "annotations") {
			assert.NotContains(t, key, "config.kubernetes.io", "kustomize's own annotations are gone")
		}
	}
	assert.Equal(t, []string{"serving.knative.dev/v1 Service summarize", "serving.knative.dev/v1 Service vllm"}, kinds)
}

func TestARefusalFailsTheBuildAndSaysWhy(t *testing.T) {
	dir := tree(t)
	overlay := filepath.Join(dir, "examples/kustomize/overlays/krm")
	edit(t, filepath.Join(overlay, "policy.yaml"), "max: 8", "max: 2")
	stdout, stderr, err := build(t, overlay, plugins...)
	assert.Error(t, err)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "Refused: Deployment krm/vllm (item 2)\n"+
		"  * metadata.annotations[autoscale.kubetorch.com/max-scale]: Forbidden: asks for 4 GPUs (1 x 4 pods); policy krm allows at most 2 (bounds.gpusPerWorkload.max); max-scale 2 fits\n")
}

func TestWithoutPluginsKustomizeRefusesTheFunction(t *testing.T) {
	_, stderr, err := build(t, filepath.Join(tree(t), "examples/kustomize/overlays/krm"))
	assert.Error(t, err)
	assert.Contains(t, stderr, "external plugins disabled")
}

// app is a Deployment for the overlays below.
const app = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {kubetorch.com/autoscale: "true"}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: acme/web, ports: [{name: http, containerPort: 8080}]}
`

const function = `apiVersion: kubetorch.com/v1
kind: Expand
metadata:
  name: expand
  annotations:
    config.kubernetes.io/function: |
      exec: {path: WEBHOOK}
`

// What the other transformers of kustomize do to a Deployment reaches its Knative Service.
func TestOtherTransformersComeFirst(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		check func(t *testing.T, ksvc manifest.Object)
	}{
		"names, namespace and images": {
			files: map[string]string{"kustomization.yaml": "resources: [app.yaml]\nnamePrefix: my-\nnamespace: shop\nimages: [{name: acme/web, newName: registry.acme.example/web, newTag: '7'}]\ntransformers: [expand.yaml]\n"},
			check: func(t *testing.T, ksvc manifest.Object) {
				assert.Equal(t, "shop/my-web", manifest.Text(ksvc, "metadata", "namespace")+"/"+manifest.Text(ksvc, "metadata", "name"))
				assert.Equal(t, "registry.acme.example/web:7", manifest.Text(manifest.Objects(ksvc, "spec", "template", "spec", "containers")[0], "image"))
			}},
		"replicas, which mean nothing": {
			files: map[string]string{"kustomization.yaml": "resources: [app.yaml]\nreplicas: [{name: web, count: 5}]\ntransformers: [expand.yaml]\n"},
			check: func(t *testing.T, ksvc manifest.Object) {
				assert.Equal(t, "0", manifest.Text(ksvc, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/min-scale"))
			}},
		"labels and annotations of everything": {
			files: map[string]string{"kustomization.yaml": "resources: [app.yaml]\ncommonAnnotations: {autoscale.kubetorch.com/min-scale: '2'}\nlabels: [{pairs: {kubetorch.com/compute: 'true', team: a}, includeTemplates: true}]\ntransformers: [expand.yaml]\n"},
			check: func(t *testing.T, ksvc manifest.Object) {
				assert.Equal(t, "2", manifest.Text(ksvc, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/min-scale"))
				assert.Equal(t, map[string]string{"app": "web", "team": "a"}, manifest.Texts(ksvc, "spec", "template", "metadata", "labels"))
				assert.NotContains(t, manifest.Map(ksvc, "spec", "template", "metadata", "annotations"), "autoscale.kubetorch.com/min-scale")
			}},
		"a component that labels and expands": {
			files: map[string]string{
				"kustomization.yaml": "resources: [app.yaml]\ncomponents: [autoscaled]\n",
				"app.yaml":           strings.Replace(app, `  labels: {kubetorch.com/autoscale: "true"}`+"\n", "", 1),
				"autoscaled/kustomization.yaml": `apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches:
- target: {kind: Deployment}
  patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: any
      labels: {kubetorch.com/autoscale: "true"}
      annotations: {autoscale.kubetorch.com/max-scale: "3"}
transformers: [expand.yaml]
`,
				"autoscaled/expand.yaml": function,
			},
			check: func(t *testing.T, ksvc manifest.Object) {
				assert.Equal(t, "3", manifest.Text(ksvc, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale"))
			}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files := map[string]string{"app.yaml": app, "expand.yaml": function}
			maps.Copy(files, c.files)
			for path, text := range files {
				folder := filepath.Dir(filepath.Join(dir, path))
				relative, err := filepath.Rel(folder, dir)
				require.NoError(t, err)
				write(t, filepath.Join(dir, path), strings.ReplaceAll(text, "WEBHOOK", "./"+filepath.Join(relative, "kubetorch-webhook")))
			}
			require.NoError(t, os.Symlink(webhook, filepath.Join(dir, "kubetorch-webhook")))
			out, stderr, err := build(t, dir, plugins...)
			require.NoError(t, err, stderr)
			all := objects(t, out)
			require.Len(t, all, 1)
			assert.Equal(t, "serving.knative.dev/v1 Service", manifest.Text(all[0], "apiVersion")+" "+manifest.Text(all[0], "kind"))
			c.check(t, all[0])
		})
	}
}
