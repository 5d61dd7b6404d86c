package review_test

import (
	"encoding/json"
	"net/http"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// fuzzWorlds are surroundings without and with policies.
var fuzzWorlds = func() []review.World {
	labels := func(name string) (map[string]string, bool) {
		return map[string]string{"team": name}, name != "unknown"
	}
	worlds := []review.World{{Policies: policy.Compile(nil), Knative: knative.Default()}}
	for _, text := range []string{
		`{metadata: {name: a}, spec: {namespaceSelector: {matchLabels: {team: ml}}, enforcement: Clamp, bounds: {maxScale: {max: 3}, gpusPerPod: {max: 1}, memoryPerPod: {max: 1Gi}}, exempt: [{users: [root]}]}}`,
		`{metadata: {name: b}, spec: {bounds: {gpusPerPod: {max: 8, allowed: [0, 2]}, gpuTypes: {allowed: ["L*"]}, gpusPerWorkload: {max: 4, enforcement: Warn}, progressDeadline: {max: 20m, enforcement: Audit}}}}`,
		`{metadata: {name: invalid}, spec: {bounds: {maxScale: {max: -1}}}}`,
	} {
		var p v1alpha1.ComputePolicy
		if err := yaml.UnmarshalStrict([]byte(text), &p); err != nil {
			panic(err)
		}
		worlds = append(worlds, review.World{Policies: policy.Compile([]v1alpha1.ComputePolicy{p}), Knative: knative.Default(), NamespaceLabels: labels})
	}
	return worlds
}()

var fuzzKinds = []metav1.GroupVersionKind{
	{Group: "serving.knative.dev", Version: "v1", Kind: "Service"},
	{Group: "policy.kubetorch.com", Version: "v1alpha1", Kind: "ComputePolicy"},
	{Group: "serving.knative.dev", Version: "v1", Kind: "Configuration"},
	{Group: "serving.knative.dev", Version: "v1", Kind: "Revision"},
	{Group: "serving.knative.dev", Version: "v1", Kind: "Route"},
	{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Kind: "PodAutoscaler"},
	{Group: "", Version: "v1", Kind: "Service"},
	{},
}

var fuzzOperations = []admissionv1.Operation{admissionv1.Create, admissionv1.Update, admissionv1.Delete, admissionv1.Connect, ""}

// FuzzRequest reads and answers requests with any objects in them: an answer always says
// either that the object is admitted, with a patch that can be applied, or why it is not.
func FuzzRequest(f *testing.F) {
	service := []byte(`{"apiVersion":"serving.knative.dev/v1","kind":"Service","metadata":{"name":"svc","generation":2,"labels":{"kubetorch.com/autoscale":"true","autoscale.kubetorch.com/max-scale":"4"},"annotations":{"compute.kubetorch.com/gpus":"1"}},"spec":{"template":{"spec":{"containers":[{"image":"model","resources":{"limits":{"nvidia.com/gpu":"1"}}}]}},"traffic":[{"revisionName":"svc-1","tag":"a"}]},"status":{"observedGeneration":2,"latestCreatedRevisionName":"svc-00002"}}`)
	unlabelled := []byte(`{"metadata":{"annotations":{"kubetorch.com/autoscale":"true"}},"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/maxScale":"99999999999"}},"spec":{"containers":[{"resources":{"requests":{"nvidia.com/gpu":0.5,"example.com/gpu":null}}}],"resourceClaims":[1]}}}}`)
	plain := []byte(`{"metadata":{"name":"svc","labels":{"a":"b"},"annotations":{"c":"d"}},"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/maxScale":"9","kubetorch.com/autoscale":"true"}},"spec":{"containers":[{"image":"a"}]}}}}`)
	rules := []byte(`{"metadata":{"name":"p"},"spec":{"defaults":{"autoscale":{"maxScale":7,"target":"x"},"compute":{"cpus":-1}},"bounds":{"maxScale":{"max":1},"memoryPerPod":{"max":"1 Gi"}},"profiles":{"compute":[{"name":"true"}]},"exempt":[{}],"gpuResources":["*"]}}`)
	for world := range fuzzWorlds {
		for kind := range fuzzKinds {
			for operation := range fuzzOperations {
				f.Add(uint8(world), uint8(kind), uint8(operation), "ml", "svc", service, unlabelled)
				f.Add(uint8(world), uint8(kind), uint8(operation), "unknown", "", unlabelled, service)
				f.Add(uint8(world), uint8(kind), uint8(operation), "ml", "svc", plain, plain)
				f.Add(uint8(world), uint8(kind), uint8(operation), "ml", "svc", service, service)
				f.Add(uint8(world), uint8(kind), uint8(operation), "", "p", rules, []byte("null"))
			}
		}
	}
	f.Fuzz(func(t *testing.T, world, kind, operation uint8, namespace, name string, object, old []byte) {
		w := fuzzWorlds[int(world)%len(fuzzWorlds)]
		raw := &admissionv1.AdmissionRequest{
			UID: "uid", Kind: fuzzKinds[int(kind)%len(fuzzKinds)], Operation: fuzzOperations[int(operation)%len(fuzzOperations)],
			Namespace: namespace, Name: name, Object: runtime.RawExtension{Raw: object}, OldObject: runtime.RawExtension{Raw: old},
		}
		for _, step := range []func(*review.Request, review.World) *admissionv1.AdmissionResponse{mutate, validate} {
			request, answer := review.Read(raw)
			if (request == nil) == (answer == nil) {
				t.Fatalf("read as %v and answered with %v", request, answer)
			}
			if request != nil {
				_ = request.NamedRevisions()
				answer = step(request, w)
				_ = claimsOf(request, w)
			}
			checkAnswer(t, answer, object)
		}
	})
}

func checkAnswer(t *testing.T, a *admissionv1.AdmissionResponse, object []byte) {
	t.Helper()
	if a.UID != "uid" {
		t.Errorf("the answer is for %q", a.UID)
	}
	total := 0
	for _, w := range a.Warnings {
		total += len(w)
	}
	if total > 4096 {
		t.Errorf("%d bytes of warnings; the API server passes on 4096", total)
	}
	if !a.Allowed {
		if len(a.Patch) > 0 || a.Result == nil || a.Result.Status != metav1.StatusFailure || a.Result.Message == "" {
			t.Fatalf("a refusal with the patch %s and the result %v", a.Patch, a.Result)
		}
		switch a.Result.Code {
		case http.StatusBadRequest:
		case http.StatusForbidden, http.StatusUnprocessableEntity:
			if a.Result.Details == nil || len(a.Result.Details.Causes) == 0 {
				t.Errorf("a refusal without causes: %v", a.Result)
			}
		default:
			t.Errorf("refused with status %d: %s", a.Result.Code, a.Result.Message)
		}
	} else if len(a.Patch) > 0 {
		patch, err := jsonpatch.DecodePatch(a.Patch)
		if err != nil || a.PatchType == nil || *a.PatchType != admissionv1.PatchTypeJSONPatch {
			t.Fatalf("the patch %s of type %v: %v", a.Patch, a.PatchType, err)
		}
		if _, err := patch.Apply(object); err != nil {
			t.Errorf("the patch %s: %v", a.Patch, err)
		}
	}
	if _, err := json.Marshal(a); err != nil {
		t.Errorf("the answer cannot be sent: %v", err)
	}
}
