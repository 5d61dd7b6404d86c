package controlplane

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// servingPrograms are Knative's programs that run as pods, and that beside every container.
func servingPrograms() []string {
	return []string{
		ServingActivator, ServingAutoscaler, ServingAutoscalerHPA, ServingController, ServingWebhook, ServingQueue,
	}
}

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// sourceImage is how Knative's manifests name the programs: by their Go package.
const sourceImage = "ko://knative.dev/serving/cmd/"

// startKnativePods installs Knative Serving as its release does, from images of its programs.
//
// The manifests are changed in three ways: the images are local; a machine that runs all the rest
// is slow at times, so nothing is requested or limited, and no liveness probe restarts what
// is slow; and there is no HorizontalPodAutoscaler for Knative itself.
func (c *ControlPlane) startKnativePods(ctx context.Context, o Options, _, kcm *Process) error {
	version := requiredToolVersion(servingManifests)
	for _, program := range servingPrograms() {
		if err := c.LoadImage(ctx, localReference("knative/"+program, version), c.Tool(program)); err != nil {
			return err
		}
	}
	manifests := map[string][]*unstructured.Unstructured{}
	for _, part := range []string{
		crdManifests, rbacManifests, configManifests, webhookManifests, hpaManifests, deploymentManifests,
	} {
		objects, err := readManifests(filepath.Join(c.Tool(servingManifests), part))
		if err != nil {
			return err
		}
		manifests[part] = objects
	}
	queue := map[string]map[string]string{"config-deployment": {
		"queue-sidecar-image":               localReference("knative/"+ServingQueue, version),
		"registries-skipping-tag-resolving": "ko.local,dev.local,kind.local,registry.example.com",
	}}
	for _, config := range []map[string]map[string]string{queue, o.KnativeConfig} {
		if err := mergeConfig(manifests[configManifests], config); err != nil {
			return err
		}
	}
	var programs []*unstructured.Unstructured
	for _, object := range append(manifests[deploymentManifests], manifests[hpaManifests]...) {
		if object.GetName() == "autoscaler-hpa" && !o.HPA {
			continue
		}
		switch object.GetKind() {
		case "HorizontalPodAutoscaler", "PodDisruptionBudget", "Image":
			continue
		case "Deployment":
			if err := localDeployment(object, version); err != nil {
				return err
			}
		}
		programs = append(programs, object)
	}
	if err := c.applyCRDs(ctx, manifests[crdManifests]...); err != nil {
		return err
	}
	for _, objects := range [][]*unstructured.Unstructured{manifests[rbacManifests], manifests[configManifests]} {
		if err := c.apply(ctx, objects...); err != nil {
			return err
		}
	}
	if err := c.awaitAggregation(ctx, "knative-serving-admin", kcm); err != nil {
		return err
	}
	if err := c.apply(ctx, append(programs, manifests[webhookManifests]...)...); err != nil {
		return err
	}
	for _, object := range programs {
		if object.GetKind() == "Deployment" {
			if err := c.AwaitDeployment(ctx, knativeNamespace, object.GetName()); err != nil {
				return err
			}
		}
	}
	if err := c.startIngress(ctx); err != nil {
		return err
	}
	return await(ctx, "Knative's webhook", patience, c.probeKnative)
}

// localDeployment has a Deployment of Knative's run local images, however slowly.
func localDeployment(object *unstructured.Unstructured, version string) error {
	containers, _, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return err
	}
	for _, entry := range containers {
		container, _ := entry.(map[string]any)
		image, _ := container["image"].(string)
		program, ok := strings.CutPrefix(image, sourceImage)
		if !ok {
			return fmt.Errorf("an image of Deployment %s is none of Knative's: %s", object.GetName(), image)
		}
		container["image"] = localReference("knative/"+program, version)
		delete(container, "resources")
		delete(container, "livenessProbe")
	}
	return unstructured.SetNestedSlice(object.Object, containers, "spec", "template", "spec", "containers")
}

// AwaitDeployment waits until all pods of a Deployment's latest template are available, and
// no others are left.
func (c *ControlPlane) AwaitDeployment(ctx context.Context, namespace, name string) error {
	return await(ctx, "Deployment "+name, patience, func(ctx context.Context) error {
		o, err := c.client.Resource(deployments).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		number := func(fields ...string) int64 {
			value, _, _ := unstructured.NestedInt64(o.Object, fields...)
			return value
		}
		replicas := number("spec", "replicas")
		if number("status", "observedGeneration") < o.GetGeneration() {
			return errors.New("it has not been reconciled")
		}
		if number("status", "availableReplicas") != replicas || number("status", "updatedReplicas") != replicas ||
			number("status", "replicas") != replicas {
			return fmt.Errorf("%d of %d pods are available, %d are of the latest template, %d in all",
				number("status", "availableReplicas"), replicas, number("status", "updatedReplicas"), number("status", "replicas"))
		}
		return nil
	})
}
