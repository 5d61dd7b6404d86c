package image

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// refName is the tag of a layout's entry, where tools such as skopeo, crane and oras look.
	refName = "org.opencontainers.image.ref.name"
	// fullName is the whole reference, where containerd looks.
	fullName = "io.containerd.image.name"
)

// WriteLayout replaces a folder by an OCI layout with one entry, which reference names:
// a repository and a tag, such as example.com/webhook:v1.
func WriteLayout(index v1.ImageIndex, folder, reference string) (v1.Hash, error) {
	_, tag, err := splitReference(reference)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := discard(folder); err != nil {
		return v1.Hash{}, err
	}
	digest, err := index.Digest()
	if err != nil {
		return v1.Hash{}, err
	}
	outer := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	outer = mutate.AppendManifests(outer, mutate.IndexAddendum{Add: index, Descriptor: v1.Descriptor{
		Annotations: map[string]string{refName: tag, fullName: reference},
	}})
	_, err = layout.Write(folder, outer)
	return digest, err
}

// discard removes a layout that is there. It leaves a folder alone that is something else.
func discard(folder string) error {
	entries, err := os.ReadDir(folder)
	if os.IsNotExist(err) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(folder, "oci-layout")); err != nil {
		return fmt.Errorf("%s is not empty and no OCI layout: it is left as it is", folder)
	}
	return os.RemoveAll(folder)
}

// splitReference takes a repository and a tag apart.
func splitReference(reference string) (repository, tag string, err error) {
	at := strings.LastIndex(reference, ":")
	if at < 0 || strings.Contains(reference[at:], "/") || at == 0 || at == len(reference)-1 {
		return "", "", fmt.Errorf("%q is no reference: give it like example.com/webhook:v1", reference)
	}
	return reference[:at], reference[at+1:], nil
}

// WriteArchive writes the files of a layout into one archive, which ctr images import,
// podman load and skopeo read.
func WriteArchive(w io.Writer, folder string) error {
	archive := tar.NewWriter(w)
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		inside, err := filepath.Rel(folder, name)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: path.Clean(filepath.ToSlash(inside)), Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(0, 0),
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err = archive.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	return archive.Close()
}
