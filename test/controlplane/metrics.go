package controlplane

import (
	"context"
	"fmt"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// metricsManifestSources are what metrics-server is installed from; labels and selectors are
// what its kustomization would add.
var metricsManifestSources = []manifestSource{
	{metricsServer, "manifests/base/rbac.yaml", metricsPart},
	{metricsServer, "manifests/base/service.yaml", metricsPart},
	{metricsServer, "manifests/base/deployment.yaml", metricsPart},
	{metricsServer, "manifests/base/apiservice.yaml", metricsPart},
}

// metricsPart is the only folder of the metricsManifests entry.
const metricsPart = "metrics"

func (b *builder) copyMetricsManifests(ctx context.Context, modDir, out string) error {
	return b.copyManifests(ctx, modDir, out, metricsManifestSources)
}

// installMetrics runs metrics-server on a lab's node, for HorizontalPodAutoscalers. It does
// not wait for it, which takes the time of two measurements.
//
// Beside the image, two things are changed: the kubelet's certificate is self-signed, and it
// is asked more often.
func (c *ControlPlane) installMetrics(ctx context.Context) error {
	image := localReference("metrics-server", requiredToolVersion(MetricsServer))
	if err := c.LoadImage(ctx, image, c.Tool(MetricsServer)); err != nil {
		return err
	}
	objects, err := readManifests(filepath.Join(c.Tool(metricsManifests), metricsPart))
	if err != nil {
		return err
	}
	labels := map[string]any{"k8s-app": "metrics-server"}
	for _, o := range objects {
		var err error
		switch o.GetKind() {
		case "Service":
			err = unstructured.SetNestedMap(o.Object, labels, "spec", "selector")
		case "Deployment":
			err = metricsDeployment(o, image, labels)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return c.apply(ctx, objects...)
}

func metricsDeployment(o *unstructured.Unstructured, image string, labels map[string]any) error {
	err := changeContainer(o, func(container map[string]any) {
		container["image"] = image
		container["args"] = []any{
			"--cert-dir=/tmp", "--secure-port=10250", "--kubelet-preferred-address-types=InternalIP",
			"--kubelet-use-node-status-port", "--kubelet-insecure-tls",
			"--metric-resolution=10s", "--kubelet-request-timeout=5s",
		}
	})
	if err != nil {
		return err
	}
	if err := unstructured.SetNestedMap(o.Object, labels, "spec", "selector", "matchLabels"); err != nil {
		return err
	}
	return unstructured.SetNestedMap(o.Object, labels, "spec", "template", "metadata", "labels")
}
