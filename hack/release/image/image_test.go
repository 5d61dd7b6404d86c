package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"

	"github.com/kubetorch/webhook/hack/release/image"
)

const (
	hello     = "package main\n\nfunc main() { println(\"hello\") }\n"
	reference = "registry.example/team/hello:v1.2.3"
)

var moment = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// build compiles a program for a platform, from a folder of its own.
func build(t *testing.T, platform, architecture string) string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "main.go"), []byte(hello), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "go.mod"), []byte("module hello\n\ngo 1.26\n"), 0o644))
	return compile(t, folder, ".", platform, architecture)
}

func compile(t *testing.T, folder, source, platform, architecture string, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "hello")
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-o", program}, flags...)
	c := exec.CommandContext(t.Context(), "go", append(args, source)...)
	c.Dir, c.Env = folder, append(os.Environ(), "CGO_ENABLED=0", "GOOS="+platform, "GOARCH="+architecture, "GOFLAGS=", "GOWORK=off")
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

func options(programs map[string]string) image.Options {
	return image.Options{
		Programs: programs, Created: moment, Args: []string{"serve"},
		Annotations: map[string]string{ocispec.AnnotationTitle: "hello", ocispec.AnnotationVersion: "v1.2.3"},
	}
}

func write(t *testing.T, o image.Options) (folder, digest string) {
	t.Helper()
	index, err := image.Build(o)
	require.NoError(t, err)
	folder = filepath.Join(t.TempDir(), "layout")
	written, err := image.WriteLayout(index, folder, reference)
	require.NoError(t, err)
	return folder, written.String()
}

// readJSON reads a blob of a layout with another library than the one that wrote it, which
// checks its digest and size.
func readJSON(t *testing.T, store content.Fetcher, from ocispec.Descriptor, into any) {
	t.Helper()
	data, err := content.FetchAll(t.Context(), store, from)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, into))
}

// entry is a file of a layer.
type entry struct {
	mode    int64
	content []byte
}

func readLayer(t *testing.T, store content.Fetcher, from ocispec.Descriptor) map[string]entry {
	t.Helper()
	data, err := content.FetchAll(t.Context(), store, from)
	require.NoError(t, err)
	plain, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	return readTar(t, plain)
}

func readTar(t *testing.T, from io.Reader) map[string]entry {
	t.Helper()
	found := map[string]entry{}
	for archive := tar.NewReader(from); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		content, err := io.ReadAll(archive)
		require.NoError(t, err)
		assert.Zero(t, header.Uid+header.Gid, "%s belongs to root, and the program's user cannot write it", header.Name)
		found[header.Name] = entry{header.Mode, content}
	}
}

func TestTheLayoutIsReadBackByAnotherLibrary(t *testing.T) {
	t.Parallel()
	programs := map[string]string{"linux/amd64": build(t, "linux", "amd64"), "linux/arm64": build(t, "linux", "arm64")}
	folder, digest := write(t, options(programs))

	store, err := oci.NewFromFS(t.Context(), os.DirFS(folder))
	require.NoError(t, err)
	root, err := store.Resolve(t.Context(), "v1.2.3")
	require.NoError(t, err)
	assert.Equal(t, digest, root.Digest.String())
	assert.Equal(t, ocispec.MediaTypeImageIndex, root.MediaType)
	assert.Equal(t, reference, root.Annotations["io.containerd.image.name"])

	var index ocispec.Index
	readJSON(t, store, root, &index)
	want := map[string]string{ocispec.AnnotationTitle: "hello", ocispec.AnnotationVersion: "v1.2.3"}
	assert.Equal(t, want, index.Annotations)
	var platforms []string
	for _, m := range index.Manifests {
		platform := m.Platform.OS + "/" + m.Platform.Architecture
		platforms = append(platforms, platform)
		var manifest ocispec.Manifest
		readJSON(t, store, m, &manifest)
		assert.Equal(t, want, manifest.Annotations)
		assert.Equal(t, ocispec.MediaTypeImageConfig, manifest.Config.MediaType)
		var config ocispec.Image
		readJSON(t, store, manifest.Config, &config)
		assert.Equal(t, &moment, config.Created)
		assert.Equal(t, *m.Platform, config.Platform)
		assert.Equal(t, ocispec.ImageConfig{
			User: "65532:65532", Entrypoint: []string{"/hello"}, Cmd: []string{"serve"}, WorkingDir: "/", Labels: want,
			Env: []string{"PATH=/", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
		}, config.Config)

		require.Len(t, manifest.Layers, 2)
		base := readLayer(t, store, manifest.Layers[0])
		assert.ElementsMatch(t, []string{"etc/", "etc/ssl/", "etc/ssl/certs/", "etc/ssl/certs/ca-certificates.crt", "etc/group", "etc/passwd"}, keys(base))
		assert.True(t, x509.NewCertPool().AppendCertsFromPEM(base["etc/ssl/certs/ca-certificates.crt"].content))
		compiled, err := os.ReadFile(programs[platform])
		require.NoError(t, err)
		assert.Equal(t, map[string]entry{"hello": {0o555, compiled}}, readLayer(t, store, manifest.Layers[1]))
	}
	assert.Equal(t, []string{"linux/amd64", "linux/arm64"}, platforms)
}

func keys(m map[string]entry) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	return all
}

func TestTwoBuildsGiveOneDigest(t *testing.T) {
	t.Parallel()
	programs := func() map[string]string {
		return map[string]string{"linux/amd64": build(t, "linux", "amd64"), "linux/arm64": build(t, "linux", "arm64")}
	}
	first, one := write(t, options(programs()))
	second, two := write(t, options(programs()))
	assert.Equal(t, one, two)

	archives := [2]bytes.Buffer{}
	require.NoError(t, image.WriteArchive(&archives[0], first))
	require.NoError(t, image.WriteArchive(&archives[1], second))
	assert.Equal(t, archives[0].Bytes(), archives[1].Bytes())
	files := readTar(t, &archives[0])
	assert.Contains(t, files, "index.json")
	assert.Contains(t, files, "oci-layout")

	later := options(programs())
	later.Created = moment.Add(time.Second)
	_, other := write(t, later)
	assert.NotEqual(t, one, other, "what is stated is what is in it")
}

// The webhook itself, as make image builds it, twice and from two copies of the sources.
func TestTheImageOfTheWebhookIsReproducibleAndAnswersVersion(t *testing.T) {
	t.Parallel()
	const version = "v9.8.7"
	made := func(folder string) (store *oci.ReadOnlyStore, digest string) {
		program := compile(t, folder, "./cmd/webhook", runtime.GOOS, runtime.GOARCH,
			"-ldflags", "-s -w -X github.com/kubetorch/webhook/pkg/version.version="+version)
		layout, digest := write(t, options(map[string]string{"linux/" + runtime.GOARCH: program}))
		store, err := oci.NewFromFS(context.WithoutCancel(t.Context()), os.DirFS(layout))
		require.NoError(t, err)
		return store, digest
	}
	elsewhere := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join("../../..", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(elsewhere, name), data, 0o644))
	}
	for _, name := range []string{"cmd", "pkg"} {
		require.NoError(t, os.CopyFS(filepath.Join(elsewhere, name), os.DirFS(filepath.Join("../../..", name))))
	}
	store, one := made("../../..")
	_, two := made(elsewhere)
	assert.Equal(t, one, two)

	root, err := store.Resolve(t.Context(), "v1.2.3")
	require.NoError(t, err)
	var index ocispec.Index
	readJSON(t, store, root, &index)
	var manifest ocispec.Manifest
	readJSON(t, store, index.Manifests[0], &manifest)
	program := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(program, readLayer(t, store, manifest.Layers[1])["hello"].content, 0o555))
	out, err := exec.CommandContext(t.Context(), program, "version").CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), version)
}

func TestWhatCouldNotRunIsRefused(t *testing.T) {
	t.Parallel()
	amd64 := build(t, "linux", "amd64")
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755))
	for name, c := range map[string]struct {
		options image.Options
		want    []string
	}{
		"no program": {image.Options{}, []string{"an image needs a program for one platform at least"}},
		"a program for another architecture, and one that is a script": {
			image.Options{Programs: map[string]string{"linux/arm64": amd64, "linux/amd64": text}},
			[]string{amd64 + " is for amd64, and not for linux/arm64", text + " is no program for linux"},
		},
		"a program that is not there": {image.Options{Programs: map[string]string{"linux/amd64": text + "s"}}, []string{"no such file"}},
		"a platform without a system": {image.Options{Programs: map[string]string{"amd64": amd64}}, []string{`"amd64" is no platform: give it like linux/amd64`}},
		"another system":              {image.Options{Programs: map[string]string{"darwin/amd64": amd64}}, []string{"darwin/amd64: images are made for linux only"}},
		"a program that is linked":    {image.Options{Programs: map[string]string{"linux/" + runtime.GOARCH: dynamic(t)}}, []string{"is not static: it needs /"}},
		"a name with a folder":        {image.Options{Name: "bin/hello", Programs: map[string]string{"linux/amd64": amd64}}, []string{`"bin/hello" is no name of a program`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := image.Build(c.options)
			for _, want := range c.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}

// dynamic is a program of this machine that needs a loader.
func dynamic(t *testing.T) string {
	t.Helper()
	shell, err := filepath.EvalSymlinks("/bin/sh")
	require.NoError(t, err)
	return shell
}

func TestAFolderThatIsNoLayoutIsLeftAlone(t *testing.T) {
	t.Parallel()
	index, err := image.Build(options(map[string]string{"linux/amd64": build(t, "linux", "amd64")}))
	require.NoError(t, err)
	folder := t.TempDir()
	kept := filepath.Join(folder, "notes.txt")
	require.NoError(t, os.WriteFile(kept, []byte("mine"), 0o644))
	_, err = image.WriteLayout(index, folder, reference)
	assert.ErrorContains(t, err, "is not empty and no OCI layout")
	assert.FileExists(t, kept)

	own := filepath.Join(t.TempDir(), "layout")
	for range 2 {
		_, err = image.WriteLayout(index, own, reference)
		require.NoError(t, err, "a layout is replaced")
	}
	for _, wrong := range []string{"hello", "registry.example:5000/hello", ":v1", "hello:"} {
		_, err = image.WriteLayout(index, own, wrong)
		assert.ErrorContains(t, err, "is no reference", wrong)
	}
}
