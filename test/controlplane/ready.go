package controlplane

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var (
	configurations = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "configurations"}
	routes         = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "routes"}
	podAutoscalers = schema.GroupVersionResource{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Resource: "podautoscalers"}
	ingresses      = schema.GroupVersionResource{Group: "networking.internal.knative.dev", Version: "v1alpha1", Resource: "ingresses"}
)

// MakeReady makes the latest revision of a Knative Service of autoscaler class
// kpa Ready, and with it the Service. It writes the status that Knative's
// autoscaler would report once pods run, and that of an ingress.
func (c *ControlPlane) MakeReady(ctx context.Context, namespace, name string) error {
	if err := c.makeReady(ctx, namespace, name); err != nil {
		return fmt.Errorf("making Knative Service %s/%s ready: %w", namespace, name, err)
	}
	return nil
}

func (c *ControlPlane) makeReady(ctx context.Context, namespace, name string) error {
	var revision string
	err := await(ctx, "its latest revision", patience, func(ctx context.Context) (err error) {
		revision, err = c.latestRevision(ctx, namespace, name)
		return err
	})
	if err != nil {
		return err
	}
	conditions := func(kinds ...string) []any {
		var list []any
		for _, kind := range kinds {
			list = append(list, map[string]any{
				"type": kind, "status": "True", "lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
			})
		}
		return list
	}
	autoscalers := c.client.Resource(podAutoscalers).Namespace(namespace)
	err = await(ctx, "PodAutoscaler "+revision, patience, func(ctx context.Context) error {
		return writeStatus(ctx, autoscalers, revision, map[string]any{
			"desiredScale": int64(1), "actualScale": int64(1),
			"serviceName": revision, "metricsServiceName": revision + "-private",
			"conditions": conditions("Active", "Ready", "SKSReady", "ScaleTargetInitialized"),
		})
	})
	if err != nil {
		return err
	}
	gateway := map[string]any{"ingress": []any{map[string]any{"domainInternal": "gateway.example.svc.cluster.local"}}}
	err = await(ctx, "condition Ready", patience, func(ctx context.Context) error {
		notReady := c.requireReady(ctx, namespace, name, revision)
		if notReady == nil {
			return nil
		}
		// Knative changes the ingress, and so outdates its status, until
		// traffic goes to the revision.
		err := writeStatus(ctx, c.client.Resource(ingresses).Namespace(namespace), name, map[string]any{
			"publicLoadBalancer": gateway, "privateLoadBalancer": gateway,
			"conditions": conditions("LoadBalancerReady", "NetworkConfigured", "Ready"),
		})
		return errors.Join(notReady, err)
	})
	if err != nil {
		return fmt.Errorf("%w; %s", err, c.whatKnativeSays(context.WithoutCancel(ctx), namespace, name))
	}
	return nil
}

// whatKnativeSays are the conditions of what belongs to a Service.
func (c *ControlPlane) whatKnativeSays(ctx context.Context, namespace, name string) string {
	var said []string
	for _, resource := range []schema.GroupVersionResource{knativeServices, configurations, routes, ingresses} {
		o, err := c.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			said = append(said, err.Error())
			continue
		}
		said = append(said, fmt.Sprintf("%s of generation %d: %v", o.GetKind(), o.GetGeneration(), o.Object["status"]))
	}
	return strings.Join(said, "; ")
}

// requireReady fails unless a Service is Ready and serves the revision.
func (c *ControlPlane) requireReady(ctx context.Context, namespace, name, revision string) error {
	service, err := c.client.Resource(knativeServices).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if ready, _, _ := unstructured.NestedString(service.Object, "status", "latestReadyRevisionName"); ready != revision {
		return fmt.Errorf("latest ready revision is %q, not %s", ready, revision)
	}
	return requireCondition(service, "Ready")
}

// latestRevision returns the revision made from a Service's current template.
// The Service's own status may still name the revision before, so it asks the
// Configuration, which first has to follow the Service.
func (c *ControlPlane) latestRevision(ctx context.Context, namespace, name string) (string, error) {
	var owner *unstructured.Unstructured
	for _, resource := range []schema.GroupVersionResource{knativeServices, configurations} {
		o, err := c.client.Resource(resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		if seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration"); seen != o.GetGeneration() {
			return "", fmt.Errorf("generation %d of %s %s has not been reconciled", o.GetGeneration(), o.GetKind(), name)
		}
		owner = o
	}
	revision, _, _ := unstructured.NestedString(owner.Object, "status", "latestCreatedRevisionName")
	if revision == "" {
		return "", requireCondition(owner, "Ready")
	}
	return revision, nil
}

// writeStatus replaces an object's status, marking it as that of the object's
// current generation, unless that was done before: writing again and again
// would get in the way of Knative's own updates.
func writeStatus(ctx context.Context, resource dynamic.ResourceInterface, name string, status map[string]any) error {
	o, err := resource.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	if seen == o.GetGeneration() && requireCondition(o, "Ready") == nil {
		return nil
	}
	status["observedGeneration"] = o.GetGeneration()
	if err := unstructured.SetNestedMap(o.Object, status, "status"); err != nil {
		return err
	}
	_, err = resource.UpdateStatus(ctx, o, metav1.UpdateOptions{})
	return err
}
