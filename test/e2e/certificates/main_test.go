// Package certificates tests on a real control plane, with two replicas of the webhook, that
// no admission fails while certificates and CAs change, wherever they come from.
package certificates

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

const (
	replicas = 2
	// overlap is the least that the webhook takes, so that rotations are quick.
	overlap = time.Second
)

var (
	cluster *controlplane.ControlPlane
	client  dynamic.Interface
	root    string
	binary  string

	// A control plane has one webhook at a time: the manifests of all sources share names.
	hook      *controlplane.Webhook
	installed string

	renewals  = flag.Int("renewals", 2, "how often each certificate is renewed under load")
	rotations = flag.Int("rotations", 1, "how often the own CA is replaced under load")
)

func TestMain(m *testing.M) { harness.Run(m, run) }

func run(ctx context.Context, m *testing.M) (code int, err error) {
	if root, err = controlplane.RepositoryRoot(); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "kubetorch-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	built := make(chan error, 1)
	go func() {
		var failed error
		binary, failed = harness.Binary(ctx, dir)
		built <- failed
	}()
	var started harness.Environment
	cluster, client, err = started.Start(ctx, controlplane.Options{AdmissionClient: true})
	if err := errors.Join(err, <-built); err != nil {
		return 1, err
	}
	defer func() {
		if stopErr := cluster.Stop(); err == nil {
			err = stopErr
		}
	}()
	go func() {
		<-ctx.Done()
		_ = cluster.Stop()
	}()
	return m.Run(), nil
}

// install has the webhook run from a kustomize folder, in the place of what ran from another
// one before, and returns when it judges.
func install(t *testing.T, manifests string, args ...string) {
	t.Helper()
	if installed == manifests {
		return
	}
	installed = ""
	if hook != nil {
		require.NoError(t, hook.Stop())
	}
	made, err := cluster.InstallWebhook(t.Context(), controlplane.WebhookOptions{Binary: binary, Manifests: manifests, Replicas: replicas, ExtraArgs: args})
	require.NoError(t, err)
	hook, installed = made, manifests
	harness.Eventually(t, fmt.Sprintf("nothing is admitted: %s", admit(0)), func() bool { return admit(0) == "" })
}
