package controlplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestResolve(t *testing.T) {
	root, err := RepositoryRoot()
	require.NoError(t, err)
	all := make([]string, 0, len(tools))
	for _, tool := range tools {
		all = append(all, tool.name)
	}
	entries, err := resolve(root, all)
	require.NoError(t, err)
	for _, e := range entries {
		assert.Regexp(t, `^v\d+\.\d+\.\d+$`, e.version, e.name)
		assert.Regexp(t, `^`+e.name+`-v[\d.]+-[0-9a-f]{12}$`, filepath.Base(e.dir))
	}
	_, err = resolve(root, []string{"docker"})
	assert.ErrorContains(t, err, `unknown tool "docker"`)
}

func TestRequiredVersion(t *testing.T) {
	goMod := []byte("module m\n\nrequire example.com/one v1.2.3\nrequire (\n\texample.com/two v0.4.0 // indirect\n)\n\nreplace example.com/three => example.com/four v4.0.0\n")
	assert.Equal(t, "v1.2.3", requiredVersion(goMod, "example.com/one"))
	assert.Equal(t, "v0.4.0", requiredVersion(goMod, "example.com/two"))
	assert.Empty(t, requiredVersion(goMod, "example.com/three"))
}

func TestKubernetesVersionFlags(t *testing.T) {
	flags := kubernetesVersionFlags("v1.37.2")
	assert.Contains(t, flags, "-X k8s.io/component-base/version.gitVersion=v1.37.2 ")
	assert.Contains(t, flags, "-X k8s.io/component-base/version.gitMinor=37 ")
}

func TestPatchMustMatchExactlyOnce(t *testing.T) {
	p := patch{file: "server.go", old: `":8080"`, new: `"127.0.0.1:0"`}
	for text, want := range map[string]string{
		`Listen(":8080")`:                  `Listen("127.0.0.1:0")`,
		`Listen(":9090")`:                  "",
		`Listen(":8080"); Listen(":8080")`: "",
	} {
		got, err := p.apply([]byte(text))
		if want == "" {
			assert.ErrorContains(t, err, "want exactly once", text)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
}

func TestDecodeManifests(t *testing.T) {
	objects, err := decodeManifests([]byte("---\n# nothing\n---\napiVersion: v1\nkind: Pod\nspec: {priority: 3}\n---\n"))
	require.NoError(t, err)
	require.Len(t, objects, 1)
	priority, _, err := unstructured.NestedInt64(objects[0].Object, "spec", "priority")
	require.NoError(t, err)
	assert.EqualValues(t, 3, priority)

	_, err = decodeManifests([]byte("apiVersion: v1\nnokind: Pod\n"))
	assert.Error(t, err)
}

func TestMergeConfig(t *testing.T) {
	objects, err := decodeManifests([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-gc}\ndata: {a: x, b: y}\n"))
	require.NoError(t, err)
	require.NoError(t, mergeConfig(objects, map[string]map[string]string{"config-gc": {"b": "new", "config.v1": "dots are no path"}}))
	data, _, err := unstructured.NestedStringMap(objects[0].Object, "data")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "x", "b": "new", "config.v1": "dots are no path"}, data)

	err = mergeConfig(objects, map[string]map[string]string{"config-gcc": {"a": "b"}})
	assert.ErrorContains(t, err, `no ConfigMap "config-gcc"`)
}

func TestRunDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d, err := newRunDir(path)
	require.NoError(t, err)
	_, err = newRunDir(path)
	require.ErrorContains(t, err, "locked", "the folder is in use")

	require.NoError(t, os.WriteFile(d.join("logs", "etcd.log"), []byte("text"), 0o600))
	require.NoError(t, d.close(true))
	assert.FileExists(t, d.join("logs", "etcd.log"))
	assert.NoDirExists(t, d.join("pki"))

	d, err = newRunDir(path)
	require.NoError(t, err)
	assert.NoFileExists(t, d.join("logs", "etcd.log"))
	require.NoError(t, d.close(false))
	assert.NoDirExists(t, path)

	other := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(other, "thesis.tex"), nil, 0o600))
	_, err = newRunDir(other)
	require.ErrorContains(t, err, "something other than a control plane")
	assert.FileExists(t, filepath.Join(other, "thesis.tex"))
}

func TestSweepRunDirs(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	used, err := newRunDir("")
	require.NoError(t, err)
	abandoned := filepath.Join(temp, strings.Replace(runDirPattern, "*", "1", 1))
	fresh := filepath.Join(temp, strings.Replace(runDirPattern, "*", "2", 1))
	for _, dir := range []string{abandoned, fresh} {
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, runDirLock), nil, 0o600))
	}
	longAgo := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(abandoned, runDirLock), longAgo, longAgo))
	require.NoError(t, os.Chtimes(used.join(runDirLock), longAgo, longAgo))

	sweepRunDirs(temp)
	assert.NoDirExists(t, abandoned)
	assert.DirExists(t, fresh)
	assert.DirExists(t, used.path)
	require.NoError(t, used.close(false))
}
