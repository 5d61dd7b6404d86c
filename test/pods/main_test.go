// Package pods runs the tests that need pods: on a node of the machine itself, with Knative
// and the webhook as pods too. It takes root; see controlplane.Isolate.
package pods

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// lab is what all tests share. The API server's request timeout is what budgets wait for.
var lab = controlplane.Options{Pods: true, GPUs: 64, HPA: true, RequestTimeout: 10 * time.Second, Log: os.Stderr}

var (
	keepLogs = flag.Bool("pod-logs", false, "copy the logs of all programs to .cache/pods-logs")
	page     = flag.Bool("page", false, "write what was observed into docs/scaling.md")
	long     = flag.Bool("long", false, "also wait for the seed's own delays, some of which take ten minutes")
	cluster  *controlplane.ControlPlane
	client   dynamic.Interface
	allPods  cache.GenericLister
)

func TestMain(m *testing.M) {
	controlplane.Isolate(lab)
	flag.Parse()
	harness.Run(m, run)
}

func run(ctx context.Context, m *testing.M) (code int, err error) {
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "kubetorch-pods-test-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	begin := time.Now()
	cluster, err = controlplane.Start(ctx, lab)
	if err != nil {
		return 1, err
	}
	defer func() {
		if *keepLogs {
			logs := filepath.Join(root, ".cache", "pods-logs")
			_ = os.RemoveAll(logs)
			err = errors.Join(err, os.CopyFS(logs, os.DirFS(cluster.LogDir())))
		}
		err = errors.Join(err, cluster.Stop())
	}()
	over := make(chan struct{})
	defer close(over)
	go func() { // tests wait for much, and need not wait for that
		<-ctx.Done()
		select {
		case <-over: // the tests ended by themselves, and with them the context
			return
		default:
		}
		err := cluster.Stop()
		if *page {
			err = errors.Join(err, writePage())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "pods:", err)
		}
		os.Exit(130)
	}()
	config := cluster.RESTConfig()
	config.WarningHandler = rest.NoWarnings{}
	if client, err = dynamic.NewForConfig(config); err != nil {
		return 1, err
	}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	allPods = factory.ForResource(podResource).Lister()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	binary, err := harness.Binary(ctx, dir)
	if err != nil {
		return 1, err
	}
	if err := cluster.InstallWebhookPods(ctx, binary, filepath.Join(root, "deploy")); err != nil {
		return 1, err
	}
	if err := harness.AwaitAdmission(ctx, cluster); err != nil {
		return 1, err
	}
	if err := cluster.LoadProgram(ctx, appImage, "app"); err != nil {
		return 1, err
	}
	fmt.Fprintf(os.Stderr, "the lab is ready after %.0f s\n", time.Since(begin).Seconds())
	code = m.Run()
	if *page { // what failed is not on it
		err = writePage()
	}
	return code, err
}

// appImage is the application under test.
const appImage = "dev.local/app:1"
