package review_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// deployment is a manifest as the API server hands it over.
func deployment(replicas, metadata string) string {
	return `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: ml, uid: d-1, ` + metadata + `}, spec: {replicas: ` + replicas + `, progressDeadlineSeconds: 600,
		selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {restartPolicy: Always, containers: [{name: web, image: "a/b:v1", ports: [{containerPort: 8080, protocol: TCP}]}]}}}}`
}

const (
	on      = `labels: {kubetorch.com/autoscale: "true"}`
	adopted = on + `, annotations: {kubetorch.com/adopted-by: s-1, kubetorch.com/replicas: "3"}`
)

func deploymentRequest(object, old string) *admissionv1.AdmissionRequest {
	r := request(object, old)
	r.Name, r.Kind = "web", metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	r.Resource = metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	return r
}

func decoded(text string) manifest.Object {
	o, err := manifest.Decode(jsonOf(text))
	if err != nil {
		panic(err)
	}
	return o
}

// live is the Knative Service made from the Deployment.
const live = `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: web, namespace: ml, uid: s-1,
	ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d-1, controller: true}]}}`

func within(c review.Cluster, policies ...string) review.World {
	w := world(policies...)
	w.Cluster = &c
	return w
}

func knativeWith(service string) review.Cluster {
	c := review.Cluster{Knative: true}
	if service != "" {
		c.Service = decoded(service)
	}
	return c
}

// patches are the operations of an answer, by path.
func patches(t *testing.T, a *admissionv1.AdmissionResponse) map[string]any {
	t.Helper()
	var operations []manifest.PatchOperation
	if len(a.Patch) > 0 {
		require.NoError(t, json.Unmarshal(a.Patch, &operations))
	}
	byPath := map[string]any{}
	for _, o := range operations {
		byPath[o.Path] = o.Value
	}
	return byPath
}

const (
	replicasPath   = "/spec/replicas"
	rememberedPath = "/metadata/annotations/kubetorch.com~1replicas"
)

func TestDeploymentsThatBecomeKnativeServices(t *testing.T) {
	for name, test := range map[string]struct {
		object, old string
		cluster     review.Cluster
		patch       map[string]any
		warns       string
	}{
		"a new one": {deployment("3", on), "", knativeWith(""),
			map[string]any{replicasPath: 0.0, "/metadata/annotations": map[string]any{handover.ReplicasAnnotation: "3"}}, "is run as Knative Service web"},
		"a new one with annotations": {deployment("1", on+`, annotations: {a: b}`), "", knativeWith(""), map[string]any{replicasPath: 0.0, rememberedPath: "1"}, "Knative Service web"},
		"one made while the earlier one is collected": {deployment("1", on+`, annotations: {a: b}`), "", knativeWith(strings.Replace(live, "d-1", "d-0", 1)),
			map[string]any{replicasPath: 0.0, rememberedPath: "1"}, ""},
		"a running one":                 {deployment("3", on), deployment("3", "labels: {}"), knativeWith(""), map[string]any{}, ""},
		"a running one, before the end": {deployment("5", on), deployment("3", on), knativeWith(live), map[string]any{}, ""},
		"an adopted one":                {deployment("0", adopted), deployment("0", adopted), knativeWith(live), map[string]any{}, ""},
		"an adopted one that is raised": {deployment("5", adopted), deployment("0", adopted), knativeWith(live), map[string]any{replicasPath: 0.0}, "replicas 5 set back to 0"},
		"an adopted one that is replaced, as kubectl does": {strings.Replace(deployment("5", on), "uid: d-1, ", "", 1), deployment("0", adopted), knativeWith(live),
			map[string]any{replicasPath: 0.0, "/metadata/annotations": map[string]any{handover.AdoptedAnnotation: "s-1"}, rememberedPath: "3"}, "set back"},
		"a forged record":             {deployment("5", adopted), deployment("3", on), knativeWith(strings.Replace(live, "uid: s-1", "uid: s-2", 1)), map[string]any{}, ""},
		"a record of another's":       {deployment("5", adopted), deployment("3", on), knativeWith(strings.Replace(live, "uid: d-1", "uid: d-2", 1)), map[string]any{}, ""},
		"its Knative Service is gone": {deployment("5", adopted), deployment("0", adopted), knativeWith(""), map[string]any{}, ""},
		"Knative is gone":             {deployment("5", adopted), deployment("0", adopted), review.Cluster{}, map[string]any{}, "the cluster has no Knative"},
		"the label goes":              {deployment("5", "labels: {}"), deployment("0", adopted), knativeWith(live), map[string]any{"/metadata/annotations": map[string]any{handover.AdoptedAnnotation: "s-1"}, rememberedPath: "3"}, ""},
		"no Knative":                  {deployment("5", on+`, annotations: {autoscale.kubetorch.com/initial-scale: "2"}`), "", review.Cluster{}, map[string]any{replicasPath: 2.0}, "a Deployment of 2 pods"},
		"no Knative, an update":       {deployment("5", on), deployment("3", on), review.Cluster{}, map[string]any{}, "the cluster has no Knative"},
	} {
		t.Run(name, func(t *testing.T) {
			mutated, validated := both(t, deploymentRequest(test.object, test.old), within(test.cluster))
			require.True(t, mutated.Allowed, "%+v", mutated.Result)
			require.True(t, validated.Allowed, "%+v", validated.Result)
			assert.Equal(t, test.patch, patches(t, mutated))
			assert.Contains(t, strings.Join(mutated.Warnings, "\n"), test.warns)
		})
	}
}

func TestDeploymentsThatAreRefused(t *testing.T) {
	taken := knativeWith("")
	taken.CoreService = decoded(`{metadata: {name: web}}`)
	routes := knativeWith("")
	routes.CoreService = decoded(`{metadata: {name: web, ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: Route, name: web, uid: r, controller: true}]}}`)
	const strictGPUs = `{metadata: {name: strict}, spec: {bounds: {maxScale: {max: 20}, gpusPerWorkload: {max: 4}}}}`
	gpus := func(replicas, metadata string) string {
		return strings.Replace(deployment(replicas, metadata), "image:", "resources: {limits: {nvidia.com/gpu: 1}}, image:", 1)
	}
	for name, test := range map[string]struct {
		object, old string
		cluster     review.Cluster
		says        string // empty admits
	}{
		"a core Service has the name":         {deployment("1", on), "", taken, "is the name of the core Service ml/web"},
		"Knative's own has it":                {deployment("1", on), "", routes, ""},
		"a running one is only told":          {deployment("1", on), deployment("1", "labels: {}"), taken, ""},
		"a Knative Service has the name":      {deployment("1", on), "", knativeWith(`{metadata: {name: web, uid: x}}`), "is the name of the Knative Service ml/web"},
		"a field that Knative has not":        {strings.Replace(deployment("1", on), "restartPolicy: Always", "hostPID: true", 1), "", knativeWith(""), "spec.template.spec.hostPID"},
		"the same in an update of replicas":   {strings.Replace(deployment("2", on), "restartPolicy: Always", "hostPID: true", 1), strings.Replace(deployment("1", on), "restartPolicy: Always", "hostPID: true", 1), knativeWith(""), ""},
		"a claim above a bound":               {gpus("1", on), "", knativeWith(""), ""}, // a default, which is lowered
		"a stated claim above a bound":        {gpus("1", on+`, annotations: {autoscale.kubetorch.com/max-scale: "5"}`), "", knativeWith(""), "policy strict allows at most 4"},
		"a plain one above a bound":           {gpus("5", "labels: {}"), "", knativeWith(""), "policy strict allows at most 4"},
		"a plain one that was above it":       {gpus("5", "labels: {}"), gpus("6", "labels: {}"), knativeWith(""), ""},
		"own pods of one that is not adopted": {gpus("5", on), gpus("3", on), knativeWith(live), "policy strict allows at most 4"},
	} {
		t.Run(name, func(t *testing.T) {
			mutated, validated := both(t, deploymentRequest(test.object, test.old), within(test.cluster, strictGPUs))
			if test.says == "" {
				assert.True(t, mutated.Allowed, "%+v", mutated.Result)
				return
			}
			require.False(t, validated.Allowed)
			assert.Contains(t, validated.Result.Message, test.says)
		})
	}
}

func TestDeploymentsOfKnative(t *testing.T) {
	made := func(name, replicas, gpus string) string {
		o := decoded(strings.Replace(deployment(replicas, on+`, ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: Revision, name: svc-00001, uid: r-1, controller: true}]`),
			"image:", "resources: {limits: {nvidia.com/gpu: "+gpus+"}}, image:", 1))
		manifest.Map(o, "metadata")["name"] = name
		raw, err := yaml.Marshal(o)
		require.NoError(t, err)
		return string(raw)
	}
	revision := func(uid string) review.Cluster {
		c := knativeWith("")
		c.Revision = decoded(`{metadata: {name: svc-00001, uid: ` + uid + `, annotations: {autoscaling.knative.dev/max-scale: "2"}}, spec: {containers: [{image: "a/b:v1", resources: {limits: {nvidia.com/gpu: 1}}}]}}`)
		return c
	}
	const own = "svc-00001-deployment"
	none := `{metadata: {name: strict}, spec: {bounds: {gpusPerPod: {max: 0}}}}`
	for name, test := range map[string]struct {
		object      string
		cluster     review.Cluster
		left, admit bool
	}{
		"its own":                     {made(own, "2", "1"), revision("r-1"), true, true},
		"more pods than the Revision": {made(own, "3", "1"), revision("r-1"), true, false},
		"more GPUs than the Revision": {made(own, "1", "2"), revision("r-1"), true, false},
		"another Revision's UID":      {made(own, "1", "1"), revision("r-2"), false, false},
		"no such Revision":            {made(own, "1", "1"), knativeWith(""), false, false},
		"another name":                {made("mine", "1", "1"), revision("r-1"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			raw := deploymentRequest(test.object, "")
			r, answer := review.Read(raw)
			require.Nil(t, answer)
			assert.Equal(t, "svc-00001", r.Lookups("").Revision)
			mutated, validated := both(t, raw, within(test.cluster, none))
			assert.Equal(t, test.left, mutated.Allowed && len(mutated.Patch) == 0, "left alone")
			assert.Equal(t, test.admit, validated.Allowed)
		})
	}
}

func TestBecome(t *testing.T) {
	o := decoded(deployment("0", adopted))
	service, v, fixed := become(world(), o, nil)
	require.False(t, v.Refused(), v.Reasons())
	assert.Equal(t, int64(1), fixed)
	annotations := manifest.Texts(service, "metadata", "annotations")
	for _, key := range handover.Bookkeeping {
		assert.NotContains(t, annotations, key, "it would come and go")
	}
	assert.Equal(t, decoded(deployment("0", adopted)), o, "the Deployment is left as it is")

	refused := decoded(strings.Replace(deployment("0", adopted), "restartPolicy: Always", "hostPID: true", 1))
	_, v, _ = become(world(), refused, nil)
	assert.Contains(t, v.Reasons(), "spec.template.spec.hostPID")
	_, _, fixed = become(world(), decoded(deployment("0", on+`, annotations: {autoscale.kubetorch.com/initial-scale: "4"}`)), nil)
	assert.Equal(t, int64(4), fixed)
}
