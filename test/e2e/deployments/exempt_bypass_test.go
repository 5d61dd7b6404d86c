// A Deployment borrows an exemption that its author does not have.

package deployments

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
)

// by are the arguments of kubectl for a request in the name of a user with every right.
func by(user string, args ...string) []string {
	return append([]string{"--as", user, "--as-group", "system:masters"}, args...)
}

func TestTheExemptionOfWhoAsksHoldsForWhatIsMade(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.policy("  bounds: {gpusPerPod: {max: 1}, gpusPerWorkload: {max: 2}}\n  exempt: [{users: [eve]}]\n")
	big := func(image string) string {
		return gpus(web("app", 2, autoscale, `annotations: {autoscale.kubetorch.com/max-scale: "5", autoscale.kubetorch.com/window: `+image+`}`), 2)
	}
	_, _, err := l.kubectl(big("60s"), by("ada", "apply", "-f", "-")...)
	require.ErrorContains(t, err, "gpusPerPod")
	_, _, err = l.kubectl(big("60s"), by("eve", "apply", "-f", "-")...)
	require.NoError(t, err)
	policy := "policy-" + l.namespace
	assert.Equal(t, policy, l.get(deployments, "app").GetAnnotations()[handover.ExemptAnnotation])
	l.eventually("Knative Service", func() bool { return l.exists(services, "app") })
	assert.Equal(t, "5", templateAnnotations(l.get(services, "app"))["autoscaling.knative.dev/max-scale"])
	l.makeReady("app")
	l.awaitReason("app", handover.Serving)

	// Others may change it, and not make it grow; nor may they by any way around.
	_, _, err = l.kubectl(big("90s"), by("ada", "apply", "-f", "-")...)
	require.NoError(t, err)
	l.eventually("the update", func() bool {
		return templateAnnotations(l.get(services, "app"))["autoscaling.knative.dev/window"] == "90s"
	})
	assert.Equal(t, policy, l.get(deployments, "app").GetAnnotations()[handover.ExemptAnnotation])
	_, _, err = l.kubectl("", by("ada", "annotate", "--overwrite", "deployment", "app", "autoscale.kubetorch.com/max-scale=6")...)
	assert.ErrorContains(t, err, "gpusPerWorkload")
	_, _, err = l.kubectl("", by("ada", "annotate", "--overwrite", "deployment", "app", handover.ReplicasAnnotation+"=50")...)
	require.NoError(t, err)
	assert.Empty(t, l.get(deployments, "app").GetAnnotations()[handover.ExemptAnnotation], "what could grow is no longer exempt")
	_, _, err = l.kubectl("", by("eve", "annotate", "--overwrite", "deployment", "app", handover.ReplicasAnnotation+"=2")...)
	require.NoError(t, err)
	assert.Equal(t, policy, l.get(deployments, "app").GetAnnotations()[handover.ExemptAnnotation])
	status := func(user, annotations string) error {
		_, _, err := l.kubectl("", by(user, "patch", "deployment", "app", "--subresource=status", "--type=merge", "-p", `{"metadata": {"annotations": {`+annotations+`}}}`)...)
		return err
	}
	assert.ErrorContains(t, status("ada", `"autoscale.kubetorch.com/max-scale": "6"`), "does not exempt you, or not from letting this Deployment grow", "annotations come by the status too")
	assert.NoError(t, status("ada", `"example.com/note": "x"`))

	// Its own pods come back beyond the bound.
	_, _, err = l.kubectl("", by("ada", "label", "deployment", "app", "kubetorch.com/autoscale-")...)
	require.NoError(t, err)
	l.awaitPods("app", 2)
	l.eventually("the Knative Service is gone", func() bool { return !l.exists(services, "app") })
	assert.NotContains(t, l.get(deployments, "app").GetAnnotations(), handover.ExemptAnnotation)
}

func TestNobodyExemptsItself(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.policy("  bounds: {gpusPerWorkload: {max: 2}}\n  exempt: [{users: [eve]}]\n")
	record := handover.ExemptAnnotation + "=policy-" + l.namespace
	l.apply(web("app", 1))
	_, _, err := l.kubectl("", by("ada", "annotate", "deployment", "app", record)...)
	require.NoError(t, err)
	assert.NotContains(t, l.get(deployments, "app").GetAnnotations(), handover.ExemptAnnotation, "not even while there is no label")
	configuration, err := l.client.Resource(admissionregistrationv1.SchemeGroupVersion.WithResource("validatingwebhookconfigurations")).Get(t.Context(), "kubetorch-webhook", metav1.GetOptions{})
	require.NoError(t, err)
	_, err = l.client.Resource(deployments).Namespace(l.namespace).Patch(t.Context(), "app", types.MergePatchType,
		[]byte(`{"metadata": {"annotations": {"`+handover.ExemptAnnotation+`": "policy-`+l.namespace+`", "`+
			handover.ExemptUnderAnnotation+`": "`+string(configuration.GetUID())+`"}}}`), metav1.PatchOptions{}, "status")
	assert.ErrorContains(t, err, "is kept by the webhook")
	assert.NotContains(t, l.get(deployments, "app").GetAnnotations(), handover.ExemptAnnotation)

	// The controller asks in the name of eve only for what eve asked for.
	l.apply(web("other", 1, autoscale, `annotations: {compute.kubetorch.com/gpus: "1", autoscale.kubetorch.com/max-scale: "2", `+handover.ExemptAnnotation+`: policy-`+l.namespace+`}`))
	l.eventually("Knative Service", func() bool { return l.exists(services, "other") })
	assert.NotContains(t, l.get(deployments, "other").GetAnnotations(), handover.ExemptAnnotation)
	_, _, err = l.kubectl("", by("ada", "annotate", "--overwrite", "ksvc", "other", handover.ExemptAnnotation+"=policy-"+l.namespace, "autoscale.kubetorch.com/max-scale=5")...)
	assert.ErrorContains(t, err, "gpusPerWorkload")
}
