// Package install runs other projects' webhooks as local processes on a control plane.
package install

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/test/controlplane"
)

// Module is a downloaded Go module.
type Module struct {
	Path, Version, Dir string
}

// PinnedModule downloads a module, which also holds its project's manifests, in the version
// that a folder of bench/comparison pins.
func PinnedModule(ctx context.Context, folder, path string) (Module, error) {
	var m Module
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		return m, err
	}
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", path)
	cmd.Dir = filepath.Join(root, "bench", "comparison", folder)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return m, fmt.Errorf("downloading %s: %w\n%s%s", path, err, &out, &errOut)
	}
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		return m, fmt.Errorf("downloading %s: %w", path, err)
	}
	return m, nil
}

// Object is a decoded manifest.
type Object = map[string]any

// KindOf is the kind of an object.
func KindOf(o Object) string { kind, _ := o["kind"].(string); return kind }

// ReadObjects reads the documents of a manifest.
func ReadObjects(file string) ([]Object, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	objects, err := ParseObjects(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return objects, nil
}

// ParseObjects reads the documents of a manifest.
func ParseObjects(text []byte) ([]Object, error) {
	var objects []Object
	for i, document := range strings.Split("\n"+string(text), "\n---") {
		var o Object
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			return nil, fmt.Errorf("reading document %d: %w", i, err)
		}
		if o != nil {
			objects = append(objects, o)
		}
	}
	return objects, nil
}

// Apply applies objects by server-side apply, which has no limit on the size of a CRD, until
// the API server takes them: kinds that were just defined are not served at once.
func Apply(ctx context.Context, cluster *controlplane.ControlPlane, objects ...Object) error {
	var text bytes.Buffer
	for _, o := range objects {
		document, err := json.Marshal(o)
		if err != nil {
			return err
		}
		text.Write(document)
		text.WriteString("\n---\n")
	}
	return ApplyText(ctx, cluster, text.Bytes())
}

// ApplyText applies manifests as Apply does.
func ApplyText(ctx context.Context, cluster *controlplane.ControlPlane, text []byte) error {
	return Await(ctx, "manifests to be applied", func(ctx context.Context) error {
		_, _, err := cluster.Kubectl(ctx, bytes.NewReader(text), "apply", "--server-side", "--force-conflicts", "-f", "-")
		return err
	})
}

// Localhost is a Service that stands for this machine: the API server dials it on the port in
// a webhook configuration, and expects the certificate of the Service.
func Localhost(namespace, name string) Object {
	return Object{
		"apiVersion": "v1", "kind": "Service",
		"metadata": Object{"namespace": namespace, "name": name},
		"spec":     Object{"type": "ExternalName", "externalName": "localhost"},
	}
}

// FreePorts asks the kernel for n different free loopback ports.
func FreePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// Await polls until probe succeeds; the error carries the probe's last one.
func Await(ctx context.Context, what string, probe func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, 3*time.Minute, true, func(ctx context.Context) (bool, error) {
		err := probe(ctx)
		if err != nil && ctx.Err() == nil {
			last = err
		}
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", what, errors.Join(err, last))
	}
	return nil
}
