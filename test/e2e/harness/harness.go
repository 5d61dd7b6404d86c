// Package harness runs the tests of a package on a control plane of their own, with the
// webhook installed from the shipped manifests.
package harness

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"

	"github.com/kubetorch/webhook/test/controlplane"
)

// BinaryVariable names a built webhook in the environment. Without it every package builds
// its own.
const BinaryVariable = "KUBETORCH_WEBHOOK_BINARY"

// KeepLogs is whether the logs of all processes are kept.
var KeepLogs = flag.Bool("keep-logs", false, "keep the logs of all processes")

// Options are what a package needs.
type Options struct {
	ControlPlane controlplane.Options
	// Replicas of the webhook; 0 means 1.
	Replicas int
	// ExtraArgs are appended to the arguments of every replica.
	ExtraArgs []string
	// IgnoredAfter is the timeout of entries with failurePolicy Ignore instead of the shipped one, so
	// that a busy machine opens nothing; 0 leaves it.
	IgnoredAfter time.Duration
	// FailIgnored has entries with failurePolicy Ignore fail instead, so that replicas that are killed
	// open nothing.
	FailIgnored bool
	// Before prepares what is there before the webhook is installed. Its context ends after the
	// last test.
	Before func(context.Context, *Environment) error
	// Parallel is how many parallel tests run at the same time: much of their time goes by
	// in waiting. 0 leaves the flag -parallel alone.
	Parallel int
}

// Environment is what the tests of a package share.
type Environment struct {
	Cluster *controlplane.ControlPlane
	Webhook *controlplane.Webhook
	// Client has a cluster administrator's rights.
	Client dynamic.Interface
	// Root is the repository's folder, Binary the built webhook.
	Root, Binary string

	options Options
}

// Main is the TestMain of a package: it sets the environment up, hands it to use, runs the
// tests, and takes everything down, on an interrupt too.
func Main(m *testing.M, o Options, use func(*Environment)) {
	Run(m, func(ctx context.Context, m *testing.M) (int, error) {
		if o.Parallel > 0 {
			_ = flag.Set("test.parallel", strconv.Itoa(o.Parallel))
		}
		return run(ctx, m, o, use)
	})
}

// Run has a function set up what the tests of a package share, and run them, until somebody interrupts them.
// It ends the process.
func Run(m *testing.M, run func(context.Context, *testing.M) (code int, err error)) {
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

func run(ctx context.Context, m *testing.M, o Options, use func(*Environment)) (code int, err error) {
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "kubetorch-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	e := &Environment{Root: root, options: o}
	// It is not needed before the control plane is there.
	built := make(chan error, 1)
	go func() {
		var failed error
		e.Binary, failed = Binary(ctx, dir)
		built <- failed
	}()
	e.Cluster, e.Client, err = e.Start(ctx, o.ControlPlane)
	if err := errors.Join(err, <-built); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, e.Cluster.Stop()) }()
	if *KeepLogs {
		fmt.Println("logs:", e.Cluster.LogDir())
	}
	if o.Before != nil {
		running, end := context.WithCancel(ctx)
		defer end()
		if err := o.Before(running, e); err != nil {
			return 1, fmt.Errorf("preparing what is there before the webhook: %w", err)
		}
	}
	if e.Webhook, err = e.Install(ctx, e.Cluster, o.Replicas); err != nil {
		return 1, err
	}
	if err := e.changeIgnored(ctx); err != nil {
		return 1, err
	}
	// Stop the tests' own commands, and then everything else, on an interrupt.
	go func() {
		<-ctx.Done()
		_ = e.Cluster.Stop()
	}()
	use(e)
	return m.Run(), nil
}

// Start starts a control plane and connects to it as its administrator.
func (e *Environment) Start(ctx context.Context, o controlplane.Options) (*controlplane.ControlPlane, dynamic.Interface, error) {
	o.KeepLogs = *KeepLogs
	c, err := controlplane.Start(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	config := c.RESTConfig()
	config.WarningHandler = rest.NoWarnings{} // Knative warns of nearly every pod
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, nil, errors.Join(err, c.Stop())
	}
	return c, client, nil
}

// Install installs the webhook in a control plane, with some replicas, and waits until the
// API server asks it.
func (e *Environment) Install(ctx context.Context, c *controlplane.ControlPlane, replicas int) (*controlplane.Webhook, error) {
	w, err := c.InstallWebhook(ctx, controlplane.WebhookOptions{
		Binary: e.Binary, Manifests: filepath.Join(e.Root, "deploy"), Replicas: replicas, ExtraArgs: e.options.ExtraArgs,
	})
	if err != nil {
		return nil, err
	}
	return w, AwaitAdmission(ctx, c)
}

// changeIgnored changes entries with failurePolicy Ignore as the options say.
func (e *Environment) changeIgnored(ctx context.Context) error {
	if e.options.IgnoredAfter == 0 && !e.options.FailIgnored {
		return nil
	}
	return ChangeEntries(ctx, e.Client, func(_ string, entry map[string]any) {
		if entry["failurePolicy"] != "Ignore" {
			return
		}
		if e.options.IgnoredAfter > 0 {
			entry["timeoutSeconds"] = int64(e.options.IgnoredAfter / time.Second)
		}
		if e.options.FailIgnored {
			entry["failurePolicy"] = "Fail"
		}
	})
}

// ChangeEntries changes the entries of the validating webhook's configuration.
func ChangeEntries(ctx context.Context, client dynamic.Interface, change func(name string, entry map[string]any)) error {
	const name = "kubetorch-webhook"
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		u, err := client.Resource(ValidatingHooks).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		entries, _, err := unstructured.NestedSlice(u.Object, "webhooks")
		if err != nil {
			return err
		}
		for _, each := range entries {
			entry := each.(map[string]any)
			change(entry["name"].(string), entry)
		}
		if err := unstructured.SetNestedSlice(u.Object, entries, "webhooks"); err != nil {
			return err
		}
		_, err = client.Resource(ValidatingHooks).Update(ctx, u, metav1.UpdateOptions{})
		return err
	})
}

// asked is a Deployment that the webhook refuses.
const asked = `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "asked", "labels": {"kubetorch.com/compute": "no-such-profile"}},
	"spec": {"selector": {"matchLabels": {"app": "asked"}}, "template": {"metadata": {"labels": {"app": "asked"}}, "spec": {"containers": [{"name": "asked", "image": "nginx:1"}]}}}}`

// AwaitAdmission waits until the API server has seen the webhook's configuration: until then
// it asks nobody, or somebody whose certificate it cannot verify.
func AwaitAdmission(ctx context.Context, c *controlplane.ControlPlane) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		_, _, err := c.Kubectl(ctx, strings.NewReader(asked), "create", "--dry-run=server", "-f", "-")
		if err != nil && strings.Contains(err.Error(), "unknown compute profile") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until the API server asks the webhook: %w; the last answer was: %w", ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Binary is the path of the webhook that BinaryVariable names, or of one that it builds in
// a folder.
func Binary(ctx context.Context, dir string) (string, error) {
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		return "", err
	}
	if given := os.Getenv(BinaryVariable); given != "" {
		if !filepath.IsAbs(given) {
			given = filepath.Join(root, given)
		}
		_, err := os.Stat(given)
		return given, err
	}
	binary := filepath.Join(dir, "kubetorch-webhook")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/webhook")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0") // static, as it is shipped
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the webhook: %w\n%s", err, out)
	}
	return binary, nil
}
