// Package deployments tests on a real control plane, with a scheduler and fake GPU nodes,
// how Deployments become Knative Services and come back.
package deployments

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

// knativeConfig allows all that this version of Knative can.
var knativeConfig = map[string]map[string]string{"config-features": {
	"multi-container-probing":                      "enabled",
	"kubernetes.containerspec-addcapabilities":     "enabled",
	"kubernetes.podspec-affinity":                  "enabled",
	"kubernetes.podspec-dnsconfig":                 "enabled",
	"kubernetes.podspec-dnspolicy":                 "enabled",
	"kubernetes.podspec-fieldref":                  "enabled",
	"kubernetes.podspec-hostaliases":               "enabled",
	"kubernetes.podspec-init-containers":           "enabled",
	"kubernetes.podspec-nodeselector":              "enabled",
	"kubernetes.podspec-persistent-volume-claim":   "enabled",
	"kubernetes.podspec-persistent-volume-write":   "enabled",
	"kubernetes.podspec-priorityclassname":         "enabled",
	"kubernetes.podspec-runtimeclassname":          "enabled",
	"kubernetes.podspec-schedulername":             "enabled",
	"kubernetes.podspec-securitycontext":           "enabled",
	"kubernetes.podspec-shareprocessnamespace":     "enabled",
	"kubernetes.podspec-tolerations":               "enabled",
	"kubernetes.podspec-topologyspreadconstraints": "enabled",
}}

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
	if cluster, err = controlplane.Start(ctx, options(false)); err != nil {
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
	if hook, err = install(ctx, cluster, 1); err != nil {
		return 1, err
	}
	// Stop the tests' own commands, and then everything else, on an interrupt.
	go func() {
		<-ctx.Done()
		_ = cluster.Stop()
	}()
	return m.Run(), nil
}

func options(knativeLater bool) controlplane.Options {
	return controlplane.Options{Scheduler: true, Nodes: 2, HPA: true, KnativeConfig: knativeConfig, KnativeLater: knativeLater, KeepLogs: *keep}
}

func install(ctx context.Context, c *controlplane.ControlPlane, replicas int) (*controlplane.Webhook, error) {
	return c.InstallWebhook(ctx, controlplane.WebhookOptions{Binary: binary, Manifests: filepath.Join(root, "deploy"), Replicas: replicas})
}
