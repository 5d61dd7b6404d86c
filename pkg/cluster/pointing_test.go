package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/cluster/clustertest"
	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// What is said of an object that points at a Deployment is the same of what is kept of it.
func TestWhatIsKeptOfObjectsThatPointAtADeploymentSaysTheSame(t *testing.T) {
	const around = `
- {apiVersion: v1, kind: Service, metadata: {name: past}, spec: {selector: {app: a}, ports: [{port: 80}]}}
- {apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i}, spec: {rules: [{http: {paths: [{backend: {service: {name: past}}}]}}]}}
- {apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: h}, spec: {rules: [{backendRefs: [{name: past}]}]}}
- {apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: g}, spec: {rules: [{filters: [{requestMirror: {backendRefs: [{name: past}]}}]}]}}
- {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: p}, spec: {scaleTargetRef: {kind: Deployment, name: a}, minReplicas: 2, maxReplicas: 4}}
- {apiVersion: autoscaling.k8s.io/v1, kind: VerticalPodAutoscaler, metadata: {name: v}, spec: {targetRef: {kind: Deployment, name: a}}}
- {apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: k}, spec: {scaleTargetRef: {name: a}, minReplicaCount: 3, maxReplicaCount: 9}}
- {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: net}, spec: {podSelector: {matchLabels: {app: a}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}}
- {apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: least}, spec: {selector: {matchLabels: {app: a}}, minAvailable: 100%}}
- {apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: none}, spec: {selector: {matchExpressions: [{key: app, operator: Exists}]}, maxUnavailable: 0}}
`
	text, err := yaml.YAMLToJSON([]byte("items:" + around))
	require.NoError(t, err)
	list, err := manifest.Decode(text)
	require.NoError(t, err)
	objects := manifest.Objects(list, "items")
	pods := convert.Pods{Namespace: "n", Deployment: "a", Service: "a", Labels: map[string]string{"app": "a"}, MinScale: "1"}
	want := convert.LeftBehind(pods, objects)
	require.Len(t, want, len(objects), "every one is spoken of")

	source := clustertest.ListSource{}
	kinds := map[schema.GroupKind]bool{}
	for _, o := range objects {
		gv, err := schema.ParseGroupVersion(manifest.Text(o, "apiVersion"))
		require.NoError(t, err)
		kind := gv.WithKind(manifest.Text(o, "kind")).GroupKind()
		resource, err := cluster.ResourceOf(kind)
		require.NoError(t, err)
		source[resource], kinds[kind] = append(source[resource], o), true
	}
	reader := cluster.NewReader(nil, nil, source)
	var kept []manifest.Object
	for kind := range kinds {
		found, err := reader.List(t.Context(), kind, "n", labels.Everything())
		require.NoError(t, err)
		kept = append(kept, found...)
	}
	assert.ElementsMatch(t, want, convert.LeftBehind(pods, kept))
	for _, kind := range convert.PointingKinds() {
		assert.True(t, kinds[kind], "%s has no object here", kind)
	}
}
