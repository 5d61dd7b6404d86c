// Package install tests the life of an installation on a real control plane: that helm and
// kubectl install it with no more rights than it uses, that it is restarted, replaced and
// killed under load, what happens while it is down, and what is left when it is removed.
package install

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

const (
	namespace = "kubetorch-system"
	name      = "kubetorch-webhook"
	release   = "kubetorch"
	replicas  = 2
	// shutdownDelay is shorter than the one shipped: the load balancer here looks every 100 ms.
	shutdownDelay = 2 * time.Second
	// requestTimeout is that of the API server here, so that nobody waits a minute until a
	// budget is counted. It has room for an entry of each configuration to time out.
	requestTimeout = 8 * time.Second
)

var (
	cluster  *controlplane.ControlPlane
	hook     *controlplane.Webhook // nil while it is not installed
	client   dynamic.Interface
	root     string
	versions map[string]string // the program, built as two versions
	program  string            // a link to the one in use
	seeds    string            // the namespace with what was there before the webhook
	helmTool string
	// stays is the namespace, and the name of the budget and the policy for it, that the
	// uninstallation leaves. A budget is counted while other tests run.
	stays string
	// installing is held while the webhook is looked for.
	installing sync.Mutex

	rate     = flag.Int("rate", 50, "admissions per second while replicas are restarted, replaced and killed")
	update   = flag.Bool("update", false, "keep what this version stores in test/stored")
	restarts = flag.Int("restarts", 1, "how often each replica is restarted")
)

func TestMain(m *testing.M) { harness.Run(m, run) }

func run(ctx context.Context, m *testing.M) (code int, err error) {
	if root, err = controlplane.RepositoryRoot(); err != nil {
		return 1, err
	}
	tools, err := controlplane.EnsureTools(ctx, os.Stderr, controlplane.Helm)
	if err != nil {
		return 1, err
	}
	helmTool = tools[controlplane.Helm]
	dir, err := os.MkdirTemp("", "kubetorch-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	built := make(chan error, 1)
	go func() { built <- build(ctx, dir) }()
	cluster, err = controlplane.Start(ctx, controlplane.Options{Scheduler: true, Nodes: 1, Audit: true, RequestTimeout: requestTimeout, KeepLogs: *harness.KeepLogs})
	if err := errors.Join(err, <-built); err != nil {
		return 1, err
	}
	defer func() {
		if stopErr := cluster.Stop(); err == nil {
			err = stopErr
		}
	}()
	if *harness.KeepLogs {
		fmt.Println("logs:", cluster.LogDir())
	}
	config := cluster.RESTConfig()
	config.WarningHandler = rest.NoWarnings{} // Knative warns of nearly every pod
	if client, err = dynamic.NewForConfig(config); err != nil {
		return 1, err
	}
	if seeds, err = seed(ctx); err != nil {
		return 1, fmt.Errorf("making what is there before: %w", err)
	}
	go func() {
		<-ctx.Done()
		_ = cluster.Stop()
	}()
	return m.Run(), nil
}

// build builds the program as two versions, and links the earlier one.
func build(ctx context.Context, dir string) error {
	versions = map[string]string{}
	for _, version := range []string{"v0.1.0", "v0.2.0"} {
		versions[version] = filepath.Join(dir, version)
		build := exec.CommandContext(ctx, "go", "build", "-o", versions[version],
			"-ldflags", "-s -w -X github.com/kubetorch/webhook/pkg/version.version="+version, "./cmd/webhook")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the webhook: %w\n%s", err, out)
		}
	}
	program = filepath.Join(dir, name)
	return link("v0.1.0")
}

// link has replicas run a version from their next start on.
func link(version string) error {
	if err := os.Symlink(versions[version], program+".new"); err != nil {
		return err
	}
	return os.Rename(program+".new", program)
}

// seed makes what is in the cluster before the webhook is.
func seed(ctx context.Context) (string, error) {
	made, err := client.Resource(namespaces).Create(ctx, parse(`{apiVersion: v1, kind: Namespace, metadata: {generateName: before-}}`), metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	// Where nothing may depend on the webhook.
	for _, name := range []string{"cert-manager", namespace} {
		if _, err := client.Resource(namespaces).Create(ctx, parse(`{apiVersion: v1, kind: Namespace, metadata: {name: `+name+`}}`), metav1.CreateOptions{}); err != nil {
			return "", err
		}
	}
	for _, text := range []string{
		deployment("plain", ""), deployment("labelled", labelled), deployment("exempted", "annotations: {kubetorch.com/exempt-from: none}"),
	} {
		if _, err := client.Resource(deployments).Namespace(made.GetName()).Create(ctx, parse(text), metav1.CreateOptions{}); err != nil {
			return "", err
		}
	}
	owned := parse(pod("owned", "", 1))
	owner, err := client.Resource(deployments).Namespace(made.GetName()).Create(ctx, parse(strings.Replace(withGPU("gpus", ""), "replicas: 1", "replicas: 0", 1)), metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	owned.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: owner.GetName(), UID: owner.GetUID(), Controller: new(true)}})
	for _, o := range []*unstructured.Unstructured{owned, parse(pod("nobodys", "", 1))} {
		if _, err := client.Resource(pods).Namespace(made.GetName()).Create(ctx, o, metav1.CreateOptions{}); err != nil {
			return "", err
		}
	}
	if _, err := client.Resource(jobs).Namespace(made.GetName()).Create(ctx, parse(job("suspended", 1)), metav1.CreateOptions{}); err != nil {
		return "", err
	}
	// A kind of an operator.
	if _, err := client.Resource(definitions).Create(ctx, parse(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: jobsets.jobset.x-k8s.io},
		spec: {group: jobset.x-k8s.io, scope: Namespaced, names: {kind: JobSet, plural: jobsets}, versions: [{name: v1alpha2, served: true, storage: true, subresources: {status: {}},
		schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`), metav1.CreateOptions{}); err != nil {
		return "", err
	}
	err = wait.PollUntilContextTimeout(ctx, tick, timeout, true, func(ctx context.Context) (bool, error) { // a definition takes a moment
		_, err := client.Resource(jobSets).Namespace(made.GetName()).Create(ctx, parse(jobSet("stored")), metav1.CreateOptions{})
		return err == nil, nil
	})
	return made.GetName(), err
}
