// Command demo shows the main job on a local control plane: it installs the webhook
// from the shipped manifests, applies the examples, prints what became of them, and
// takes everything down again.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kubetorch/webhook/test/controlplane"
)

func main() {
	binary := flag.String("binary", "bin/kubetorch-webhook", "the built webhook")
	draw := flag.String("picture", "", "a file for the picture of the README")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *binary, *draw)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// knativeConfig lets examples use images by tag, which Knative would look up in their
// registry, and lets GPU pods choose their nodes.
var knativeConfig = map[string]map[string]string{
	"config-deployment": {"registries-skipping-tag-resolving": "kind.local,ko.local,dev.local,index.docker.io"},
	"config-features":   {"kubernetes.podspec-nodeselector": "enabled", "kubernetes.podspec-tolerations": "enabled"},
}

// requestTimeout is short, so that the budget is counted in seconds.
const requestTimeout = 3 * time.Second

func run(ctx context.Context, binary, draw string) (err error) {
	step("Starting etcd, kube-apiserver, kube-controller-manager and Knative on loopback")
	started := time.Now()
	cluster, err := controlplane.Start(ctx, controlplane.Options{KnativeConfig: knativeConfig, RequestTimeout: requestTimeout})
	if err != nil {
		return err
	}
	defer func() {
		step("Taking everything down")
		if stopErr := cluster.Stop(); err == nil {
			err = stopErr
		}
	}()
	fmt.Printf("up after %s\n", time.Since(started).Round(100*time.Millisecond))

	step("Installing the webhook: kubectl apply -k deploy")
	if _, err := cluster.InstallWebhook(ctx, controlplane.WebhookOptions{Binary: binary, Manifests: "deploy",
		ExtraArgs: []string{"--api-request-timeout", requestTimeout.String()}}); err != nil {
		return err
	}
	fmt.Println("ready, and its certificate is in both webhook configurations")

	d := demo{ctx: ctx, cluster: cluster}
	if err := d.show(); err != nil {
		return err
	}
	return d.drawing.write(draw)
}

func step(text string) { fmt.Printf("\n== %s\n", text) }
