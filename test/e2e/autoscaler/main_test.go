//go:build autoscaler

package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

const (
	// statistics is where the autoscaler listens: its program says so, and has no flag.
	statistics = "127.0.0.1:8080"
	// metricsPort is that of its metrics.
	metricsPort = "19099"
)

var (
	cluster *controlplane.ControlPlane
	client  dynamic.Interface
	process *controlplane.Process
)

func TestMain(m *testing.M) { harness.Run(m, run) }

func run(ctx context.Context, m *testing.M) (code int, err error) {
	tools, err := controlplane.EnsureTools(ctx, os.Stderr, controlplane.ServingAutoscaler)
	if err != nil {
		return 1, err
	}
	if err := awaitPort(ctx); err != nil {
		return 1, err
	}
	// Knative's types alone: its controller would make Deployments, Services and pods.
	if cluster, err = controlplane.Start(ctx, controlplane.Options{KnativeTypes: true, KnativeConfig: map[string]map[string]string{
		"config-logging": {"loglevel.autoscaler": "debug"},
	}}); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	if client, err = dynamic.NewForConfig(cluster.RESTConfig()); err != nil {
		return 1, err
	}
	if process, err = cluster.StartProcess("autoscaler", []string{
		"KUBECONFIG=" + cluster.Kubeconfig(), "POD_NAME=autoscaler", "POD_IP=192.0.2.1", "SYSTEM_NAMESPACE=knative-serving",
		"CONFIG_LOGGING_NAME=config-logging", "CONFIG_OBSERVABILITY_NAME=config-observability", "CONFIG_LEADER_ELECTION_NAME=config-leader-election",
		"METRICS_DOMAIN=knative.dev/internal/serving", "METRICS_PROMETHEUS_HOST=127.0.0.1", "METRICS_PROMETHEUS_PORT=" + metricsPort, "PROFILING_PORT=0",
	}, tools[controlplane.ServingAutoscaler]); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// awaitPort waits until nothing listens where the autoscaler is going to.
func awaitPort(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		listener, err := net.Listen("tcp", ":8080")
		if err == nil {
			return listener.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("Knative's autoscaler listens on port 8080, which is taken: %w", err)
		case <-time.After(time.Second):
		}
	}
}

// logFile has what the autoscaler logged.
func logFile() string { return filepath.Join(cluster.LogDir(), "autoscaler.log") }
