package bundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/hack/release/bundle"
	"github.com/kubetorch/webhook/hack/release/image"
)

const (
	root    = "../../.."
	version = "v0.1.0"
	name    = "ghcr.io/kubetorch/kubetorch-webhook"
)

var moment = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func command(t *testing.T, program string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, args...)
	home := t.TempDir() // nothing of the user's
	c.Env = append(os.Environ(), "GOWORK=off", "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var errOut bytes.Buffer
	c.Stderr = &errOut
	out, err := c.Output()
	require.NoError(t, err, "%s %q: %s", program, args, errOut.String())
	return string(out)
}

// release writes a release of the webhook for this platform.
func release(t *testing.T) (o bundle.Options, digest string, push []string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "kubetorch-webhook")
	t.Setenv("CGO_ENABLED", "0")
	command(t, "go", "-C", root, "build", "-trimpath", "-buildvcs=false", "-o", program,
		"-ldflags", "-s -w -X github.com/kubetorch/webhook/pkg/version.version="+version, "./cmd/webhook")
	o = bundle.Options{
		Version: version, Root: root, Out: t.TempDir(), Image: name, Charts: "ghcr.io/kubetorch/charts",
		Programs: map[string]string{"linux/" + runtime.GOARCH: program}, Created: moment,
	}
	index, err := image.Build(image.Options{Programs: o.Programs, Created: moment})
	require.NoError(t, err)
	hash, err := image.WriteLayout(index, filepath.Join(o.Out, "image"), name+":"+version)
	require.NoError(t, err)
	push, err = o.Write(t.Context())
	require.NoError(t, err)
	return o, hash.String(), push
}

func TestARelease(t *testing.T) {
	o, digest, push := release(t)
	read := func(file string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(o.Out, file))
		require.NoError(t, err)
		return string(text)
	}
	pinned := name + ":" + version + "@" + digest

	t.Run("the manifests name the version and the digest, and nothing latest", func(t *testing.T) {
		assert.Equal(t, 1, strings.Count(read("install.yaml"), "image: "+pinned+"\n"))
		assert.NotContains(t, read("install.yaml"), ":latest")
		assert.NotContains(t, read("install.yaml"), "unreleased")
	})
	t.Run("the chart does, read by helm from a registry that another library pushed it to", func(t *testing.T) {
		server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
		defer server.Close()
		host := strings.TrimPrefix(server.URL, "http://")
		store, err := oci.NewFromFS(t.Context(), os.DirFS(filepath.Join(o.Out, "chart")))
		require.NoError(t, err)
		into, err := remote.NewRepository(host + "/charts/kubetorch-webhook")
		require.NoError(t, err)
		into.PlainHTTP = true
		_, err = oras.Copy(t.Context(), store, "0.1.0", into, "0.1.0", oras.DefaultCopyOptions)
		require.NoError(t, err)

		helm := strings.TrimSpace(command(t, "go", "-C", root, "run", "./test/controlplane/cmd", "tool", "helm"))
		for _, from := range []string{"oci://" + host + "/charts/kubetorch-webhook", filepath.Join(o.Out, "kubetorch-webhook-0.1.0.tgz")} {
			args := []string{"template", "release", from}
			if strings.HasPrefix(from, "oci") {
				args = append(args, "--version", "0.1.0", "--plain-http")
			}
			rendered := command(t, helm, args...)
			assert.Equal(t, 2, strings.Count(rendered, "image: "+pinned+"\n"), "the Deployment and the check, from %s", from)
			assert.NotContains(t, rendered, ":latest")
		}
	})
	t.Run("every file is as its checksum says", func(t *testing.T) {
		listed := map[string]string{}
		for line := range strings.Lines(read("checksums.txt")) {
			sum, file, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
			require.True(t, ok)
			listed[file] = sum
		}
		for _, file := range []string{"install.yaml", "sbom.spdx.json", "LICENSES.txt", "notes.md", "kubetorch.yaml", "image/index.json", "chart/index.json"} {
			assert.Contains(t, listed, file)
		}
		for file, sum := range listed {
			assert.Equal(t, fmt.Sprintf("%x", sha256.Sum256([]byte(read(file)))), sum, file)
		}
	})
	t.Run("the bill of materials names every module with its licence", func(t *testing.T) {
		var document struct {
			SPDXVersion       string
			DocumentNamespace string
			Packages          []struct{ SPDXID, Name, VersionInfo, LicenseConcluded string }
			Relationships     []struct{ SPDXElementID, RelationshipType, RelatedSPDXElement string }
		}
		require.NoError(t, json.Unmarshal([]byte(read("sbom.spdx.json")), &document))
		assert.Equal(t, "SPDX-2.3", document.SPDXVersion)
		names, ids := map[string]string{}, map[string]bool{}
		for _, p := range document.Packages {
			require.False(t, ids[p.SPDXID], "%s is used twice", p.SPDXID)
			ids[p.SPDXID] = true
			names[p.Name] = p.LicenseConcluded
			assert.NotContains(t, []string{"", "NOASSERTION"}, p.LicenseConcluded, p.Name)
		}
		for _, r := range document.Relationships {
			assert.True(t, ids[r.RelatedSPDXElement], r.RelatedSPDXElement)
		}
		assert.Equal(t, "Apache-2.0", names["github.com/kubetorch/webhook"])
		assert.Equal(t, "Apache-2.0", names["k8s.io/client-go"])
		assert.Equal(t, "BSD-3-Clause", names["std"])
		assert.Contains(t, read("LICENSES.txt"), "k8s.io/client-go v0.37.2 (LICENSE)")
	})
	t.Run("the plug-in's archive holds the program that its manifest names", func(t *testing.T) {
		var krew struct {
			Spec struct {
				Version   string
				Platforms []struct{ URI, SHA256, Bin string }
			}
		}
		require.NoError(t, yaml.Unmarshal([]byte(read("kubetorch.yaml")), &krew))
		assert.Equal(t, version, krew.Spec.Version)
		require.Len(t, krew.Spec.Platforms, 1)
		archive := read(filepath.Base(krew.Spec.Platforms[0].URI))
		assert.Equal(t, fmt.Sprintf("%x", sha256.Sum256([]byte(archive))), krew.Spec.Platforms[0].SHA256)
		folder := t.TempDir()
		unpack(t, archive, folder)
		out := command(t, filepath.Join(folder, krew.Spec.Platforms[0].Bin), "version")
		assert.Contains(t, out, version)
		kubectl := strings.TrimSpace(command(t, "go", "-C", root, "run", "./test/controlplane/cmd", "tool", "kubectl"))
		t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
		assert.Contains(t, command(t, kubectl, "plugin", "list"), filepath.Join(folder, "kubectl-kubetorch")+"\n")
		assert.Contains(t, command(t, kubectl, "kubetorch", "--version"), version)
	})
	t.Run("the notes say what is new, and how to install just this", func(t *testing.T) {
		assert.True(t, strings.HasPrefix(read("notes.md"), "The first release."))
		assert.Contains(t, read("notes.md"), pinned)
		assert.Contains(t, read("notes.md"), "--version 0.1.0")
	})
	assert.Equal(t, []string{
		"oras cp --recursive --from-oci-layout " + o.Out + "/image:v0.1.0 ghcr.io/kubetorch/kubetorch-webhook:v0.1.0",
		"oras cp --from-oci-layout " + o.Out + "/chart:0.1.0 ghcr.io/kubetorch/charts/kubetorch-webhook:0.1.0",
		"gh release create v0.1.0 --notes-file " + o.Out + "/notes.md " + o.Out + "/*.*",
	}, push)

	again, other, _ := release(t)
	assert.Equal(t, digest, other)
	before, after := read("checksums.txt"), ""
	text, err := os.ReadFile(filepath.Join(again.Out, "checksums.txt"))
	require.NoError(t, err)
	after = string(text)
	assert.Equal(t, before, after, "two releases of one commit are the same files")
}

func unpack(t *testing.T, archive, folder string) {
	t.Helper()
	plain, err := gzip.NewReader(strings.NewReader(archive))
	require.NoError(t, err)
	for files := tar.NewReader(plain); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		content, err := io.ReadAll(files)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, filepath.Base(header.Name)), content, os.FileMode(header.Mode)))
	}
}

func TestWhatCannotBeReleased(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ version, want string }{
		"latest":                           {"latest", `"latest" is no version of a release: give it like v0.1.0`},
		"a version without v":              {"0.1.0", "is no version of a release"},
		"one that the changelog is silent": {"v77.0.0", `CHANGELOG.md says nothing of v77.0.0: give it a section "## v77.0.0" that says what is new`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := bundle.Options{Version: c.version, Root: root, Out: t.TempDir()}.Write(t.Context())
			assert.ErrorContains(t, err, c.want)
		})
	}
}
