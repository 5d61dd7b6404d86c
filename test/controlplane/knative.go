package controlplane

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const knativeNamespace = "knative-serving"

// knativeServices are Knative's own Services, not those of Kubernetes.
var knativeServices = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}

// defaultKnativeConfig makes Knative work without a registry: it must not ask
// one for the digest behind a tag, and the image of its sidecar, which a
// release would carry, has to be named.
var defaultKnativeConfig = map[string]map[string]string{
	"config-deployment": {
		"queue-sidecar-image": "ko.local/queue:latest",
		"registries-skipping-tag-resolving": strings.Join([]string{
			"kind.local", "ko.local", "dev.local", "registry.example.com",
			"index.docker.io", "ghcr.io", "quay.io", "gcr.io", "nvcr.io", "registry.k8s.io",
		}, ","),
	},
}

// startKnative installs Knative Serving, starts its webhook and controller
// under the identity they have in a cluster, and waits until the webhook
// answers for Knative Services. With KnativeTypes it only installs types and ConfigMaps.
func (c *ControlPlane) startKnative(ctx context.Context, o Options, apiserver, kcm *Process) error {
	manifests := map[string][]*unstructured.Unstructured{}
	for _, part := range []string{crdManifests, rbacManifests, configManifests, webhookManifests, hpaManifests} {
		objects, err := readManifests(filepath.Join(c.Tool(knativeManifests), part))
		if err != nil {
			return err
		}
		manifests[part] = objects
	}
	for _, config := range []map[string]map[string]string{defaultKnativeConfig, o.KnativeConfig} {
		if err := mergeConfig(manifests[configManifests], config); err != nil {
			return err
		}
	}
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	if err := redirectWebhooks(manifests[webhookManifests], ports[0]); err != nil {
		return err
	}

	if err := c.applyCRDs(ctx, manifests[crdManifests]...); err != nil {
		return err
	}
	// One of the webhooks guards the ConfigMaps, so these go first.
	for _, objects := range [][]*unstructured.Unstructured{
		manifests[rbacManifests],
		manifests[configManifests],
	} {
		if err := c.apply(ctx, objects...); err != nil {
			return err
		}
	}
	if o.KnativeTypes {
		return nil
	}
	if err := c.apply(ctx, localhostService(knativeNamespace, "webhook")); err != nil {
		return err
	}
	if err := c.apply(ctx, manifests[webhookManifests]...); err != nil {
		return err
	}
	kubeconfig, err := c.ServiceAccountKubeconfig(ctx, knativeNamespace, "controller")
	if err != nil {
		return err
	}
	if err := c.awaitAggregation(ctx, "knative-serving-admin", kcm); err != nil {
		return err
	}

	webhook, err := c.startKnativeProcess(KnativeWebhook, kubeconfig,
		"WEBHOOK_NAME=webhook", fmt.Sprintf("WEBHOOK_PORT=%d", ports[0]))
	if err != nil {
		return err
	}
	// It keeps serving for 45 seconds after SIGTERM, for load balancers.
	webhook.grace = 200 * time.Millisecond
	controller, err := c.startKnativeProcess(KnativeController, kubeconfig)
	if err != nil {
		return err
	}
	procs := []*Process{webhook, controller}
	if o.HPA {
		hpa, err := c.startKnativeProcess(KnativeAutoscalerHPA, kubeconfig)
		if err != nil {
			return err
		}
		procs = append(procs, hpa)
		// Its Deployment is how others see that it is installed.
		if err := withoutReplicas(manifests[hpaManifests]); err != nil {
			return err
		}
		if err := c.apply(ctx, manifests[hpaManifests]...); err != nil {
			return err
		}
	}
	return portError(await(ctx, "Knative's webhook", patience, c.probeKnative, append(procs, apiserver)...))
}

// startKnativeProcess runs one of Knative's binaries.
func (c *ControlPlane) startKnativeProcess(name, kubeconfig string, env ...string) (*Process, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	env = append(env,
		"KUBECONFIG="+kubeconfig,
		"POD_NAME="+name,
		"SYSTEM_NAMESPACE="+knativeNamespace,
		"CONFIG_LOGGING_NAME=config-logging",
		"CONFIG_OBSERVABILITY_NAME=config-observability",
		"METRICS_DOMAIN=knative.dev/internal/serving",
		"METRICS_PROMETHEUS_HOST=127.0.0.1",
		fmt.Sprintf("METRICS_PROMETHEUS_PORT=%d", ports[0]),
		// The kernel chooses.
		"PROFILING_PORT=0",
	)
	return c.StartProcess(name, env, c.Tool(name))
}

// probeKnative succeeds when a valid Knative Service passes both of Knative's
// webhooks and an invalid one does not.
func (c *ControlPlane) probeKnative(ctx context.Context) error {
	service := func(image string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "serving.knative.dev/v1",
			"kind":       "Service",
			"metadata":   map[string]any{"name": "probe"},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{"image": image}},
			}}},
		}}
	}
	create := func(o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		return c.client.Resource(knativeServices).Namespace(metav1.NamespaceDefault).
			Create(ctx, o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	}
	created, err := create(service("registry.example.com/app:v1"))
	if err != nil {
		return err
	}
	if _, ok := created.GetAnnotations()["serving.knative.dev/creator"]; !ok {
		return errors.New("the webhook does not fill in defaults")
	}
	if _, err := create(service("")); err == nil {
		return errors.New("the webhook accepts a container without an image")
	}
	return nil
}

// awaitAggregation waits until kube-controller-manager has filled in the rules
// of an aggregated ClusterRole.
func (c *ControlPlane) awaitAggregation(ctx context.Context, role string, kcm *Process) error {
	return await(ctx, "the rules of ClusterRole "+role, patience, func(ctx context.Context) error {
		o, err := c.client.Resource(clusterRoles).Get(ctx, role, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if rules, _, _ := unstructured.NestedSlice(o.Object, "rules"); len(rules) == 0 {
			return errors.New("it has none")
		}
		return nil
	}, kcm)
}

// mergeConfig sets keys of ConfigMaps that are among the objects.
func mergeConfig(objects []*unstructured.Unstructured, config map[string]map[string]string) error {
	for name, data := range config {
		found := false
		for _, o := range objects {
			if o.GetKind() != "ConfigMap" || o.GetName() != name {
				continue
			}
			found = true
			for key, value := range data {
				if err := unstructured.SetNestedField(o.Object, value, "data", key); err != nil {
					return fmt.Errorf("setting %s in ConfigMap %s: %w", key, name, err)
				}
			}
		}
		if !found {
			return fmt.Errorf("there is no ConfigMap %q in Knative", name)
		}
	}
	return nil
}
