package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../../../.."

// program builds a small program of the repository.
func program(t *testing.T) string {
	t.Helper()
	built := filepath.Join(t.TempDir(), "chart")
	c := exec.CommandContext(t.Context(), "go", "-C", root, "build", "-trimpath", "-buildvcs=false", "-o", built, "./hack/chart")
	c.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return built
}

// TestWhatIsInAnImageStandsBesideIt: a bill of materials that names the image by its digest, and the licences
// of every module in it.
func TestWhatIsInAnImageStandsBesideIt(t *testing.T) {
	built, out := program(t), t.TempDir()
	platform := "linux/" + runtime.GOARCH + "=" + built
	require.NoError(t, run(t.Context(), []string{"-reference", "registry.example:5000/a/b:v1", "-layout", filepath.Join(out, "image"), "-about", out, "-root", root, platform}))

	var index struct{ Manifests []struct{ Digest string } }
	text, err := os.ReadFile(filepath.Join(out, "image", "index.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &index))
	require.Len(t, index.Manifests, 1)
	var document struct {
		SPDXVersion string
		Packages    []struct {
			Name, VersionInfo, LicenseConcluded string
			Checksums                           []struct{ Algorithm, ChecksumValue string }
		}
	}
	text, err = os.ReadFile(filepath.Join(out, "sbom.spdx.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &document))
	assert.Equal(t, "SPDX-2.3", document.SPDXVersion)
	image := document.Packages[0]
	assert.Equal(t, []string{"registry.example:5000/a/b", "v1"}, []string{image.Name, image.VersionInfo})
	require.Len(t, image.Checksums, 1)
	assert.Equal(t, index.Manifests[0].Digest, strings.ToLower(image.Checksums[0].Algorithm)+":"+image.Checksums[0].ChecksumValue)
	licenses, err := os.ReadFile(filepath.Join(out, "LICENSES.txt"))
	require.NoError(t, err)
	var modules []string
	for _, p := range document.Packages[1:] {
		modules = append(modules, p.Name)
		assert.NotContains(t, []string{"", "NOASSERTION"}, p.LicenseConcluded, p.Name)
		assert.Contains(t, string(licenses), p.Name+" ", "the text of its licence")
	}
	assert.Subset(t, modules, []string{"github.com/kubetorch/webhook", "std", "github.com/spf13/pflag", "sigs.k8s.io/yaml"})
}

func TestAnImageAloneIsWrittenWithoutThat(t *testing.T) {
	built, out := program(t), t.TempDir()
	require.NoError(t, run(t.Context(), []string{"-reference", "registry.example/b:v1", "-layout", filepath.Join(out, "image"), "linux/" + runtime.GOARCH + "=" + built}))
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

func TestAnImageThatIsDescribedHasATag(t *testing.T) {
	for _, reference := range []string{"registry.example:5000/a", "a", ":v1", "registry.example/:v1"} {
		err := run(t.Context(), []string{"-reference", reference, "-layout", t.TempDir(), "-about", t.TempDir(), "linux/amd64=none"})
		assert.ErrorContains(t, err, reference+": an image that -about describes has a name and a tag")
	}
}
