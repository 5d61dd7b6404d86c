package deployments

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
)

// noServices denies Knative Services in a namespace, so that one cannot be made before something else is.
const noServices = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: %[1]s}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
    resourceRules:
    - {apiGroups: [serving.knative.dev], apiVersions: ["*"], resources: [services], operations: [CREATE]}
  validations:
  - {expression: "false", message: not yet}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: %[1]s}
spec: {policyName: %[1]s, validationActions: [Deny]}
`

const nobodys = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: nobodys}
spec: {template: {spec: {containers: [{image: registry.example.com/nobodys:1}]}}}
`

// TestACoreServiceThatComesLaterLeavesTheDeploymentServing: a Deployment that was set to 0, since a Knative Service was
// going to serve in its place, gets its own pods while a core Service has that one's name, as many as it asked for,
// until the name is free.
func TestACoreServiceThatComesLaterLeavesTheDeploymentServing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	policy := fmt.Sprintf(noServices, l.namespace)
	_, _, err := l.kubectl(policy, "apply", "-f", "-")
	require.NoError(t, err)
	allowed := func() {
		_, _, err := l.kubectl(policy, "delete", "--ignore-not-found", "-f", "-")
		assert.NoError(t, err)
	}
	defer allowed()
	l.eventually("that no Knative Service is admitted", func() bool {
		_, _, err := l.kubectl(nobodys, "create", "--dry-run=server", "-f", "-")
		return err != nil
	})

	l.apply(web("app", 3, autoscale))
	require.Equal(t, int64(0), l.replicas("app"))
	_, _, err = l.kubectl("", "create", "service", "clusterip", "app", "--tcp=80:8080")
	require.NoError(t, err)
	allowed()
	l.awaitPods("app", 3)
	l.awaitReason("app", handover.NameTaken)
	assert.False(t, l.exists(services, "app"))

	_, _, err = l.kubectl("", "delete", "service", "app")
	require.NoError(t, err)
	l.eventually("Knative Service", func() bool { return l.exists(services, "app") })
	assert.Equal(t, int64(3), l.replicas("app"), "until the Knative Service is ready")
	l.makeReady("app")
	l.awaitPods("app", 0)
	l.awaitReason("app", handover.Serving)
}
