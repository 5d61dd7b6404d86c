package chart

import (
	"bytes"
	"encoding/json"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// What Helm pulls from a registry.
const (
	configType  types.MediaType = "application/vnd.cncf.helm.config.v1+json"
	contentType types.MediaType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	refName                     = "org.opencontainers.image.ref.name"
)

// WriteLayout writes the chart as an OCI layout with one entry, which its version names. A
// layout that is there is replaced.
func (c *Chart) WriteLayout(folder string, annotations map[string]string) (v1.Hash, error) {
	if _, err := os.Stat(folder + "/oci-layout"); err == nil {
		if err := os.RemoveAll(folder); err != nil {
			return v1.Hash{}, err
		}
	}
	into, err := layout.Write(folder, empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Annotations: annotations}
	config, err := blob(into, configType, c.Metadata)
	if err != nil {
		return v1.Hash{}, err
	}
	content, err := blob(into, contentType, c.Archive)
	if err != nil {
		return v1.Hash{}, err
	}
	manifest.Config, manifest.Layers = config, []v1.Descriptor{content}
	data, err := json.Marshal(manifest)
	if err != nil {
		return v1.Hash{}, err
	}
	d, err := blob(into, types.OCIManifestSchema1, data)
	if err != nil {
		return v1.Hash{}, err
	}
	d.Annotations = map[string]string{refName: c.Version}
	return d.Digest, into.AppendDescriptor(d)
}

func blob(into layout.Path, kind types.MediaType, data []byte) (v1.Descriptor, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: kind, Size: size, Digest: digest}, into.WriteBlob(digest, io.NopCloser(bytes.NewReader(data)))
}
