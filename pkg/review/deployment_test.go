package review_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// deploymentOf is a labelled Deployment with parameters and fields of its pod in flow style.
func deploymentOf(t *testing.T, annotations, pod string) manifest.Object {
	t.Helper()
	if pod == "" {
		pod = `containers: [{name: web, image: "acme/web:1", ports: [{containerPort: 8080}]}]`
	}
	return decode(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: ml, labels: {kubetorch.com/autoscale: "true"}, annotations: {`+annotations+`}},
		spec: {template: {metadata: {labels: {app: web}}, spec: {`+pod+`}}}}`)
}

func decode(t *testing.T, text string) manifest.Object {
	t.Helper()
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	require.NoError(t, err)
	o, err := manifest.Decode(raw)
	require.NoError(t, err)
	return o
}

func converted(t *testing.T, deployment, live manifest.Object, w review.World) review.Conversion {
	t.Helper()
	return must(review.ForObject(deployment, "ml").Convert(t.Context(), w, live))
}

// stored is a Knative Service as a cluster holds it.
func stored(t *testing.T, o manifest.Object) manifest.Object {
	t.Helper()
	raw, err := json.Marshal(o)
	require.NoError(t, err)
	copied, err := manifest.Decode(raw)
	require.NoError(t, err)
	manifest.Map(copied, "metadata")["generation"] = int64(1)
	manifest.Map(copied, "spec", "template", "spec")["timeoutSeconds"] = int64(300)
	manifest.Map(copied, "spec", "template", "spec")["containerConcurrency"] = int64(0)
	copied["status"] = manifest.Object{"observedGeneration": int64(1), "latestCreatedRevisionName": "web-00001"}
	return copied
}

func annotation(c review.Conversion, key string) string {
	return manifest.Text(c.Service, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/"+key)
}

func TestAConversionIsTheSameWhileItsSourcesAre(t *testing.T) {
	before, after := `{metadata: {name: p}, spec: {defaults: {autoscale: {maxScale: 5}}}}`, `{metadata: {name: p}, spec: {defaults: {autoscale: {maxScale: 7}}}}`
	d := deploymentOf(t, "", "")
	first := converted(t, d, nil, world(before))
	require.Empty(t, first.Verdict.Errors)
	assert.Equal(t, "5", annotation(first, "max-scale"))

	again := converted(t, d, stored(t, first.Service), world(after))
	assert.Equal(t, first.Service, again.Service, "a policy that changes makes no new revision")

	other := converted(t, deploymentOf(t, `autoscale.kubetorch.com/max-scale: "6"`, ""), stored(t, first.Service), world(after))
	assert.Equal(t, "6", annotation(other, "max-scale"))

	anew := converted(t, d, nil, world(after))
	assert.Equal(t, "7", annotation(anew, "max-scale"))
}

func TestAConversionThatBreaksABoundAlreadyMayStay(t *testing.T) {
	tight := world(`{metadata: {name: p}, spec: {bounds: {maxScale: {max: 3}}}}`)
	d := deploymentOf(t, `autoscale.kubetorch.com/max-scale: "5"`, "")
	first := converted(t, d, nil, world())
	assert.NotEmpty(t, converted(t, d, nil, tight).Verdict.Denied)
	assert.Empty(t, converted(t, d, stored(t, first.Service), tight).Verdict.Denied)
	worse := converted(t, deploymentOf(t, `autoscale.kubetorch.com/max-scale: "6"`, ""), stored(t, first.Service), tight)
	require.Len(t, worse.Verdict.Denied, 1)
	assert.Equal(t, "metadata.annotations[autoscale.kubetorch.com/max-scale]: Forbidden: asks for up to 6 pods; policy p allows at most 3 (bounds.maxScale.max)", worse.Verdict.Denied[0].Error.Error())
}

func TestRefusalsOfKnativeAreSaidOnceWithTheirFlag(t *testing.T) {
	const who = " disabled; a cluster administrator can enable it in ConfigMap config-features of namespace knative-serving"
	const pod = "spec.template.spec."
	c := converted(t, deploymentOf(t, "", `
		securityContext: {runAsUser: 5, fsGroup: 5},
		initContainers: [{name: i, image: "acme/i:1"}],
		volumes: [{name: unused, emptyDir: {}}, {name: c, persistentVolumeClaim: {claimName: c}}, {name: h, hostPath: {path: /h}}],
		containers: [{name: web, image: "acme/web:1", ports: [{containerPort: 8080}], volumeMounts: [{name: c, mountPath: /c}, {name: h, mountPath: /h}]},
			{name: side, image: "acme/side:1", readinessProbe: {httpGet: {port: 9000}}}]`), nil, world())
	var got []string
	for _, e := range c.Verdict.Errors {
		got = append(got, e.Error())
	}
	assert.ElementsMatch(t, []string{
		pod + "securityContext: Invalid value: must not set the field(s); the cluster's Knative has kubernetes.podspec-securitycontext" + who,
		pod + "initContainers: Invalid value: pod spec support for init-containers is off, but found 1 init containers; the cluster's Knative has kubernetes.podspec-init-containers" + who,
		pod + "volumes[1].persistentVolumeClaim: Invalid value: Persistent volume claim support is disabled, but found persistent volume claim c; the cluster's Knative has kubernetes.podspec-persistent-volume-claim" + who,
		pod + "volumes[1].persistentVolumeClaim: Invalid value: Persistent volume write support is disabled, but found persistent volume claim c that is not read-only; the cluster's Knative has kubernetes.podspec-persistent-volume-write" + who,
		pod + "volumes[2].hostPath: Invalid value: must not set the field(s); the cluster's Knative has kubernetes.podspec-volumes-hostpath" + who,
		pod + "containers[1].readinessProbe: Invalid value: must not set the field(s); the cluster's Knative has multi-container-probing" + who,
	}, got)
}

func TestADeploymentThatCannotBeReadHasNoService(t *testing.T) {
	d := deploymentOf(t, `autoscale.kubetorch.com/max-scale: many`, `containers: [{name: 5}]`)
	c := converted(t, d, nil, world())
	assert.Nil(t, c.Service)
	require.Len(t, c.Verdict.Errors, 2)
	assert.Equal(t, `spec.template.spec.containers[0].name: Invalid value: 5: must be a string; put it in quotes: "5"`, c.Verdict.Errors[0].Error())
	assert.Equal(t, `metadata.annotations[autoscale.kubetorch.com/max-scale]`, c.Verdict.Errors[1].Field)
}

func TestTheDeploymentItselfIsLeftAlone(t *testing.T) {
	d := deploymentOf(t, `compute.kubetorch.com/gpus: "1"`, "")
	before, err := json.Marshal(d)
	require.NoError(t, err)
	converted(t, d, nil, world())
	after, err := json.Marshal(d)
	require.NoError(t, err)
	assert.JSONEq(t, string(before), string(after))
}
