package review_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// world has the given policies and Knative as it comes.
func world(texts ...string) review.World {
	all := make([]v1alpha1.ComputePolicy, len(texts))
	for i, text := range texts {
		if err := yaml.UnmarshalStrict([]byte(text), &all[i]); err != nil {
			panic(err)
		}
	}
	return review.World{Policies: policy.Compile(all), Knative: knative.Default(), NamespaceLabels: func(name string) (map[string]string, bool) {
		return map[string]string{"kubernetes.io/metadata.name": name, "team": "research"}, true
	}}
}

// request is a request about a Service; old is empty on CREATE.
func request(object, old string) *admissionv1.AdmissionRequest {
	r := &admissionv1.AdmissionRequest{UID: "u-1", Operation: admissionv1.Create, Namespace: "ml", Name: "inference", UserInfo: authenticationv1.UserInfo{Username: "ada"},
		Kind: metav1.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}, Object: runtime.RawExtension{Raw: jsonOf(object)}}
	if old != "" {
		r.Operation, r.OldObject.Raw = admissionv1.Update, jsonOf(old)
	}
	return r
}

func jsonOf(text string) []byte {
	if after, ok := strings.CutPrefix(text, "raw "); ok {
		return []byte(after)
	}
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		panic(err)
	}
	return raw
}

// both answers a request in both steps, each with the object as it came.
func both(t *testing.T, raw *admissionv1.AdmissionRequest, w review.World) (mutated, validated *admissionv1.AdmissionResponse) {
	t.Helper()
	before := raw.DeepCopy()
	for i, step := range []func(*review.Request, review.World) *admissionv1.AdmissionResponse{mutate, validate} {
		r, answer := review.Read(raw)
		if answer == nil {
			answer = step(r, w)
		}
		if i == 0 {
			mutated = answer
		} else {
			validated = answer
		}
	}
	assert.Equal(t, before, raw, "a request is never changed")
	return mutated, validated
}

const (
	bad    = `{metadata: {name: inference, labels: {kubetorch.com/autoscale: "true"}, annotations: {autoscale.kubetorch.com/max-scale: many, autoscale.kubetorch.com/window: 1s}}, spec: {template: {spec: {containers: [{image: "a/b:v1"}]}}}}`
	big    = `{metadata: {name: inference}, spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "30"}}, spec: {containers: [{image: "a/b:v1", resources: {limits: {nvidia.com/gpu: 2}}}]}}}}`
	strict = `{metadata: {name: strict}, spec: {bounds: {maxScale: {max: 20}, gpusPerPod: {max: 1}}}}`
)

func details(causes ...metav1.StatusCause) *metav1.StatusDetails {
	return &metav1.StatusDetails{Group: "serving.knative.dev", Kind: "Service", Name: "inference", Causes: causes}
}

func TestRefusals(t *testing.T) {
	const (
		manyPath, manyWords     = "metadata.annotations[autoscale.kubetorch.com/max-scale]", `Invalid value: "many": invalid value: many; allowed: a whole number from 0 to 2147483647`
		windowPath, windowWords = "metadata.annotations[autoscale.kubetorch.com/window]", `Invalid value: "1s": expected 6s <= 1s <= 1h0m0s`
		scalePath, scaleWords   = "spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]", "Forbidden: asks for up to 30 pods; policy strict allows at most 20 (bounds.maxScale.max)"
		gpuPath, gpuWords       = "spec.template.spec.containers", "Forbidden: asks for 2 GPUs per pod; policy strict allows at most 1 (bounds.gpusPerPod.max)"
		halfPath, halfWords     = "spec.template.spec.containers[0].resources.limits[nvidia.com/gpu]", `Invalid value: "500m": must be a whole number of GPUs from 0 to 2147483647`
	)
	invalid, forbidden := metav1.CauseType("FieldValueInvalid"), metav1.CauseType("FieldValueForbidden")
	t.Run("the object's own mistakes are 422, all at once", func(t *testing.T) {
		want := &admissionv1.AdmissionResponse{UID: "u-1", Result: &metav1.Status{Status: "Failure", Code: 422, Reason: metav1.StatusReasonInvalid,
			Message: `service.serving.knative.dev "inference" is invalid: ` + manyPath + ": " + manyWords + "; " + windowPath + ": " + windowWords,
			Details: details(metav1.StatusCause{Type: invalid, Field: manyPath, Message: manyWords}, metav1.StatusCause{Type: invalid, Field: windowPath, Message: windowWords})}}
		mutated, validated := both(t, request(bad, ""), world())
		assert.Equal(t, want, mutated)
		assert.Equal(t, want, validated)
	})
	denied := &admissionv1.AdmissionResponse{UID: "u-1", AuditAnnotations: map[string]string{review.RefusedBy: "strict: maxScale, gpusPerPod"}, Result: &metav1.Status{Status: "Failure", Code: 403, Reason: metav1.StatusReasonForbidden,
		Message: `service.serving.knative.dev "inference" is forbidden: ` + scalePath + ": " + scaleWords + "; " + gpuPath + ": " + gpuWords,
		Details: details(metav1.StatusCause{Type: forbidden, Field: scalePath, Message: scaleWords}, metav1.StatusCause{Type: forbidden, Field: gpuPath, Message: gpuWords})}}
	t.Run("a policy's are 403 with its name", func(t *testing.T) {
		mutated, validated := both(t, request(big, ""), world(strict))
		assert.Equal(t, review.Allow("u-1"), mutated)
		assert.Equal(t, denied, validated)
	})
	t.Run("a dry run is answered alike", func(t *testing.T) {
		r, dry := request(big, ""), true
		r.DryRun = &dry
		_, validated := both(t, r, world(strict))
		assert.Equal(t, denied, validated)
	})
	t.Run("both together are 422", func(t *testing.T) {
		_, validated := both(t, request(strings.Replace(big, "nvidia.com/gpu: 2", `nvidia.com/gpu: 500m`, 1), ""), world(`{metadata: {name: strict}, spec: {bounds: {maxScale: {max: 20}}}}`))
		assert.Equal(t, &admissionv1.AdmissionResponse{UID: "u-1", AuditAnnotations: map[string]string{review.RefusedBy: "strict: maxScale"}, Result: &metav1.Status{Status: "Failure", Code: 422, Reason: metav1.StatusReasonInvalid,
			Message: `service.serving.knative.dev "inference" is invalid: ` + halfPath + ": " + halfWords + "; " + scalePath + ": " + scaleWords,
			Details: details(metav1.StatusCause{Type: invalid, Field: halfPath, Message: halfWords}, metav1.StatusCause{Type: forbidden, Field: scalePath, Message: scaleWords})}}, validated)
	})
	t.Run("an object without a name yet goes by its generateName", func(t *testing.T) {
		r := request(strings.Replace(big, "name: inference", "generateName: inference-", 1), "")
		r.Name = ""
		_, validated := both(t, r, world(strict))
		assert.Equal(t, "inference-", validated.Result.Details.Name)
	})
}

func TestWarnings(t *testing.T) {
	t.Run("a bound that only warns, and one that only audits", func(t *testing.T) {
		_, validated := both(t, request(big, ""), world(`{metadata: {name: soft}, spec: {enforcement: Warn, bounds: {maxScale: {max: 20}, gpusPerPod: {max: 1, enforcement: Audit}}}}`))
		assert.Equal(t, &admissionv1.AdmissionResponse{UID: "u-1", Allowed: true,
			Warnings:         []string{"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale] asks for up to 30 pods; policy soft allows at most 20 (bounds.maxScale.max)"},
			AuditAnnotations: map[string]string{"gpusPerPod": "asks for 2 GPUs per pod; policy soft allows at most 1 (bounds.gpusPerPod.max)"}}, validated)
	})
	t.Run("a value that is lowered, by its old and its new one, to the user and to the audit log", func(t *testing.T) {
		mutated, _ := both(t, request(big, ""), world(`{metadata: {name: soft}, spec: {bounds: {maxScale: {max: 20, enforcement: Clamp}}}}`))
		require.Len(t, mutated.Warnings, 1)
		assert.Regexp(t, `\b30\b.*\b20\b.*soft`, mutated.Warnings[0])
		assert.Equal(t, map[string]string{"maxScale": mutated.Warnings[0]}, mutated.AuditAnnotations)
		assert.NotEmpty(t, mutated.Patch)
	})
	t.Run("parameters without a label", func(t *testing.T) {
		mutated, validated := both(t, request(strings.Replace(bad, `kubetorch.com/autoscale: "true"`, `team: research`, 1), ""), world())
		warning := `autoscale.kubetorch.com/max-scale, autoscale.kubetorch.com/window: no effect without the label kubetorch.com/autoscale (set it to "true" or to a profile's name)`
		want := &admissionv1.AdmissionResponse{UID: "u-1", Allowed: true, Warnings: []string{warning}}
		assert.Equal(t, want, mutated)
		assert.Equal(t, want, validated)
	})
	t.Run("an old revision that is not known", func(t *testing.T) {
		_, validated := both(t, request(`{metadata: {name: inference}, spec: {traffic: [{revisionName: inference-00001}], template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "3"}}, spec: {containers: [{image: "a/b:v1", resources: {limits: {nvidia.com/gpu: 2}}}]}}}}`, ""), world())
		assert.Equal(t, &admissionv1.AdmissionResponse{UID: "u-1", Allowed: true, Warnings: []string{"traffic names revision inference-00001, which is not known here; it is counted like the latest template"}}, validated)
	})
	t.Run("they stay within what the API server passes on", func(t *testing.T) {
		texts := make([]string, 200)
		for i := range texts {
			texts[i] = `{metadata: {name: soft-` + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + strings.Repeat("y", i/50) + `}, spec: {enforcement: Warn, bounds: {maxScale: {max: 20}}}}`
		}
		_, validated := both(t, request(big, ""), world(texts...))
		assert.True(t, validated.Allowed)
		total := 0
		for _, w := range validated.Warnings {
			total += len(w)
		}
		assert.Less(t, total, 4096)
		assert.Equal(t, "more warnings left out", validated.Warnings[len(validated.Warnings)-1])
	})
}

func TestPatch(t *testing.T) {
	mutated, _ := both(t, request(`{metadata: {name: inference, namespace: ml, labels: {kubetorch.com/compute: "true"}, annotations: {compute.kubetorch.com/cpus: "2"}}, spec: {template: {spec: {containers: [{image: "a/b:v1"}]}}}}`, ""), world())
	kind := admissionv1.PatchTypeJSONPatch
	assert.Equal(t, &admissionv1.AdmissionResponse{UID: "u-1", Allowed: true, PatchType: &kind, Patch: mutated.Patch}, mutated)
	assert.JSONEq(t, `[{"op": "add", "path": "/spec/template/spec/containers/0/resources", "value": {"requests": {"cpu": "2"}}},
		{"op": "add", "path": "/metadata/annotations/kubetorch.com~1expansion", "value": "{\"requests.cpu\":{\"value\":\"2\",\"from\":\"annotation compute.kubetorch.com/cpus: 2\"}}"}]`, string(mutated.Patch))
}

func TestWhatIsNobodysBusiness(t *testing.T) {
	tests := map[string]func(*admissionv1.AdmissionRequest){
		"a DELETE":  func(r *admissionv1.AdmissionRequest) { r.Operation, r.Object.Raw = admissionv1.Delete, nil },
		"a CONNECT": func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Connect },
		"a status":  func(r *admissionv1.AdmissionRequest) { r.SubResource = "status" },
		"a core Service": func(r *admissionv1.AdmissionRequest) {
			r.Kind = metav1.GroupVersionKind{Version: "v1", Kind: "Service"}
		},
		"a Pod": func(r *admissionv1.AdmissionRequest) { r.Kind = metav1.GroupVersionKind{Version: "v1", Kind: "Pod"} },
		"somebody's own policy": func(r *admissionv1.AdmissionRequest) {
			r.Kind = metav1.GroupVersionKind{Group: "acme.example", Version: "v1", Kind: "ComputePolicy"}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			r := request(big, "")
			change(r)
			mutated, validated := both(t, r, world(strict))
			assert.Equal(t, review.Allow("u-1"), mutated)
			assert.Equal(t, review.Allow("u-1"), validated)
		})
	}
}

func TestUnusableObjects(t *testing.T) {
	tests := map[string]struct{ object, old, message string }{
		"null":                        {object: "raw null", message: "object of the admission request: is null, not an object"},
		"a list":                      {object: "raw []", message: "object of the admission request: is a list, not an object"},
		"a text":                      {object: `raw "x"`, message: "object of the admission request: is a string, not an object"},
		"nothing":                     {object: "raw ", message: "object of the admission request: unexpected end of JSON input"},
		"half an object":              {object: `raw {"a":`, message: "object of the admission request: unexpected end of JSON input"},
		"a key that stands twice":     {object: `raw {"spec":{"a":1,"a":2}}`, message: `object of the admission request: duplicate field "spec.a"`},
		"an old object that is null":  {object: big, old: "raw null", message: "oldObject of the admission request: is null, not an object"},
		"an old object with two keys": {object: big, old: `raw {"spec":1,"spec":2}`, message: `oldObject of the admission request: duplicate field "spec"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := &admissionv1.AdmissionResponse{UID: "u-1", Result: &metav1.Status{Status: "Failure", Code: http.StatusBadRequest, Reason: metav1.StatusReasonBadRequest, Message: test.message}}
			mutated, validated := both(t, request(test.object, test.old), world())
			assert.Equal(t, want, mutated)
			assert.Equal(t, want, validated)
		})
	}
	t.Run("Spec is not spec", func(t *testing.T) {
		_, validated := both(t, request(strings.Replace(big, "spec: {template", "Spec: {template", 1), ""), world(`{metadata: {name: strict}, spec: {bounds: {maxScale: {max: 20}}}}`))
		require.NotNil(t, validated.Result, "without a spec max-scale is unbounded")
		assert.Equal(t, "Forbidden: asks for unbounded pods (a max-scale of 0, or none, is unlimited in Knative); policy strict allows at most 20 (bounds.maxScale.max)", validated.Result.Details.Causes[0].Message)
	})
}

func TestNamedRevisions(t *testing.T) {
	traffic := func(part, names string) string {
		return `{metadata: {name: inference}, ` + part + `: {traffic: [` + names + `]}}`
	}
	r, answer := review.Read(request(traffic("spec", `{revisionName: b}, {revisionName: a}, {latestRevision: true}`), traffic("status", `{revisionName: a}, {revisionName: c}, {latestRevision: true, revisionName: d}`)))
	require.Nil(t, answer)
	assert.Equal(t, []string{"a", "b", "c"}, r.NamedRevisions())
	assert.Equal(t, "ml", r.Namespace())
}

func TestPoliciesAreCheckedOnWrite(t *testing.T) {
	write := func(text string) (*admissionv1.AdmissionResponse, *admissionv1.AdmissionResponse) {
		r := request(text, "")
		r.Kind, r.Namespace, r.Name = metav1.GroupVersionKind{Group: "policy.kubetorch.com", Version: "v1alpha1", Kind: "ComputePolicy"}, "", "platform"
		return both(t, r, world())
	}
	mutated, validated := write(`{metadata: {name: platform}, spec: {bounds: {maxScale: {max: 5}}}}`)
	assert.Equal(t, review.Allow("u-1"), mutated)
	assert.Equal(t, review.Allow("u-1"), validated)
	_, validated = write(`{metadata: {name: platform}, spec: {bounds: {maxScale: {max: -5}}}}`)
	assert.Equal(t, &admissionv1.AdmissionResponse{UID: "u-1", Result: &metav1.Status{Status: "Failure", Code: 422, Reason: metav1.StatusReasonInvalid,
		Message: `computepolicy.policy.kubetorch.com "platform" is invalid: spec.bounds.maxScale.max: Invalid value: -5: must be at least 0`,
		Details: &metav1.StatusDetails{Group: "policy.kubetorch.com", Kind: "ComputePolicy", Name: "platform", Causes: []metav1.StatusCause{
			{Type: "FieldValueInvalid", Field: "spec.bounds.maxScale.max", Message: "Invalid value: -5: must be at least 0"}}}}}, validated)
	_, validated = write(`{metadata: {name: platform}, spec: 5}`)
	assert.False(t, validated.Allowed)
	assert.Equal(t, int32(400), validated.Result.Code)
	_, err := json.Marshal(validated)
	assert.NoError(t, err)
}
