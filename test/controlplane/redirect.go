package controlplane

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// A webhook that runs as a local process is reached through its Service: with
// type ExternalName and name localhost the API server dials localhost, on the
// port in the webhook configuration, and expects the same certificate as from
// the Service. So the shipped configurations work with a port added, and the
// webhook's own certificates stay valid.

// localhostService returns a Service that stands for this machine.
func localhostService(namespace, name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Service",
		"metadata":   map[string]any{"namespace": namespace, "name": name},
		"spec":       map[string]any{"type": "ExternalName", "externalName": "localhost"},
	}}
}

func isWebhookConfiguration(o *unstructured.Unstructured) bool {
	return o.GetKind() == "MutatingWebhookConfiguration" || o.GetKind() == "ValidatingWebhookConfiguration"
}

// redirectWebhooks sets the port of every webhook in the webhook
// configurations among the objects.
func redirectWebhooks(objects []*unstructured.Unstructured, port int) error {
	for _, o := range objects {
		if !isWebhookConfiguration(o) {
			continue
		}
		webhooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
		if err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
		for _, w := range webhooks {
			webhook, ok := w.(map[string]any)
			if !ok {
				return fmt.Errorf("%s %s: a webhook is no object", o.GetKind(), o.GetName())
			}
			service, ok, err := unstructured.NestedMap(webhook, "clientConfig", "service")
			if err != nil || !ok {
				return fmt.Errorf("%s %s: webhook %v has no service", o.GetKind(), o.GetName(), webhook["name"])
			}
			service["port"] = int64(port)
			if err := unstructured.SetNestedMap(webhook, service, "clientConfig", "service"); err != nil {
				return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
			}
		}
		if err := unstructured.SetNestedSlice(o.Object, webhooks, "webhooks"); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// redirectInstalled changes what is installed in the way that InstallWebhook changes
// manifests, but for the Deployment: whoever installed it may apply it again.
func (c *ControlPlane) redirectInstalled(ctx context.Context, port int) error {
	patch := func(resource dynamic.ResourceInterface, kind types.PatchType, body string) error {
		_, err := resource.Patch(ctx, webhookName, kind, []byte(body), metav1.PatchOptions{FieldManager: "controlplane"})
		return err
	}
	for _, resource := range []schema.GroupVersionResource{mutatingHooks, validatingHooks} {
		o, err := c.client.Resource(resource).Get(ctx, webhookName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		webhooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
		if err != nil {
			return err
		}
		var ports []string
		for i := range webhooks {
			ports = append(ports, fmt.Sprintf(`{"op":"replace","path":"/webhooks/%d/clientConfig/service/port","value":%d}`, i, port))
		}
		if err := patch(c.client.Resource(resource), types.JSONPatchType, "["+strings.Join(ports, ",")+"]"); err != nil {
			return err
		}
	}
	return patch(c.client.Resource(coreServices).Namespace(webhookNamespace), types.MergePatchType,
		`{"spec":{"type":"ExternalName","externalName":"localhost"}}`)
}

// withoutReplicas sets the Deployments among the objects to have no pods: what
// they would run are local processes.
func withoutReplicas(objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		if o.GetKind() != "Deployment" {
			continue
		}
		if err := unstructured.SetNestedField(o.Object, int64(0), "spec", "replicas"); err != nil {
			return fmt.Errorf("setting the replicas of Deployment %s: %w", o.GetName(), err)
		}
	}
	return nil
}
