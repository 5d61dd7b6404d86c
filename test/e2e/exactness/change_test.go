package exactness

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// resized is a merge patch that changes the number of pods.
func (w workload) resized(pods int) map[string]any {
	switch w.kind {
	case plainService:
		return templated(annotated("autoscaling.knative.dev/max-scale", pods))
	case labelledService, expandedDeployment:
		return annotated("autoscale.kubetorch.com/max-scale", pods)
	case job:
		return map[string]any{"spec": map[string]any{"parallelism": pods}}
	case cronJob, daemonSet, pod, handMade:
		return map[string]any{"metadata": map[string]any{"labels": map[string]any{"changed": fmt.Sprint(pods)}}}
	}
	return map[string]any{"spec": map[string]any{"replicas": pods}}
}

// refitted is a merge patch that changes how many devices each pod has.
func (w workload) refitted(devices int) map[string]any {
	switch w.kind {
	case labelledService, labelledDeployment, expandedDeployment:
		return annotated("compute.kubetorch.com/gpus", devices)
	case job, cronJob, pod, handMade: // have what they were made with
		return map[string]any{"metadata": map[string]any{"labels": map[string]any{"changed": fmt.Sprint(devices)}}}
	}
	w.devices, w.templates = devices, others(w.templates)
	spec := map[string]any{"containers": []any{w.container()}}
	if claims := w.podClaims(); claims != nil {
		spec["resourceClaims"] = claims
	}
	return templated(map[string]any{"spec": spec})
}

// annotated is a merge patch of an annotation.
func annotated(key string, value int) map[string]any {
	return map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: fmt.Sprint(value)}}}
}

func templated(template map[string]any) map[string]any {
	return map[string]any{"spec": map[string]any{"template": template}}
}

// change is a random merge patch, and which subresource it is for.
func (w workload) change(r *rand.Rand) (patch []byte, kind types.PatchType, subresource []string) {
	var merge map[string]any
	switch n := r.IntN(10); {
	case w.kind == job && n < 5:
		merge = map[string]any{"spec": map[string]any{"suspend": r.IntN(2) == 0}}
	case n < 4:
		merge = w.resized(r.IntN(7))
		if w.kind <= labelledService || w.kind == expandedDeployment || w.kind == job {
			merge = w.resized(1 + r.IntN(6))
		}
	case n < 6 && w.scales():
		return fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, r.IntN(7)), types.MergePatchType, []string{"scale"}
	case n < 8:
		merge = w.refitted(1 + r.IntN(8))
	default: // both at once
		merge = w.refitted(1 + r.IntN(8))
		join(merge, w.resized(1+r.IntN(6)))
	}
	patch, err := json.Marshal(merge)
	if err != nil {
		panic(err)
	}
	return patch, types.MergePatchType, nil
}

// join adds one merge patch to another.
func join(to, from map[string]any) {
	for key, value := range from {
		inner, isMap := value.(map[string]any)
		if had, ok := to[key].(map[string]any); ok && isMap {
			join(had, inner)
			continue
		}
		to[key] = value
	}
}

// autoscaler points at a workload of some name.
func (w workload) autoscaler(r *rand.Rand, name string) *unstructured.Unstructured {
	apiVersion, kind := w.apiKind()
	least := 1 + r.IntN(4)
	spec := map[string]any{
		"minReplicas": int64(least), "maxReplicas": int64(least + r.IntN(4)),
		"scaleTargetRef": map[string]any{"apiVersion": apiVersion, "kind": kind, "name": name},
		"metrics": []any{map[string]any{"type": "Resource", "resource": map[string]any{"name": "cpu",
			"target": map[string]any{"type": "Utilization", "averageUtilization": int64(50)}}}},
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": spec,
	}}
	u.SetName(name)
	return u
}
