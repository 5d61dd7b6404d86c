package deployments

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/mutate"
)

// TestOfflineAndOnlineAgree applies what expand makes of a Deployment beside the
// Deployment itself, and compares the two Knative Services as the cluster holds them.
func TestOfflineAndOnlineAgree(t *testing.T) {
	t.Parallel()
	var config strings.Builder
	for _, name := range []string{"config-autoscaler", "config-defaults", "config-deployment", "config-features"} {
		out, _, err := cluster.Kubectl(t.Context(), nil, "get", "configmap", name, "-n", "knative-serving", "-o", "yaml")
		require.NoError(t, err)
		config.WriteString("---\n" + out)
	}
	file := filepath.Join(t.TempDir(), "knative.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config.String()), 0o600))

	for name, manifest := range map[string]string{
		"plain": web("app", 1, autoscale),
		"gpus": web("app", -1, autoscale, `annotations:
    compute.kubetorch.com/gpus: "1"
    compute.kubetorch.com/gpu-type: "nvidia.com/gpu.product: NVIDIA-L4"
    compute.kubetorch.com/memory: 1024Mi
    compute.kubetorch.com/cpus: "0.5"
    compute.kubetorch.com/shared-memory-limit: 2Gi
    autoscale.kubetorch.com/concurrency: "8"
    autoscale.kubetorch.com/min-scale: "1"`),
		"probes and environment": web("app", 2, autoscale) + `        env: [{name: A, value: b}]
        envFrom: [{configMapRef: {name: settings, optional: true}}]
        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 10}
        livenessProbe: {httpGet: {path: /live, port: 8080}, initialDelaySeconds: 5}
        resources: {requests: {cpu: 250m, memory: 1Gi}, limits: {memory: 2Gi}}
`,
		"a deadline and another name": strings.Replace(web("app", 1, autoscale, `annotations: {autoscale.kubetorch.com/service-name: app-serving}`),
			"  selector:", "  progressDeadlineSeconds: 1200\n  selector:", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expand := exec.CommandContext(t.Context(), binary, "expand", "-f", "-", "--knative-config", file)
			expand.Stdin = strings.NewReader(manifest)
			offline, err := expand.Output()
			require.NoError(t, err)
			var made struct{ Metadata struct{ Name string } }
			require.NoError(t, yaml.Unmarshal(offline, &made))

			a, b := newLab(t), newLab(t)
			a.apply(string(offline))
			b.apply(manifest)
			service := made.Metadata.Name
			b.eventually("Knative Service", func() bool { return b.exists(services, service) })
			want, got := a.get(services, service), b.get(services, service)
			assert.Equal(t, want.Object["spec"], got.Object["spec"])
			assert.Equal(t, want.GetLabels(), got.GetLabels())
			assert.Equal(t, want.GetAnnotations()[mutate.RecordAnnotation], got.GetAnnotations()[mutate.RecordAnnotation])
		})
	}
}
