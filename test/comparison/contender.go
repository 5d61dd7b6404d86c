package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/test/controlplane"
)

// rules holds the same rule, a sum of at most 64 GPUs, as each contender writes it.
//
//go:embed rules
var rules embed.FS

// contender is a webhook that can hold the rule.
type contender interface {
	// Name is what the table calls it.
	Name() string
	// Tools are the programs to build for it, beside the control plane's.
	Tools() []string
	// Options are those of its control plane.
	Options() controlplane.Options
	// Install starts it on a control plane and puts the rule in force. It returns the
	// version that runs.
	Install(ctx context.Context, cluster *controlplane.ControlPlane, tools map[string]string) (version string, err error)
}

// module is a downloaded Go module.
type module struct {
	Path, Version, Dir string
}

// pinnedModule downloads a module, which also holds its project's manifests, in the version
// that a folder beside this file pins.
func pinnedModule(ctx context.Context, folder, path string) (module, error) {
	var m module
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		return m, err
	}
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", path)
	cmd.Dir = filepath.Join(root, "test", "comparison", folder)
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

// object is a decoded manifest.
type object = map[string]any

func kindOf(o object) string { kind, _ := o["kind"].(string); return kind }

// readObjects reads the documents of a manifest.
func readObjects(file string) ([]object, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var objects []object
	for i, document := range strings.Split("\n"+string(text), "\n---") {
		var o object
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			return nil, fmt.Errorf("reading document %d of %s: %w", i, file, err)
		}
		if o != nil {
			objects = append(objects, o)
		}
	}
	return objects, nil
}

// apply applies objects by server-side apply, which has no limit on the size of a CRD, until
// the API server takes them: kinds that were just defined are not served at once.
func apply(ctx context.Context, cluster *controlplane.ControlPlane, objects ...object) error {
	var text bytes.Buffer
	for _, o := range objects {
		document, err := json.Marshal(o)
		if err != nil {
			return err
		}
		text.Write(document)
		text.WriteString("\n---\n")
	}
	return applyText(ctx, cluster, text.Bytes())
}

// applyRule applies one of the files under rules/.
func applyRule(ctx context.Context, cluster *controlplane.ControlPlane, name string) error {
	text, err := rules.ReadFile("rules/" + name)
	if err != nil {
		return err
	}
	return applyText(ctx, cluster, text)
}

func applyText(ctx context.Context, cluster *controlplane.ControlPlane, text []byte) error {
	return await(ctx, "manifests to be applied", func(ctx context.Context) error {
		_, _, err := cluster.Kubectl(ctx, bytes.NewReader(text), "apply", "--server-side", "--force-conflicts", "-f", "-")
		return err
	})
}

// localhost is a Service that stands for this machine: the API server dials it on the port in
// a webhook configuration, and expects the certificate of the Service.
func localhost(namespace, name string) object {
	return object{
		"apiVersion": "v1", "kind": "Service",
		"metadata": object{"namespace": namespace, "name": name},
		"spec":     object{"type": "ExternalName", "externalName": "localhost"},
	}
}

// freePorts asks the kernel for n different free loopback ports.
func freePorts(n int) ([]int, error) {
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
