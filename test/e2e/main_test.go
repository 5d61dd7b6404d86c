// Package e2e tests the webhook on a real API server, installed from the shipped
// manifests, with Knative's own webhook and controller judging what it makes.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/test/controlplane"
)

var (
	cluster *controlplane.ControlPlane
	hook    *controlplane.Webhook
	client  dynamic.Interface
	root    string
	binary  string
	keep    = flag.Bool("keep-logs", false, "keep the logs of all processes")
)

// knativeConfig lets manifests name images by tag, which Knative would look up in their
// registry, and allows what GPU pods need.
var knativeConfig = map[string]map[string]string{
	"config-deployment": {"registries-skipping-tag-resolving": "kind.local,ko.local,dev.local,index.docker.io"},
	"config-features": {
		"kubernetes.podspec-nodeselector":      "enabled",
		"kubernetes.podspec-tolerations":       "enabled",
		"kubernetes.podspec-priorityclassname": "enabled",
	},
}

func TestMain(m *testing.M) {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, m)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(ctx context.Context, m *testing.M) (code int, err error) {
	if root, err = controlplane.RepositoryRoot(); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "kubetorch-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "kubetorch-webhook")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/webhook")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the webhook: %w\n%s", err, out)
	}
	if cluster, err = controlplane.Start(ctx, controlplane.Options{HPA: true, KnativeConfig: knativeConfig, KeepLogs: *keep}); err != nil {
		return 1, err
	}
	defer func() {
		if stopErr := cluster.Stop(); err == nil {
			err = stopErr
		}
	}()
	if *keep {
		fmt.Println("logs:", cluster.LogDir())
	}
	config := cluster.RESTConfig()
	config.WarningHandler = rest.NoWarnings{} // Knative warns of nearly every pod
	if client, err = dynamic.NewForConfig(config); err != nil {
		return 1, err
	}
	if hook, err = cluster.InstallWebhook(ctx, controlplane.WebhookOptions{Binary: binary, Manifests: filepath.Join(root, "deploy")}); err != nil {
		return 1, err
	}
	// Stop the tests' own commands, and then everything else, on an interrupt.
	go func() {
		<-ctx.Done()
		_ = cluster.Stop()
	}()
	return m.Run(), nil
}
