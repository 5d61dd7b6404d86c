// Package budgets tests on a real control plane, with several replicas of the webhook, that
// GPU budgets hold.
package budgets

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
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/test/controlplane"
)

// requestTimeout is that of the API server here, so that nobody waits a minute for what is
// freed after it; freedAfter is how long that takes at most, on a busy machine.
const (
	requestTimeout = 5 * time.Second
	freedAfter     = 90 * time.Second
	replicas       = 3
)

var (
	cluster    *controlplane.ControlPlane
	hook       *controlplane.Webhook
	client     dynamic.Interface
	keep       = flag.Bool("keep-logs", false, "keep the logs of all processes")
	rounds     = flag.Int("rounds", 1, "how often the exactness of budgets is tried")
	concurrent = flag.Int("concurrent", 32, "how many of the 300 requests of a round run at the same time")
	seed       = flag.Uint64("seed", 0, "what the exactness test draws from; 0 is another one each time")
)

func TestMain(m *testing.M) {
	// Most of the time goes by in waiting until the API server has given up a request.
	_ = flag.Set("test.parallel", "32")
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
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "kubetorch-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "kubetorch-webhook")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/webhook")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the webhook: %w\n%s", err, out)
	}
	if cluster, err = controlplane.Start(ctx, controlplane.Options{
		RequestTimeout: requestTimeout, KeepLogs: *keep,
		KnativeConfig: map[string]map[string]string{"config-features": {"kubernetes.podspec-nodeselector": "enabled"}},
	}); err != nil {
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
	config.QPS = -1
	if client, err = dynamic.NewForConfig(config); err != nil {
		return 1, err
	}
	hook, err = cluster.InstallWebhook(ctx, controlplane.WebhookOptions{
		Binary: binary, Manifests: filepath.Join(root, "deploy"), Replicas: replicas,
		ExtraArgs: []string{"--api-request-timeout", requestTimeout.String()},
	})
	if err != nil {
		return 1, err
	}
	go func() {
		<-ctx.Done()
		_ = cluster.Stop()
	}()
	return m.Run(), nil
}
