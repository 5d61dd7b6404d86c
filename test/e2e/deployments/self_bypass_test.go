// Bypass class: the token of the webhook's own account in foreign hands.
package deployments

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const ownAccount = "system:serviceaccount:kubetorch-system:kubetorch-webhook"

func TestTheWebhooksOwnAccountWritesNoMoreThanItsControllerDoes(t *testing.T) {
	l := newLab(t)
	_, said, err := l.kubectl(web("plain", 0), "apply", "-f", "-")
	require.NoError(t, err, said)
	system := strings.ReplaceAll(web("plain", 0), "name: plain\n", "name: plain\n  namespace: kube-system\n")
	_, said, err = l.cluster.Kubectl(t.Context(), strings.NewReader(system), "-n", "kube-system", "apply", "-f", "-")
	require.NoError(t, err, said)
	patch := func(body string) []string {
		return []string{"patch", "deployment", "plain", "--type=merge", "-p", body}
	}
	const spec, metadata = "of a Deployment's spec the webhook writes the replicas only", "of a Deployment's metadata the webhook writes its own annotations only"
	for name, test := range map[string]struct {
		namespace string
		stdin     string
		args      []string
		refused   string
	}{
		"replicas and its own annotations, as its controller writes": {args: patch(`{"spec":{"replicas":0},"metadata":{"annotations":{"kubetorch.com/status":"{}"}}}`)},
		"an image":              {args: patch(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"evil"}]}}}}`), refused: spec},
		"a service account":     {args: patch(`{"spec":{"template":{"spec":{"serviceAccountName":"admin"}}}}`), refused: spec},
		"a pause":               {args: patch(`{"spec":{"paused":true}}`), refused: spec},
		"a strategy":            {args: patch(`{"spec":{"strategy":{"rollingUpdate":{"maxSurge":50}}}}`), refused: spec},
		"a label":               {args: patch(`{"metadata":{"labels":{"a":"b"}}}`), refused: metadata},
		"somebody's annotation": {args: patch(`{"metadata":{"annotations":{"a":"b"}}}`), refused: metadata},
		"an owner":              {args: patch(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"b"}]}}`), refused: metadata},
		"what runs the cluster": {namespace: "kube-system", args: patch(`{"spec":{"replicas":0},"metadata":{"annotations":{"kubetorch.com/status":"{}"}}}`),
			refused: "the webhook writes nothing in the namespaces that run the cluster"},
		"a Knative Service that no Deployment controls": {stdin: "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: free}\nspec: {template: {spec: {containers: [{image: ghcr.io/example/web:1}]}}}\n",
			args: []string{"create", "-f", "-"}, refused: "the webhook writes Knative Services of Deployments only"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"--as=" + ownAccount}, test.args...)
			if test.namespace != "" {
				args = append(args, "-n", test.namespace)
			}
			_, said, err := l.kubectl(test.stdin, args...)
			if test.refused == "" {
				require.NoError(t, err, said)
				return
			}
			require.Error(t, err)
			assert.Contains(t, said, "ValidatingAdmissionPolicy 'kubetorch-webhook'")
			assert.Contains(t, said, fmt.Sprintf("denied request: %s", test.refused))
		})
	}
}

func TestTheWebhooksOwnAccountRaisesReplicasAlone(t *testing.T) {
	l := newLab(t)
	l.apply(web("app", 1, autoscale))
	for name, spec := range map[string]string{
		"an image":          `"containers":[{"name":"web","image":"evil"}]`,
		"a service account": `"serviceAccountName":"admin"`,
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := l.kubectl("", "--as="+ownAccount, "patch", "deployment", "app", "--type=merge", "-p", `{"spec":{"replicas":1,"template":{"spec":{`+spec+`}}}}`)
			assert.ErrorContains(t, err, "of a Deployment's spec the webhook writes the replicas only")
		})
	}
}
