// Package deployments tests on a real control plane, with a scheduler and fake GPU nodes,
// how Deployments become Knative Services and come back.
package deployments

import (
	"testing"

	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

var (
	environment *harness.Environment
	cluster     *controlplane.ControlPlane
	hook        *controlplane.Webhook
	client      dynamic.Interface
	root        string
	binary      string
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
	harness.Main(m, harness.Options{ControlPlane: options(false), Parallel: 4}, func(e *harness.Environment) {
		environment, cluster, hook, client, root, binary = e, e.Cluster, e.Webhook, e.Client, e.Root, e.Binary
	})
}

func options(knativeLater bool) controlplane.Options {
	return controlplane.Options{Scheduler: true, Nodes: 2, HPA: true, KnativeConfig: knativeConfig, KnativeLater: knativeLater}
}
