// A tenant with all rights in a namespace changes what he is judged by.

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

func TestATenantCannotOptOut(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	_, stderr, err := kubectl(t, "", "label", "namespace", ns, "env=prod")
	require.NoError(t, err, stderr)
	name := "policy-" + ns
	applyPolicy(t, name, "{namespaceSelector: {matchLabels: {env: prod, kubernetes.io/metadata.name: "+ns+"}}, bounds: {maxScale: {max: 5}}, exempt: [{namespaces: [another], users: [\"system:serviceaccount:"+ns+":default\"]}]}")
	s := awaitStatus(t, name, func(s v1alpha1.ComputePolicyStatus) bool { return reason(s, "Ready") == "True InForce" })
	assert.Equal(t, "False NamespaceLabels", reason(s, "Advisory"), "and who may label namespaces is pointed out")

	// The most that Kubernetes' own roles give somebody in one namespace, and all of Knative.
	for _, role := range []string{"admin", "knative-serving-namespaced-admin"} {
		_, stderr, err = kubectl(t, "", "create", "rolebinding", role, "-n", ns, "--clusterrole="+role, "--serviceaccount="+ns+":default")
		require.NoError(t, err, stderr)
	}
	as := "--as=system:serviceaccount:" + ns + ":default"
	big := text(t, annotated(service("app", nil, nil), map[string]any{"autoscaling.knative.dev/max-scale": "6"}))
	refused := "policy " + name + " allows at most 5 (bounds.maxScale.max)"
	_, stderr, err = kubectl(t, big, "create", "-n", ns, as, "-f", "-")
	require.Error(t, err)
	require.Contains(t, stderr, refused, "an exemption is for all of its fields together")

	for attempt, args := range map[string][]string{
		"a label on the namespace":    {"label", "namespace", ns, "env-"},
		"another one":                 {"label", "namespace", ns, "env=test", "--overwrite"},
		"a new namespace":             {"create", "namespace", "another-" + ns},
		"an exemption in the policy":  {"patch", "computepolicy", name, "--type=merge", "-p", `{"spec":{"exempt":[{"namespaces":["` + ns + `"]}]}}`},
		"a status that says nothing":  {"patch", "computepolicy", name, "--type=merge", "--subresource=status", "-p", `{"status":{"violations":null}}`},
		"the policy gone":             {"delete", "computepolicy", name},
		"the webhook's configuration": {"delete", "validatingwebhookconfiguration", "kubetorch-webhook"},
		"Knative's own configuration": {"patch", "configmap", "config-autoscaler", "-n", "knative-serving", "--type=merge", "-p", `{"data":{"max-scale":"1"}}`},
	} {
		_, stderr, err := kubectl(t, "", append(args, as)...)
		assert.Error(t, err, attempt)
		assert.Contains(t, stderr, "orbidden", attempt)
	}
	_, _, err = kubectl(t, "", "auth", "can-i", "impersonate", "users", as)
	assert.Error(t, err)
	_, stderr, err = kubectl(t, big, "create", "-n", ns, as, "-f", "-")
	assert.Error(t, err)
	assert.Contains(t, stderr, refused, "nothing was opened")
	policy := "apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: exempt-" + ns + "}\nspec: {exempt: [{namespaces: [" + ns + "]}]}\n"
	_, stderr, err = kubectl(t, policy, "create", as, "-f", "-")
	assert.Error(t, err)
	assert.Contains(t, stderr, "forbidden", "policies are for the cluster's administrators")
}
