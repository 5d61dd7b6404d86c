package deployments

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scaledObjects is what the test needs of KEDA's CRD.
const scaledObjects = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: scaledobjects.keda.sh}
spec:
  group: keda.sh
  names: {kind: ScaledObject, listKind: ScaledObjectList, plural: scaledobjects, singular: scaledobject}
  scope: Namespaced
  versions:
  - {name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

// TestWhatWouldBeLeftBehindIsNamedAtAdmission: what points at the Deployment or at its pods in the cluster stands in
// the warnings of its admission; what points elsewhere does not.
func TestWhatWouldBeLeftBehindIsNamedAtAdmission(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	_, _, err := l.kubectl(scaledObjects, "apply", "-f", "-")
	require.NoError(t, err)
	l.eventually("KEDA's kind", func() bool {
		_, _, err := l.kubectl("", "get", "scaledobjects.keda.sh")
		return err == nil
	})
	l.apply(`
{apiVersion: v1, kind: Service, metadata: {name: past}, spec: {selector: {app: app}, ports: [{port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: elsewhere}, spec: {selector: {app: other}, ports: [{port: 80}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: front}, spec: {defaultBackend: {service: {name: past, port: {number: 80}}}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: shut}, spec: {podSelector: {matchLabels: {app: app}}, ingress: [{ports: [{port: 8080}]}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: open}, spec: {podSelector: {matchLabels: {app: app}}, ingress: [{}]}}
---
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: load}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app}, minReplicas: 2, maxReplicas: 6}}
---
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: others}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: other}, maxReplicas: 6}}
---
{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: queue}, spec: {scaleTargetRef: {name: app}, minReplicaCount: 1, maxReplicaCount: 9}}
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: all}, spec: {selector: {matchLabels: {app: app}}, minAvailable: 100%}}
`)
	in := l.namespace
	named := []string{
		"Service " + in + "/past sends requests to the pods past Knative",
		"Ingress " + in + "/front sends requests to Service past, past Knative",
		"NetworkPolicy " + in + "/shut does not let in Knative's requests",
		"HorizontalPodAutoscaler " + in + `/load has no effect any more: Knative's autoscaler decides how many pods run, and does not know its minReplicas 2 and maxReplicas 6; set autoscale.kubetorch.com/min-scale: "2" and autoscale.kubetorch.com/max-scale: "6", and remove it`,
		"ScaledObject " + in + `/queue has no effect any more: Knative's autoscaler decides how many pods run, and does not know its minReplicaCount 1 and maxReplicaCount 9`,
		"PodDisruptionBudget " + in + "/all asks for all pods at all times",
	}
	// The kind is new to a webhook that has looked for it before.
	l.eventually("all that points at the Deployment", func() bool {
		_, warnings, err := l.kubectl(web("app", 2, autoscale), "apply", "--dry-run=server", "-f", "-")
		return err == nil && !slices.ContainsFunc(named, func(w string) bool { return !strings.Contains(warnings, w) })
	})
	warnings := l.apply(web("app", 2, autoscale))
	for _, w := range named {
		assert.Contains(t, warnings, w)
	}
	for _, other := range []string{"/elsewhere", "/open", "/others"} {
		assert.NotContains(t, warnings, in+other)
	}
	warnings = l.apply(web("plain", 2, ""))
	assert.NotContains(t, warnings, in+"/", "a Deployment that stays one leaves nothing behind")
}
