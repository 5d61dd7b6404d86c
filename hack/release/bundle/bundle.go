package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/kubetorch/webhook/hack/release/chart"
	"github.com/kubetorch/webhook/hack/release/sbom"
)

// shipped is the image that the manifests under deploy/ name.
const shipped = "ghcr.io/kubetorch/kubetorch-webhook"

// Options of a release. All are needed.
type Options struct {
	// Version is the release's, such as v0.1.0.
	Version string
	// Root is the repository, Out the folder for everything; the image's layout is there, in
	// the folder image.
	Root, Out string
	// Image and Charts are the repositories that image and chart are pushed to.
	Image, Charts string
	// Programs are those of the image, by platform.
	Programs map[string]string
	// Created is the moment of the commit.
	Created time.Time
	// Annotations are those of the image.
	Annotations map[string]string
}

// Write writes a release, and returns the commands that push it.
func (o Options) Write(ctx context.Context) (push []string, err error) {
	if !version.MatchString(o.Version) {
		return nil, fmt.Errorf("%q is no version of a release: give it like v0.1.0", o.Version)
	}
	news, err := changes(o.Root, o.Version)
	if err != nil {
		return nil, err
	}
	digest, err := o.digest()
	if err != nil {
		return nil, err
	}
	packed, err := o.chart(digest)
	if err != nil {
		return nil, err
	}
	install, err := manifests(o.Root, o.Image, o.Version, digest)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		packed: nil, "install.yaml": install, "notes.md": []byte(o.notes(news, digest)),
	}
	var archives []archived
	for _, platform := range slices.Sorted(maps.Keys(o.Programs)) {
		a, err := o.pack(platform, o.Programs[platform])
		if err != nil {
			return nil, err
		}
		archives = append(archives, a)
	}
	if files[plugin+".yaml"], err = o.krew(archives); err != nil {
		return nil, err
	}
	for name, content := range files {
		if content == nil {
			continue // written already
		}
		if err := os.WriteFile(filepath.Join(o.Out, name), content, 0o644); err != nil {
			return nil, err
		}
	}
	about := sbom.Document{Name: o.Image, Version: o.Version, Digest: digest, Created: o.Created}
	if err := about.Write(ctx, o.Root, o.Out, slices.Sorted(maps.Values(o.Programs))...); err != nil {
		return nil, err
	}
	if err := checksums(o.Out); err != nil {
		return nil, err
	}
	number := strings.TrimPrefix(o.Version, "v")
	return []string{
		fmt.Sprintf("oras cp --recursive --from-oci-layout %s:%s %s:%s", filepath.Join(o.Out, "image"), o.Version, o.Image, o.Version),
		fmt.Sprintf("oras cp --from-oci-layout %s:%s %s/kubetorch-webhook:%s", filepath.Join(o.Out, "chart"), number, o.Charts, number),
		fmt.Sprintf("gh release create %s --notes-file %s %s", o.Version, filepath.Join(o.Out, "notes.md"), filepath.Join(o.Out, "*.*")),
	}, nil
}

// digest is that of the image's layout.
func (o Options) digest() (string, error) {
	index, err := layout.ImageIndexFromPath(filepath.Join(o.Out, "image"))
	if err != nil {
		return "", fmt.Errorf("reading the image: %w", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return "", fmt.Errorf("reading the image: %w", err)
	}
	if len(manifest.Manifests) != 1 {
		return "", fmt.Errorf("the image's layout has %d entries, and not one", len(manifest.Manifests))
	}
	return manifest.Manifests[0].Digest.String(), nil
}

// chart writes the chart twice, for people and for registries, and returns the archive's name.
func (o Options) chart(digest string) (string, error) {
	c, err := chart.Pack(filepath.Join(o.Root, "charts", "kubetorch-webhook"), chart.Release{Version: o.Version, Digest: digest, Created: o.Created})
	if err != nil {
		return "", err
	}
	if _, err := c.WriteLayout(filepath.Join(o.Out, "chart"), o.Annotations); err != nil {
		return "", err
	}
	name := c.Name + "-" + c.Version + ".tgz"
	return name, os.WriteFile(filepath.Join(o.Out, name), c.Archive, 0o644)
}

// checksums writes the SHA-256 of every file, as sha256sum -c reads it.
func checksums(folder string) error {
	const name = "checksums.txt"
	var lines strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		inside, err := filepath.Rel(folder, path)
		if err != nil || inside == name {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(content), filepath.ToSlash(inside))
		return nil
	})
	return errors.Join(err, os.WriteFile(filepath.Join(folder, name), []byte(lines.String()), 0o644))
}
