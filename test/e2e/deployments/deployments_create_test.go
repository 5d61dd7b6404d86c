package deployments

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
)

func TestANewDeploymentBecomesAKnativeService(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	warnings := l.apply(web("app", 3, autoscale, `annotations: {autoscale.kubetorch.com/max-scale: "4", compute.kubetorch.com/gpus: "1"}`))
	assert.Contains(t, warnings, "this Deployment is run as Knative Service app; its own replicas stay 0, so that kubectl rollout status tells nothing; wait for it by: kubectl wait --for=condition=Ready ksvc/app")
	assert.Equal(t, int64(0), l.replicas("app"))
	l.eventually("Knative Service", func() bool { return l.exists(services, "app") })

	d, s := l.get(deployments, "app"), l.get(services, "app")
	owner := metav1.GetControllerOf(s)
	require.NotNil(t, owner)
	assert.Equal(t, d.GetUID(), owner.UID)
	assert.Equal(t, "4", templateAnnotations(s)["autoscaling.knative.dev/max-scale"])
	gpus, _, _ := unstructured.NestedSlice(s.Object, "spec", "template", "spec", "containers")
	limit, _, _ := unstructured.NestedString(gpus[0].(map[string]any), "resources", "limits", "nvidia.com/gpu")
	assert.Equal(t, "1", limit)

	l.makeReady("app")
	l.awaitReason("app", handover.Serving)
	l.awaitEvent("Deployment", "app", handover.Serving)
	l.awaitEvent("Service", "app", handover.Serving)
	assert.Equal(t, int64(0), l.replicas("app"))
	d = l.get(deployments, "app")
	assert.Equal(t, "3", d.GetAnnotations()[handover.ReplicasAnnotation])
	assert.True(t, handover.Adopted(d.Object, l.get(services, "app").Object))
}

func TestWhatKnativeWouldRefuseIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for name, c := range map[string]struct{ manifest, says string }{
		"a parameter":        {web("app", 1, autoscale, `annotations: {autoscale.kubetorch.com/min-scale: "5", autoscale.kubetorch.com/max-scale: "2"}`), "metadata.annotations[autoscale.kubetorch.com/m"},
		"a field":            {web("app", 1, autoscale) + "      hostNetwork: true\n", "spec.template.spec.hostNetwork"},
		"a name":             {web("1app", 1, autoscale), "metadata.name"},
		"an unknown key":     {web("app", 1, autoscale, `annotations: {autoscale.kubetorch.com/max-scales: "2"}`), "the nearest known one is autoscale.kubetorch.com/max-scale"},
		"a bad service-name": {web("app", 1, autoscale, `annotations: {autoscale.kubetorch.com/service-name: "A"}`), "metadata.annotations[autoscale.kubetorch.com/service-name]"},
	} {
		_, _, err := l.kubectl(c.manifest, "apply", "-f", "-")
		assert.ErrorContains(t, err, c.says, name)
	}
	assert.False(t, l.exists(deployments, "app"))
}

func TestANameThatACoreServiceHasIsRefusedWithTheWaysOut(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	_, _, err := l.kubectl("", "create", "service", "clusterip", "app", "--tcp=80:8080")
	require.NoError(t, err)
	_, _, err = l.kubectl(web("app", 1, autoscale), "apply", "-f", "-")
	require.ErrorContains(t, err, "core Service "+l.namespace+"/app")
	require.ErrorContains(t, err, "autoscale.kubetorch.com/service-name")

	l.apply(web("app", 1, autoscale, `annotations: {autoscale.kubetorch.com/service-name: app-serving}`))
	l.eventually("Knative Service", func() bool { return l.exists(services, "app-serving") })
	l.makeReady("app-serving")
	l.awaitReason("app", handover.Serving)

	// A running one is left alone, and told.
	l.apply(web("other", 2))
	l.awaitPods("other", 2)
	_, _, err = l.kubectl("", "create", "service", "clusterip", "other", "--tcp=80:8080")
	require.NoError(t, err)
	l.label("other", "true")
	l.awaitReason("other", handover.NameTaken)
	l.awaitEvent("Deployment", "other", handover.NameTaken)
	assert.Equal(t, int64(2), l.replicas("other"))
	assert.False(t, l.exists(services, "other"))
}

func TestDeletingTakesTheKnativeServiceAlong(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.apply(web("app", 1, autoscale))
	l.eventually("Knative Service", func() bool { return l.exists(services, "app") })
	_, _, err := l.kubectl("", "delete", "deployment", "app")
	require.NoError(t, err)
	// Made again at once, while the earlier one is still being collected.
	l.apply(web("app", 1, autoscale))
	uid := l.get(deployments, "app").GetUID()
	l.eventually("a Knative Service of the new Deployment", func() bool {
		u, err := l.client.Resource(services).Namespace(l.namespace).Get(t.Context(), "app", metav1.GetOptions{})
		if err != nil {
			return false
		}
		owner := metav1.GetControllerOf(u)
		return owner != nil && owner.UID == uid
	})
	_, _, err = l.kubectl("", "delete", "deployment", "app")
	require.NoError(t, err)
	l.eventually("nothing is left", func() bool { return !l.exists(services, "app") })
}

func TestDryRunsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	out, warnings, err := l.kubectl(web("app", 3, autoscale), "apply", "--dry-run=server", "-o", "yaml", "-f", "-")
	require.NoError(t, err)
	assert.Contains(t, out, "replicas: 0")
	assert.Contains(t, warnings, "Knative Service app")
	l.never("an object", func() bool { return l.exists(deployments, "app") || l.exists(services, "app") })
}
