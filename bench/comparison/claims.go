package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	gpuResource = "nvidia.com/gpu"
	maxScaleKey = "autoscaling.knative.dev/max-scale"
)

// claim is what one Knative Service asks for.
type claim struct {
	gpus     int // per pod
	maxScale int // pods
}

func (c claim) total() int { return c.gpus * c.maxScale }

// randomClaims returns n claims of 1 to 8 GPUs and a max-scale of 1 to 6. The same seed gives
// the same claims.
func randomClaims(seed uint64, n int) []claim {
	random := rand.New(rand.NewPCG(seed, 0))
	claims := make([]claim, n)
	for i := range claims {
		claims[i] = claim{gpus: 1 + random.IntN(8), maxScale: 1 + random.IntN(6)}
	}
	return claims
}

// service is a Knative Service that makes the claim.
func (c claim) service(name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "serving.knative.dev/v1",
		"kind":       "Service",
		"spec": map[string]any{"template": map[string]any{
			"metadata": map[string]any{"annotations": map[string]any{
				maxScaleKey:                         strconv.Itoa(c.maxScale),
				"autoscaling.knative.dev/min-scale": "0",
			}},
			"spec": map[string]any{"containers": []any{map[string]any{
				"image":     "nginx:1",
				"resources": map[string]any{"limits": map[string]any{gpuResource: strconv.Itoa(c.gpus)}},
			}}},
		}},
	}}
	o.SetName(name)
	return o
}

// claimOf reads the claim of a stored Knative Service.
func claimOf(o *unstructured.Unstructured) (claim, error) {
	var c claim
	containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return c, err
	}
	for _, entry := range containers {
		container, _ := entry.(map[string]any)
		text, _, err := unstructured.NestedString(container, "resources", "limits", gpuResource)
		if err != nil {
			return c, err
		}
		gpus, err := strconv.Atoi(text)
		if err != nil {
			return c, fmt.Errorf("GPUs of Service %s: %w", o.GetName(), err)
		}
		c.gpus += gpus
	}
	annotations, _, err := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "annotations")
	if err != nil {
		return c, err
	}
	if c.maxScale, err = strconv.Atoi(annotations[maxScaleKey]); err != nil {
		return c, fmt.Errorf("max-scale of Service %s: %w", o.GetName(), err)
	}
	return c, nil
}
