package attacks

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func pause() { time.Sleep(harness.Tick) }

// container is one that asks for GPUs; for none with 0.
func container(gpus int) string {
	if gpus == 0 {
		return `{name: app, image: "nginx:1"}`
	}
	return fmt.Sprintf(`{name: app, image: "nginx:1", resources: {limits: {nvidia.com/gpu: "%d"}}}`, gpus)
}

// template is a pod template. annotations is a JSON object.
func template(gpus int, annotations string) string {
	if annotations == "" {
		annotations = "{}"
	}
	return fmt.Sprintf(`{metadata: {labels: {app: x}, annotations: %s}, spec: {containers: [%s]}}`, annotations, container(gpus))
}

// lingers is the annotation of pods that take their grace period when they are deleted.
const lingers = `{controlplane/lingers: "true"}`

// workload is an object of one of the kinds that make pods from a template and a number.
func workload(apiVersion, kind, name string, gpus, pods int, annotations string) string {
	selector, counts := `selector: {matchLabels: {app: x}}, `, fmt.Sprintf(`replicas: %d, `, pods)
	pod := template(gpus, annotations)
	switch kind {
	case "ReplicationController":
		selector = `selector: {app: x}, `
	case "StatefulSet":
		counts += `serviceName: x, podManagementPolicy: Parallel, `
	case "DaemonSet":
		counts = ""
	case "Job":
		selector, counts = "", fmt.Sprintf(`parallelism: %d, completions: %d, `, pods, pods)
		pod = fmt.Sprintf(`{metadata: {annotations: %s}, spec: {restartPolicy: Never, containers: [%s]}}`, orNone(annotations), container(gpus))
	}
	return fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {name: %s, labels: {app: x}}, spec: {%s%stemplate: %s}}`, apiVersion, kind, name, selector, counts, pod)
}

func orNone(annotations string) string {
	if annotations == "" {
		return "{}"
	}
	return annotations
}

func deployment(name string, gpus, pods int) string {
	return workload("apps/v1", "Deployment", name, gpus, pods, "")
}

// knativeService is one of so many pods at most, and in the beginning. more are further
// annotations of its template, each with a comma before it.
func knativeService(name string, gpus, pods int, more string) string {
	return fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: %s}, spec: {template: %s}}`, name, revisionTemplate("", gpus, pods, more))
}

// revisionTemplate is one for a revision, with a name if it is not empty.
func revisionTemplate(name string, gpus, pods int, more string) string {
	named := ""
	if name != "" {
		named = "name: " + name + ", "
	}
	return fmt.Sprintf(`{metadata: {%sannotations: {autoscaling.knative.dev/max-scale: "%d", autoscaling.knative.dev/initial-scale: "%d"%s}}, spec: {containers: [%s]}}`,
		named, pods, pods, more, container(gpus))
}

func asText(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	return string(text)
}
