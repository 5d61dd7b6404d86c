package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// plugin is the name of the kubectl plug-in: kubectl kubetorch.
const plugin = "kubetorch"

// archived is a program packed for a platform.
type archived struct {
	platform, file, sha256 string
}

// pack writes an archive with the program under its name as a plug-in, and the licence.
func (o Options) pack(platform, program string) (archived, error) {
	a := archived{platform: platform, file: fmt.Sprintf("kubectl-%s-%s.tar.gz", plugin, strings.ReplaceAll(platform, "/", "-"))}
	var packed bytes.Buffer
	compressed := gzip.NewWriter(&packed)
	files := tar.NewWriter(compressed)
	for _, f := range []struct {
		from, name string
		mode       int64
	}{{program, "kubectl-" + plugin, 0o755}, {filepath.Join(o.Root, "LICENSE"), "LICENSE", 0o644}} {
		content, err := os.ReadFile(f.from)
		if err != nil {
			return a, err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(content)), ModTime: o.Created.UTC().Truncate(time.Second), Format: tar.FormatPAX}
		if err := files.WriteHeader(header); err != nil {
			return a, err
		}
		if _, err := files.Write(content); err != nil {
			return a, err
		}
	}
	if err := files.Close(); err != nil {
		return a, err
	}
	if err := compressed.Close(); err != nil {
		return a, err
	}
	a.sha256 = fmt.Sprintf("%x", sha256.Sum256(packed.Bytes()))
	return a, os.WriteFile(filepath.Join(o.Out, a.file), packed.Bytes(), 0o644)
}

// krew is the manifest by which the plug-in manager krew installs the archives.
func (o Options) krew(archives []archived) ([]byte, error) {
	type object = map[string]any
	var platforms []any
	for _, a := range archives {
		system, architecture, _ := strings.Cut(a.platform, "/")
		platforms = append(platforms, object{
			"selector": object{"matchLabels": object{"os": system, "arch": architecture}},
			"uri":      fmt.Sprintf("https://github.com/kubetorch/webhook/releases/download/%s/%s", o.Version, a.file),
			"sha256":   a.sha256,
			"bin":      "kubectl-" + plugin,
			"files":    []any{object{"from": "*", "to": "."}},
		})
	}
	return yaml.Marshal(object{
		"apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
		"kind":       "Plugin",
		"metadata":   object{"name": plugin},
		"spec": object{
			"version":          o.Version,
			"homepage":         "https://github.com/kubetorch/webhook",
			"shortDescription": "Expand manifests and see GPU bounds and budgets",
			"description": "Shows what admission makes of labelled manifests, where each value comes from,\n" +
				"and what exists and breaks a bound or a GPU budget.\n",
			"platforms": slices.Clip(platforms),
		},
	})
}
