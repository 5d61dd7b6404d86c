package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// webhookImage is what the shipped Deployment runs in a lab: its own image under a tag that
// no node pulls anew.
const webhookImage = "ghcr.io/kubetorch/kubetorch-webhook:lab"

// InstallWebhookPods installs the kubetorch webhook from its shipped manifests on a node of
// Options.Pods, from an image of the binary, and waits until its pods are available and the
// API server can verify their certificate. Nothing is changed but the tag of the image, and an
// argument if the API server's request timeout is not the usual one.
func (c *ControlPlane) InstallWebhookPods(ctx context.Context, binary, manifests string) error {
	if err := c.installWebhookPods(ctx, binary, manifests); err != nil {
		return fmt.Errorf("installing the webhook's pods from %q: %w", manifests, err)
	}
	return nil
}

func (c *ControlPlane) installWebhookPods(ctx context.Context, binary, manifests string) error {
	if err := c.LoadImage(ctx, webhookImage, binary); err != nil {
		return err
	}
	rendered, _, err := c.Kubectl(ctx, nil, "kustomize", manifests)
	if err != nil {
		return err
	}
	objects, err := decodeManifests([]byte(rendered))
	if err != nil {
		return fmt.Errorf("reading the rendered manifests: %w", err)
	}
	var namespaces, definitions, rest, hooks []*unstructured.Unstructured
	for _, o := range objects {
		switch {
		case o.GetKind() == "Namespace":
			namespaces = append(namespaces, o)
		case o.GetKind() == "CustomResourceDefinition":
			definitions = append(definitions, o)
		case isWebhookConfiguration(o):
			hooks = append(hooks, o)
		case o.GetKind() == "Deployment":
			if err := changeContainer(o, c.changeWebhook); err != nil {
				return err
			}
			rest = append(rest, o)
		default:
			rest = append(rest, o)
		}
	}
	if err := c.apply(ctx, namespaces...); err != nil {
		return err
	}
	if err := c.applyCRDs(ctx, definitions...); err != nil {
		return err
	}
	if err := c.apply(ctx, append(rest, hooks...)...); err != nil {
		return err
	}
	if err := c.AwaitDeployment(ctx, webhookNamespace, webhookName); err != nil {
		return err
	}
	return c.awaitRegistered(ctx, &Webhook{})
}

func (c *ControlPlane) changeWebhook(container map[string]any) {
	container["image"] = webhookImage
	if timeout := c.options.RequestTimeout; timeout > 0 {
		args, _ := container["args"].([]any)
		container["args"] = append(args, "--api-request-timeout="+timeout.String())
	}
}

// changeContainer changes the only container of a Deployment.
func changeContainer(o *unstructured.Unstructured, change func(container map[string]any)) error {
	fields := []string{"spec", "template", "spec", "containers"}
	containers, _, err := unstructured.NestedSlice(o.Object, fields...)
	if err != nil {
		return fmt.Errorf("reading the containers of Deployment %s: %w", o.GetName(), err)
	}
	if len(containers) != 1 {
		return fmt.Errorf("the number of containers of Deployment %s is %d and not 1", o.GetName(), len(containers))
	}
	change(containers[0].(map[string]any))
	return unstructured.SetNestedSlice(o.Object, containers, fields...)
}

// RestartWebhookPods does what kubectl rollout restart does, and waits until the rollout is
// through and the pods before are gone.
func (c *ControlPlane) RestartWebhookPods(ctx context.Context) error {
	restart := []string{"--namespace", webhookNamespace, "rollout", "restart", "deployment/" + webhookName}
	if _, _, err := c.Kubectl(ctx, nil, restart...); err != nil {
		return err
	}
	if err := c.AwaitDeployment(ctx, webhookNamespace, webhookName); err != nil {
		return err
	}
	deployment, err := c.client.Resource(deployments).Namespace(webhookNamespace).
		Get(ctx, webhookName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	replicas, _, _ := unstructured.NestedInt64(deployment.Object, "spec", "replicas")
	return await(ctx, "the end of the webhook's pods before", 2*time.Minute, func(ctx context.Context) error {
		list, err := c.client.Resource(pods).Namespace(webhookNamespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if int64(len(list.Items)) != replicas {
			return errors.New("there are more")
		}
		return nil
	})
}
