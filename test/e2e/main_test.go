// Package e2e tests the webhook on a real API server, installed from the shipped
// manifests, with Knative's own webhook and controller judging what it makes.
package e2e

import (
	"testing"

	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

var (
	cluster *controlplane.ControlPlane
	hook    *controlplane.Webhook
	client  dynamic.Interface
	root    string
	binary  string
)

// knativeConfig lets manifests name images by tag, which Knative would look up in their
// registry, and allows what GPU pods need.
var knativeConfig = map[string]map[string]string{
	"config-deployment": {"registries-skipping-tag-resolving": "kind.local,ko.local,dev.local,index.docker.io,ghcr.io"},
	"config-features": {
		"kubernetes.podspec-nodeselector":      "enabled",
		"kubernetes.podspec-tolerations":       "enabled",
		"kubernetes.podspec-priorityclassname": "enabled",
		// What kubetorch's own Knative has besides, for its clients' containers.
		"kubernetes.containerspec-addcapabilities": "enabled",
	},
}

func TestMain(m *testing.M) {
	harness.Main(m, harness.Options{ControlPlane: controlplane.Options{HPA: true, KnativeConfig: knativeConfig}, Parallel: 4,
		ExtraArgs: []string{"--openreports"}, Before: allowReports}, func(e *harness.Environment) {
		cluster, hook, client, root, binary = e.Cluster, e.Webhook, e.Client, e.Root, e.Binary
	})
}
