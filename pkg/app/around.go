package app

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// aroundResources are those of the kinds that may point at a Deployment or at its pods.
var aroundResources = map[schema.GroupKind]schema.GroupVersionResource{
	review.CoreServiceKind:                                       coreResource,
	{Group: "networking.k8s.io", Kind: "Ingress"}:                {Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
	{Group: "networking.k8s.io", Kind: "NetworkPolicy"}:          {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	{Group: "policy", Kind: "PodDisruptionBudget"}:               {Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}:      {Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
	{Group: "autoscaling.k8s.io", Kind: "VerticalPodAutoscaler"}: {Group: "autoscaling.k8s.io", Version: "v1", Resource: "verticalpodautoscalers"},
	{Group: "keda.sh", Kind: "ScaledObject"}:                     {Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"},
	{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}:      {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"},
	{Group: "gateway.networking.k8s.io", Kind: "GRPCRoute"}:      {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "grpcroutes"},
}

// around lists the objects of a namespace that may point at a Deployment. Only core Services
// decide anything, so only they have to be read: of the other kinds, which a cluster may not
// have, those count that can be had.
func (r reads) around(ctx context.Context, namespace string, kinds []schema.GroupKind) ([]manifest.Object, error) {
	lists := make([][]manifest.Object, len(kinds))
	var failed error
	var wg sync.WaitGroup
	for i, kind := range kinds {
		wg.Go(func() {
			err := r.each(ctx, aroundResources[kind], namespace, func(_ string, o map[string]any) {
				o["apiVersion"], o["kind"] = aroundResources[kind].GroupVersion().String(), kind.Kind
				lists[i] = append(lists[i], o)
			})
			if kind == review.CoreServiceKind {
				failed = err
			}
		})
	}
	wg.Wait()
	return slices.Concat(lists...), failed
}
