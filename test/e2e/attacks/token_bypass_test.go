// Somebody has got the webhook's own token.

package attacks

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestTheWebhooksTokenChangesNobodysPods(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	own := as(t, "system:serviceaccount:kubetorch-system:kubetorch-webhook", "system:serviceaccounts", "system:serviceaccounts:kubetorch-system", "system:authenticated")
	labelled := `{apiVersion: apps/v1, kind: Deployment, metadata: {name: labelled, labels: {kubetorch.com/autoscale: "true"}},
		spec: {replicas: 0, selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: app, image: "nginx:1", ports: [{containerPort: 8080}]}]}}}}`
	for name, where := range map[string]struct{ namespace, name, text string }{
		"in kube-system":            {"kube-system", "theirs", deployment("theirs", 0, 0)},
		"of a tenant":               {s.namespace, "theirs", deployment("theirs", 0, 0)},
		"of a tenant, and labelled": {s.namespace, "labelled", labelled},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.tryIn(client, where.namespace, where.text)
			require.NoError(t, err)
			t.Cleanup(func() {
				_ = client.Resource(deployments).Namespace(where.namespace).Delete(context.Background(), where.name, metav1.DeleteOptions{})
			})
			for what, merge := range map[string]string{
				"image":   `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"evil:1"}]}}}}`,
				"account": `{"spec":{"template":{"spec":{"serviceAccountName":"clusterrole-aggregation-controller"}}}}`,
				"command": `{"spec":{"template":{"spec":{"initContainers":[{"name":"x","image":"evil:1"}]}}}}`,
			} {
				_, err := own.Resource(deployments).Namespace(where.namespace).Patch(t.Context(), where.name, types.MergePatchType, []byte(merge), metav1.PatchOptions{})
				assert.Error(t, err, what)
			}
			u, err := client.Resource(deployments).Namespace(where.namespace).Get(t.Context(), where.name, metav1.GetOptions{})
			require.NoError(t, err)
			assert.NotContains(t, asText(t, u.Object["spec"]), "evil")
		})
	}
	// It does its work.
	_, err := s.tryIn(s.tenant, s.namespace, labelled)
	require.NoError(t, err)
	harness.Eventually(t, "the Knative Service", func() bool { return s.exists(services, "labelled") })
	s.makeReady("labelled")
	harness.Eventually(t, "the adoption", func() bool {
		u, err := s.get(deployments, "labelled")
		return err == nil && u.GetAnnotations()["kubetorch.com/adopted-by"] != ""
	})
}
