package image

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	certificates = "etc/ssl/certs/ca-certificates.crt"
	passwd       = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"
	group        = "root:x:0:\nnonroot:x:65532:\n"
)

// file is a file of a layer, with all folders above it.
type file struct {
	name string
	mode int64
	size int64
	open func() (io.ReadCloser, error)
}

func fixed(name, text string) file {
	return file{name: name, mode: 0o444, size: int64(len(text)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	}}
}

// baseLayer has what a program expects of its system: the CAs that Mozilla trusts, and names
// for the users.
func baseLayer(created time.Time) (v1.Layer, error) {
	return layer(created, fixed(certificates, authorities()), fixed("etc/group", group), fixed("etc/passwd", passwd))
}

// programLayer has a program and nothing else.
func programLayer(name, program string, created time.Time) (v1.Layer, error) {
	if name == "" || name != path.Base(name) || name == "." || name == "/" {
		return nil, fmt.Errorf("%q is no name of a program: give one without slashes", name)
	}
	info, err := os.Stat(program)
	if err != nil {
		return nil, err
	}
	return layer(created, file{name: name, mode: 0o555, size: info.Size(), open: func() (io.ReadCloser, error) {
		return os.Open(program)
	}})
}

// layer is a compressed archive of files that belong to root, which nobody can write.
func layer(created time.Time, files ...file) (v1.Layer, error) {
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(write(writer, created, files)) }()
		return reader, nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

func write(w io.Writer, created time.Time, files []file) error {
	archive := tar.NewWriter(w)
	made := map[string]bool{}
	for _, f := range files {
		if err := writeFolders(archive, created, path.Dir(f.name), made); err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: f.size, ModTime: created, Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		content, err := f.open()
		if err != nil {
			return err
		}
		_, err = io.Copy(archive, content)
		content.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return archive.Close()
}

func writeFolders(archive *tar.Writer, created time.Time, folder string, made map[string]bool) error {
	if folder == "." || made[folder] {
		return nil
	}
	if err := writeFolders(archive, created, path.Dir(folder), made); err != nil {
		return err
	}
	made[folder] = true
	return archive.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755, ModTime: created, Format: tar.FormatPAX,
	})
}

// authorities are the certificates of the CAs that Mozilla trusts without a condition: a file
// of certificates cannot hold conditions.
func authorities() string {
	var all bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		// A buffer takes everything.
		_ = pem.Encode(&all, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
	}
	return all.String()
}
