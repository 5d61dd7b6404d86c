package controlplane

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// pauseImage holds the network namespace of every pod.
const pauseImage = "registry.k8s.io/pause:3.10"

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
	return c.buildPackage(ctx, program, filepath.Join("test", "controlplane", "programs", program))
}

// buildPackage builds a main package of this repository, of whichever module it is.
func (c *ControlPlane) buildPackage(ctx context.Context, name, dir string) (string, error) {
	root, err := RepositoryRoot()
	if err != nil {
		return "", err
	}
	binary := c.dir.join("programs", name)
	return binary, goBuild(ctx, filepath.Join(root, dir), binary)
}

// goBuild builds the main package in a folder.
func goBuild(ctx context.Context, dir, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", binary, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", dir, err, out)
	}
	return nil
}

// imageCommand makes images: the product's own.
var imageCommand = filepath.Join("hack", "release", "cmd", "image")

// preparePrograms builds all that a control plane takes, and has Go's caches hold what it
// builds later: a lab reaches no network.
func preparePrograms(ctx context.Context, o Options) error {
	root, err := RepositoryRoot()
	if err != nil {
		return err
	}
	if _, err := EnsureTools(ctx, os.Stderr, o.Tools()...); err != nil {
		return err
	}
	programs, err := filepath.Glob(filepath.Join(root, "test", "controlplane", "programs", "*"))
	if err != nil {
		return err
	}
	for _, dir := range append(programs, filepath.Join(root, imageCommand)) {
		if err := goBuild(ctx, dir, os.DevNull); err != nil {
			return err
		}
	}
	return nil
}

// LoadImage makes an image of one static program, with what makes the webhook's own image,
// and gives it to the lab's node.
func (c *ControlPlane) LoadImage(ctx context.Context, reference, binary string) error {
	archive := binary + ".tar"
	if filepath.Dir(binary) != c.dir.join("programs") {
		archive = c.dir.join(filepath.Base(binary) + ".tar")
	}
	defer os.Remove(archive)
	if err := runCommand(ctx, c.imageTool, "-reference", reference, "-archive", archive,
		"linux/"+runtime.GOARCH+"="+binary); err != nil {
		return fmt.Errorf("making image %s: %w", reference, err)
	}
	return runCommand(ctx, c.Tool(Ctr), "--namespace=k8s.io", "images", "import", archive)
}

// localReference is the name of an image that no registry has.
func localReference(name, version string) string {
	return "ko.local/" + name + ":" + strings.TrimPrefix(version, "v")
}
