// Package reviews are the requests that every engine of the benchmark gets, byte for byte
// the same, and the checks of what it answers. It is a module of its own with next to no
// dependencies, so that each engine can be built with the versions that it ships with.
package reviews

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// Limits of the three bounds, which every engine's policy sets.
const (
	MaxScale        = 50 // max-scale
	GPUsPerPod      = 8  // GPUs of one pod
	GPUsPerWorkload = 64 // GPUs of one pod times max-scale
)

// Defaults are the eight annotations that every engine's policy gives a labelled
// Service's template that has none.
var Defaults = map[string]string{
	"autoscaling.knative.dev/class":                              "kpa.autoscaling.knative.dev",
	"autoscaling.knative.dev/metric":                             "concurrency",
	"autoscaling.knative.dev/target":                             "100",
	"autoscaling.knative.dev/target-utilization-percentage":      "70",
	"autoscaling.knative.dev/min-scale":                          "0",
	"autoscaling.knative.dev/max-scale":                          "10",
	"autoscaling.knative.dev/window":                             "60s",
	"autoscaling.knative.dev/scale-to-zero-pod-retention-period": "10m",
}

// Order is the order in which policies state the defaults.
var Order = []string{
	"autoscaling.knative.dev/class", "autoscaling.knative.dev/metric", "autoscaling.knative.dev/target",
	"autoscaling.knative.dev/target-utilization-percentage", "autoscaling.knative.dev/min-scale",
	"autoscaling.knative.dev/max-scale", "autoscaling.knative.dev/window",
	"autoscaling.knative.dev/scale-to-zero-pod-retention-period",
}

var (
	// Service is a labelled Knative Service without any setting, as an API server sends it.
	//go:embed testdata/service.json
	Service []byte
	// Expanded is what the webhook makes of it. A test of package ours holds the two
	// together.
	//go:embed testdata/expanded.json
	Expanded []byte
)

// Step is the admission step that a review belongs to.
type Step string

// The steps.
const (
	Mutate   Step = "mutate"
	Validate Step = "validate"
)

// Case is a review and what has to come of it.
type Case struct {
	Name string
	Step Step
	// Body is the AdmissionReview, Object and Old the objects in it.
	Body, Object, Old []byte
	// Refused is whether the answer is a refusal.
	Refused bool
	// Expands is whether the answer is a patch that adds the defaults.
	Expands bool
}

// Cases are the reviews that every engine gets.
func Cases() []Case {
	service, expanded := bytes.TrimSpace(Service), bytes.TrimSpace(Expanded)
	unlabelled := replace(service, `"kubetorch.com/autoscale":"true",`, ``)
	relabelled := replace(expanded, `"team":"nlp"`, `"team":"search"`)
	greedy := replace(replace(expanded, `"autoscaling.knative.dev/max-scale":"10"`, `"autoscaling.knative.dev/max-scale":"100"`),
		`"nvidia.com/gpu":"1"`, `"nvidia.com/gpu":"16"`)
	return []Case{
		create(Case{Name: "other", Step: Mutate, Object: unlabelled}),
		create(Case{Name: "expand", Step: Mutate, Object: service, Expands: true}),
		create(Case{Name: "update", Step: Mutate, Object: relabelled, Old: expanded}),
		create(Case{Name: "admit", Step: Validate, Object: expanded}),
		create(Case{Name: "refuse", Step: Validate, Object: greedy, Refused: true}),
	}
}

// Find is a case by name.
func Find(name string) Case {
	for _, c := range Cases() {
		if c.Name == name {
			return c
		}
	}
	panic("no case " + name)
}

// Dry is the case as a dry run, which leaves no trace.
func (c Case) Dry() Case {
	c.Body = replace(c.Body, `"dryRun":false`, `"dryRun":true`)
	return c
}

func replace(text []byte, old, new string) []byte {
	if !bytes.Contains(text, []byte(old)) {
		panic("the object has no " + old)
	}
	return bytes.ReplaceAll(text, []byte(old), []byte(new))
}

// UID of every review.
const UID = "2d5d4b8e-9a7d-45a3-9b1f-8a6d2c8b7e11"

func create(c Case) Case {
	operation, options, old := "CREATE", "CreateOptions", []byte("null")
	if c.Old != nil {
		operation, options, old = "UPDATE", "UpdateOptions", c.Old
	}
	c.Body = fmt.Appendf(nil, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":%q,`+
		`"kind":{"group":"serving.knative.dev","version":"v1","kind":"Service"},"resource":{"group":"serving.knative.dev","version":"v1","resource":"services"},`+
		`"requestKind":{"group":"serving.knative.dev","version":"v1","kind":"Service"},"requestResource":{"group":"serving.knative.dev","version":"v1","resource":"services"},`+
		`"name":"inference","namespace":"default","operation":%q,`+
		`"userInfo":{"username":"alice@example.com","uid":"7c1b","groups":["ml-engineers","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=1f"]}},`+
		`"object":%s,"oldObject":%s,"dryRun":false,"options":{"kind":%q,"apiVersion":"meta.k8s.io/v1","fieldManager":"kubectl-client-side-apply","fieldValidation":"Strict"}}}`,
		UID, operation, c.Object, old, options)
	return c
}

// review is as much of an AdmissionReview as the checks read.
type review struct {
	APIVersion string `json:"apiVersion"`
	Response   struct {
		UID       string `json:"uid"`
		Allowed   bool   `json:"allowed"`
		Patch     []byte `json:"patch"`
		PatchType string `json:"patchType"`
		Status    struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"status"`
	} `json:"response"`
}

// Check is nil if the bytes of an answer are what has to come of the case.
func (c Case) Check(answer []byte) error {
	var r review
	if err := json.Unmarshal(answer, &r); err != nil {
		return fmt.Errorf("%s: the answer is no AdmissionReview: %w: %q", c.Name, err, answer)
	}
	if r.APIVersion != "admission.k8s.io/v1" || r.Response.UID != UID {
		return fmt.Errorf("%s: the answer is of another review: %s", c.Name, answer)
	}
	if r.Response.Allowed == c.Refused {
		return fmt.Errorf("%s: allowed is %t: %s", c.Name, r.Response.Allowed, answer)
	}
	if c.Refused {
		return c.CheckRefusal(r.Response.Status.Message)
	}
	if !c.Expands {
		if patch := strings.TrimSpace(string(r.Response.Patch)); patch != "" && patch != "[]" {
			return fmt.Errorf("%s: a patch where nothing is to change: %s", c.Name, patch)
		}
		return nil
	}
	patch, err := jsonpatch.DecodePatch(r.Response.Patch)
	if err != nil {
		return fmt.Errorf("%s: the patch: %w", c.Name, err)
	}
	patched, err := patch.Apply(c.Object)
	if err != nil {
		return fmt.Errorf("%s: the patch: %w", c.Name, err)
	}
	return c.CheckObject(patched)
}

// CheckRefusal is nil if a refusal's message names the bound of max-scale.
func (c Case) CheckRefusal(message string) error {
	if !strings.Contains(message, "max-scale") {
		return fmt.Errorf("%s: the refusal does not say why: %q", c.Name, message)
	}
	return nil
}

// beside is what may be set beside the defaults: the webhook's own.
var beside = []string{
	"autoscaling.knative.dev/initial-scale", "autoscaling.knative.dev/scale-down-delay", "serving.knative.dev/progress-deadline",
}

const record = "kubetorch.com/expansion"

// CheckObject is nil if an object is the case's with the defaults, or as it was where the
// case does not expand.
func (c Case) CheckObject(patched []byte) error {
	var got, want map[string]any
	if err := json.Unmarshal(patched, &got); err != nil {
		return err
	}
	if err := json.Unmarshal(c.Object, &want); err != nil {
		return err
	}
	if c.Expands {
		template := want["spec"].(map[string]any)["template"].(map[string]any)["metadata"].(map[string]any)
		annotations := map[string]any{}
		for key, value := range Defaults {
			annotations[key] = value
		}
		template["annotations"] = annotations
		set, _ := reach(got, "spec", "template", "metadata", "annotations")
		for _, key := range beside {
			delete(set, key)
		}
		set, _ = reach(got, "metadata", "annotations")
		delete(set, record)
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%s: the object became %s", c.Name, patched)
	}
	return nil
}

func reach(o map[string]any, path ...string) (map[string]any, bool) {
	for _, name := range path {
		next, ok := o[name].(map[string]any)
		if !ok {
			return map[string]any{}, false
		}
		o = next
	}
	return o, true
}

// Same tells whether two JSON objects are equal by meaning.
func Same(a, b []byte) bool {
	var x, y map[string]any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && maps.EqualFunc(x, y, func(v, w any) bool { return reflect.DeepEqual(v, w) })
}
