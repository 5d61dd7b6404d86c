// Package budgets tests on a real control plane, with several replicas of the webhook, that
// GPU budgets hold.
package budgets

import (
	"testing"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// requestTimeout is that of the API server here, so that nobody waits a minute for what is
// freed after it.
const (
	requestTimeout = 5 * time.Second
	replicas       = 3
)

var (
	cluster *controlplane.ControlPlane
	hook    *controlplane.Webhook
	client  dynamic.Interface
	binary  string // the built webhook
	// disturbances are what every budget feels.
	disturbances harness.Disturbances
)

func TestMain(m *testing.M) {
	harness.Main(m, harness.Options{
		ControlPlane: controlplane.Options{
			RequestTimeout: requestTimeout,
			KnativeConfig:  map[string]map[string]string{"config-features": {"kubernetes.podspec-nodeselector": "enabled"}},
		},
		Replicas: replicas,
		// Some tests wait for others, so all of them run at the same time.
		Parallel:  100,
		ExtraArgs: []string{"--api-request-timeout", requestTimeout.String()},
	}, func(e *harness.Environment) {
		cluster, hook, client, binary = e.Cluster, e.Webhook, e.Client, e.Binary
	})
}
