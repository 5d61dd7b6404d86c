package review_test

import (
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/kubetorch/webhook/pkg/review"
)

func TestDecisionsAreWhatPoliciesMadeOfARequest(t *testing.T) {
	const (
		mixed = `{metadata: {name: mixed}, spec: {enforcement: Warn, bounds: {maxScale: {max: 20}, gpusPerPod: {max: 1, enforcement: Audit}, gpusPerWorkload: {max: 10, enforcement: Clamp}}}}`
		lists = `{metadata: {name: lists}, spec: {enforcement: Clamp, bounds: {gpusPerPod: {max: 5, allowed: [1]}}}}`
	)
	labelled := strings.Replace(big, "{name: inference}", `{name: inference, labels: {kubetorch.com/autoscale: "true"}}`, 1)
	deployment := `{metadata: {name: inference, labels: {kubetorch.com/autoscale: "true"}, annotations: {autoscale.kubetorch.com/max-scale: "30"}}, spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "a/b:v1", resources: {limits: {nvidia.com/gpu: 2}}}]}}}}`
	clamped := review.Decision{Policy: "mixed", Bound: "gpusPerWorkload", Enforcement: "Clamp", Outcome: review.Clamped}
	audited := review.Decision{Policy: "mixed", Bound: "gpusPerPod", Enforcement: "Audit", Outcome: review.Audited}
	warned := review.Decision{Policy: "mixed", Bound: "maxScale", Enforcement: "Warn", Outcome: review.Warned}
	refused := review.Decision{Policy: "mixed", Bound: "gpusPerWorkload", Enforcement: "Clamp", Outcome: review.Denied}
	denied := func(bound string) review.Decision {
		return review.Decision{Policy: "strict", Bound: bound, Enforcement: "Deny", Outcome: review.Denied}
	}
	for name, c := range map[string]struct {
		object, kind, policy string
		mutating, validating []review.Decision
	}{
		"nothing": {big, "Service", `{metadata: {name: strict}, spec: {bounds: {maxScale: {max: 30}}}}`, nil, nil},
		"denied":  {big, "Service", strict, nil, []review.Decision{denied("maxScale"), denied("gpusPerPod")}},
		// Each step is given the object as it came, so that what was clamped is refused then.
		"clamped, warned and audited":       {big, "Service", mixed, []review.Decision{clamped}, []review.Decision{refused, warned, audited}},
		"of a labelled Service":             {labelled, "Service", mixed, []review.Decision{clamped}, []review.Decision{refused, warned, audited}},
		"of a Deployment":                   {deployment, "Deployment", mixed, []review.Decision{clamped}, []review.Decision{audited}},
		"a list, which cannot be clamped":   {big, "Service", lists, nil, []review.Decision{{Policy: "lists", Bound: "gpusPerPod", Enforcement: "Clamp", Outcome: review.Denied}}},
		"the object's own mistakes are not": {bad, "Service", `{metadata: {name: strict}, spec: {bounds: {gpusPerPod: {max: 1}}}}`, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, dry := range []bool{false, true} {
				for i, step := range []func(*review.Request, review.World) *admissionv1.AdmissionResponse{mutate, validate} {
					raw := request(c.object, "")
					raw.DryRun = &dry
					if c.kind == "Deployment" {
						raw.Kind.Group, raw.Kind.Kind = "apps", "Deployment"
					}
					r, answer := review.Read(raw)
					assert.Nil(t, answer)
					step(r, world(c.policy))
					want := [][]review.Decision{c.mutating, c.validating}[i]
					if dry {
						want = nil
					}
					assert.ElementsMatch(t, want, r.Decisions(), "step %d, dry run %v", i, dry)
				}
			}
		})
	}
}

// API servers ask a mutating webhook again after others changed the object. What it lowered is
// lower then, whatever else they changed, and the request is counted once.
func TestAReinvocationIsNotCountedAgain(t *testing.T) {
	const clamps = `{metadata: {name: clamps}, spec: {bounds: {maxScale: {max: 20, enforcement: Clamp}}}}`
	labelled := strings.Replace(big, "{name: inference}", `{name: inference, labels: {kubetorch.com/autoscale: "true"}, annotations: {autoscale.kubetorch.com/target: "5"}}`, 1)
	for name, object := range map[string]string{
		"a Service":                             big,
		"a labelled one":                        labelled,
		"a labelled one that states it with us": strings.NewReplacer("autoscaling.knative.dev/max-scale: ", "other: ", `target: "5"`, `max-scale: "30"`).Replace(labelled),
	} {
		t.Run(name, func(t *testing.T) {
			first := request(object, "")
			r, _ := review.Read(first)
			answer := mutate(r, world(clamps))
			assert.Equal(t, []review.Decision{{Policy: "clamps", Bound: "maxScale", Enforcement: "Clamp", Outcome: review.Clamped}}, r.Decisions())

			for others, change := range map[string]string{
				"nobody changes it":         `[]`,
				"a setting goes":            `[{"op": "remove", "path": "/spec/template/metadata/annotations"}]`,
				"the container's resources": `[{"op": "add", "path": "/spec/template/spec/containers/0/resources", "value": {}}]`,
				"a label comes":             `[{"op": "add", "path": "/metadata/labels", "value": {"kubetorch.com/autoscale": "true", "a": "b"}}]`,
			} {
				if others == "a setting goes" && object == big {
					continue // one without our record, which it states anew
				}
				again := request(object, "")
				for _, text := range []string{string(answer.Patch), change} {
					patch, err := jsonpatch.DecodePatch([]byte(text))
					require.NoError(t, err)
					again.Object.Raw, err = patch.Apply(again.Object.Raw)
					require.NoError(t, err)
				}
				r, _ = review.Read(again)
				mutate(r, world(clamps))
				assert.Empty(t, r.Decisions(), others)
			}
		})
	}
}
