// Pods are added through the scale subresource.

package review_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/review"
)

func TestScale(t *testing.T) {
	scale := func(replicas string) string {
		return `{apiVersion: autoscaling/v1, kind: Scale, metadata: {name: web, namespace: ml}, spec: {` + replicas + `}}`
	}
	ask := func(from, to, stored string, w review.World) (mutated, validated *admissionv1.AdmissionResponse) {
		raw := deploymentRequest(scale(to), scale(from))
		raw.Kind, raw.SubResource = metav1.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}, "scale"
		for i, step := range []func(*review.Request, review.World) *admissionv1.AdmissionResponse{mutate, validate} {
			r, answer := review.Read(raw)
			require.Nil(t, answer)
			require.Equal(t, "web", r.Scaled())
			r.ScaleOf(decoded(stored))
			if i == 0 {
				mutated = step(r, w)
			} else {
				validated = step(r, w)
			}
		}
		return mutated, validated
	}
	mutated, _ := ask("", "replicas: 3", deployment("0", adopted), within(knativeWith(live)))
	assert.Equal(t, map[string]any{replicasPath: 0.0}, patches(t, mutated))
	assert.Contains(t, mutated.Warnings[0], "replicas 3 set back to 0")
	mutated, validated := ask("replicas: 2", "replicas: 3", deployment("2", on), within(knativeWith("")))
	assert.Empty(t, mutated.Patch)
	assert.True(t, validated.Allowed)

	gpu := strings.Replace(deployment("1", "labels: {}"), "image:", "resources: {limits: {nvidia.com/gpu: 1}}, image:", 1)
	bound := within(knativeWith(""), `{metadata: {name: strict}, spec: {bounds: {gpusPerWorkload: {max: 4}}}}`)
	_, validated = ask("replicas: 1", "replicas: 5", gpu, bound)
	require.False(t, validated.Allowed)
	assert.Contains(t, validated.Result.Message, "policy strict allows at most 4")
	_, validated = ask("replicas: 7", "replicas: 6", gpu, bound)
	assert.True(t, validated.Allowed, "lower is always allowed")
}
