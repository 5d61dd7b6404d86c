package deployments

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	deploymentcontroller "github.com/kubetorch/webhook/pkg/deployments"
	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/test/controlplane"
)

// leader is the replica that runs the controllers.
func leader(t *testing.T, client dynamic.Interface, w *controlplane.Webhook) *controlplane.Replica {
	t.Helper()
	lease, err := client.Resource(leases).Namespace("kubetorch-system").Get(t.Context(), "kubetorch-webhook", metav1.GetOptions{})
	require.NoError(t, err)
	holder, _, _ := unstructured.NestedString(lease.Object, "spec", "holderIdentity")
	for _, r := range w.Replicas {
		if r.Process().Name() == holder {
			return r
		}
	}
	t.Fatalf("the lease is held by %q", holder)
	return nil
}

// TestKnativeComesAndGoes has a control plane of its own, since nothing else would work
// there meanwhile.
func TestKnativeComesAndGoes(t *testing.T) {
	t.Parallel()
	own, client, err := environment.Start(t.Context(), options(true))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, own.Stop()) })
	webhook, err := environment.Install(t.Context(), own, 2)
	require.NoError(t, err)
	l := newLabIn(t, own, client)

	const metadata = `annotations: {autoscale.kubetorch.com/initial-scale: "2", autoscale.kubetorch.com/max-scale: "4", compute.kubetorch.com/gpus: "1"}`
	warnings := l.apply(web("app", 5, autoscale, metadata))
	assert.Contains(t, warnings, "the cluster has no Knative, so this stays a Deployment of 2 pods")
	l.awaitPods("app", 2)
	l.awaitReason("app", handover.WithoutKnative)
	l.awaitEvent("Deployment", "app", handover.WithoutKnative)
	assert.Equal(t, int64(2), l.replicas("app"))
	l.apply(web("app", 3, autoscale, metadata))
	l.awaitPods("app", 3) // an update is not lowered

	// Another replica takes over from one that dies.
	dead := leader(t, client, webhook)
	require.NoError(t, dead.Process().Signal(os.Kill))
	<-dead.Process().Done()

	require.NoError(t, own.StartKnative(t.Context()))
	stop := l.guard("app", "app")
	l.eventually("Knative Service", func() bool { return l.exists(services, "app") })
	l.never("fewer pods before it is ready", func() bool { return l.replicas("app") != 3 })
	l.makeReady("app")
	l.awaitPods("app", 0)
	l.awaitReason("app", handover.Serving)
	stop()
	assert.NotSame(t, dead, leader(t, client, webhook))

	// One that was made with Knative knows no count but the one it asks for.
	l.apply(web("late", 7, autoscale, metadata))
	l.eventually("Knative Service", func() bool { return l.exists(services, "late") })
	l.makeReady("late")
	l.awaitReason("late", handover.Serving)

	crds := client.Resource(definitions)
	require.NoError(t, crds.Delete(t.Context(), deploymentcontroller.KnativeCRD, metav1.DeleteOptions{}))
	l.awaitPods("app", 2)
	l.awaitPods("late", 2)
	l.awaitReason("late", handover.WithoutKnative)
	list, _, err := l.kubectl("", "get", "deployment", "late", "-o", `jsonpath={.spec.template.spec.containers[0].resources.limits.nvidia\.com/gpu}`)
	require.NoError(t, err)
	assert.Equal(t, "1", list, "its pods are its own now, and need their GPU")

	// Whoever has the webhook's token fills in nothing else.
	_, _, err = l.kubectl("", "scale", "deployment", "late", "--replicas=0")
	require.NoError(t, err)
	_, _, err = l.kubectl("", "--as="+ownAccount, "patch", "deployment", "late", "--type=json", "-p",
		`[{"op": "add", "path": "/spec/replicas", "value": 1}, {"op": "add", "path": "/spec/template/spec/containers/0/image", "value": "evil"}]`)
	assert.ErrorContains(t, err, "of a Deployment's spec the webhook writes the replicas only")
}
