// Package attacks tests end to end, as a tenant who may write everything in a namespace, that no
// way of writing it gets more GPUs into live pods than a budget allows. kube-controller-manager,
// Knative and fake nodes make and run the pods.
package attacks

import (
	"context"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// requestTimeout is that of the API server here, so that nobody waits a minute for what is
// freed after it.
const requestTimeout = 5 * time.Second

var (
	cluster *controlplane.ControlPlane
	hook    *controlplane.Webhook
	client  dynamic.Interface
	// pods is the witness beside the ledgers.
	pods *harness.Pods
	// disturbances are what every test feels.
	disturbances harness.Disturbances
)

func TestMain(m *testing.M) {
	harness.Main(m, harness.Options{
		ControlPlane: controlplane.Options{RequestTimeout: requestTimeout, Scheduler: true, Nodes: 16, HPA: true},
		Replicas:     2,
		// Within the API server's request timeout.
		IgnoredAfter: 4 * time.Second,
		// What nobody answers for on a busy machine is asked again.
		FailIgnored: true,
		ExtraArgs:   []string{"--api-request-timeout", requestTimeout.String()},
		Before: func(ctx context.Context, e *harness.Environment) (err error) {
			cluster, client = e.Cluster, e.Client
			if pods, err = harness.FollowPods(ctx, client); err != nil {
				return err
			}
			return plant(ctx)
		},
		// Some tests wait for others, so all of them run at the same time.
		Parallel: 100,
	}, func(e *harness.Environment) { hook = e.Webhook })
}
