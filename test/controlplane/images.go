package controlplane

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// pauseImage holds the network namespace of every pod.
const pauseImage = "registry.k8s.io/pause:3.10"

// imageUser is the user of the lab's images, where a pod names none.
const imageUser = "65532"

// LoadProgram builds one of the programs in programs/ and makes it an image of the lab's
// node.
func (c *ControlPlane) LoadProgram(ctx context.Context, reference, program string) error {
	binary, err := c.buildProgram(ctx, program)
	if err != nil {
		return err
	}
	return c.LoadImage(ctx, reference, binary)
}

// buildProgram builds one of the programs in programs/ and returns its path.
func (c *ControlPlane) buildProgram(ctx context.Context, program string) (string, error) {
	root, err := RepositoryRoot()
	if err != nil {
		return "", err
	}
	binary := c.dir.join("programs", program)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
	cmd.Dir = filepath.Join(root, "test", "controlplane", "programs", program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", program, err, out)
	}
	return binary, nil
}

// LoadImage makes an image of one static program and gives it to the lab's node.
func (c *ControlPlane) LoadImage(ctx context.Context, reference, binary string) error {
	content, err := os.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("making image %s: %w", reference, err)
	}
	archive, err := imageArchive(reference, filepath.Base(binary), content)
	if err != nil {
		return fmt.Errorf("making image %s: %w", reference, err)
	}
	return c.importImages(ctx, archive)
}

// importImages gives an archive of images to the lab's node.
func (c *ControlPlane) importImages(ctx context.Context, archive []byte) error {
	file, err := os.CreateTemp(c.dir.path, "image-*.tar")
	if err != nil {
		return fmt.Errorf("importing an image: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := file.Write(archive); err != nil {
		return fmt.Errorf("importing an image: %w", err)
	}
	return runCommand(ctx, c.Tool(Ctr), "--namespace=k8s.io", "images", "import", "--all-platforms", file.Name())
}

// imageArchive is an archive, as docker save writes them, of an image with one program in
// one layer.
func imageArchive(reference, program string, content []byte) ([]byte, error) {
	layer, err := tarball(
		entry{tar.Header{Name: program, Mode: 0o755, Typeflag: tar.TypeReg}, content},
		entry{tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}, nil})
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"User": imageUser, "Entrypoint": []string{"/" + program}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	})
	if err != nil {
		return nil, err
	}
	name := digest(config) + ".json"
	manifest, err := json.Marshal([]map[string]any{{
		"Config": name, "RepoTags": []string{reference}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return nil, err
	}
	return tarball(
		entry{tar.Header{Name: "layer.tar", Mode: 0o644, Typeflag: tar.TypeReg}, layer},
		entry{tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}, config},
		entry{tar.Header{Name: "manifest.json", Mode: 0o644, Typeflag: tar.TypeReg}, manifest})
}

type entry struct {
	header  tar.Header
	content []byte
}

func tarball(entries ...entry) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		e.header.Size = int64(len(e.content))
		if err := w.WriteHeader(&e.header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// localReference is the name of an image that no registry has.
func localReference(name, version string) string {
	return "ko.local/" + name + ":" + strings.TrimPrefix(version, "v")
}
