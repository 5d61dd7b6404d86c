package cluster

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubetorch/webhook/pkg/workload"
)

// nodesAtOnce is how many nodes one request lists.
const nodesAtOnce = 500

// NodeProducts are the products of GPUs that the labels of the cluster's nodes name, sorted.
func NodeProducts(ctx context.Context, reader client.Reader) ([]string, error) {
	var products []string
	nodes := &metav1.PartialObjectMetadataList{}
	nodes.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NodeList"))
	for {
		if err := reader.List(ctx, nodes, client.Limit(nodesAtOnce), client.Continue(nodes.Continue)); err != nil {
			return nil, fmt.Errorf("listing nodes: %w", err)
		}
		for i := range nodes.Items {
			products = append(products, workload.NodeProducts(nodes.Items[i].Labels)...)
		}
		if nodes.Continue == "" {
			slices.Sort(products)
			return slices.Compact(products), nil
		}
	}
}
