package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var (
	mutating   = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	validating = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
)

// Registration are the webhook configurations, as they were when they were read.
type Registration struct {
	client dynamic.Interface
	stored map[schema.GroupVersionResource]*unstructured.Unstructured
}

// Registration reads the configurations of the webhook that is installed.
func (c *Cluster) Registration(ctx context.Context, client dynamic.Interface) (*Registration, error) {
	r := &Registration{client: client, stored: map[schema.GroupVersionResource]*unstructured.Unstructured{}}
	for _, resource := range []schema.GroupVersionResource{mutating, validating} {
		o, err := client.Resource(resource).Get(ctx, "kubetorch-webhook", metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		made := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "webhooks": o.Object["webhooks"],
		}}
		made.SetName(o.GetName())
		made.SetLabels(o.GetLabels())
		made.SetAnnotations(o.GetAnnotations())
		r.stored[resource] = made
	}
	return r, nil
}

// Set has the API server ask the webhook, or nobody. It takes a moment until that is in force.
func (r *Registration) Set(ctx context.Context, asked bool) error {
	for resource, o := range r.stored {
		var err error
		if asked {
			_, err = r.client.Resource(resource).Create(ctx, o, metav1.CreateOptions{})
		} else {
			err = r.client.Resource(resource).Delete(ctx, o.GetName(), metav1.DeleteOptions{})
		}
		if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			return fmt.Errorf("registering the webhook (%t): %w", asked, err)
		}
	}
	return nil
}
