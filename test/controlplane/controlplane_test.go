package controlplane

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const helloService = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: hello
spec:
  template:
    metadata:
      annotations: {autoscaling.knative.dev/min-scale: "1", autoscaling.knative.dev/max-scale: "3"}
    spec:
      containers:
      - image: registry.example.com/app:v1
        resources:
          limits:
            nvidia.com/gpu: "1"
`

// TestControlPlane starts one control plane and uses all of it, since a start
// takes several seconds.
func TestControlPlane(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	c, err := Start(ctx, Options{
		Log: testLog{t},
		HPA: true,
		KnativeConfig: map[string]map[string]string{
			"config-autoscaler": {"max-scale-limit": "7", "max-scale": "7"},
		},
	})
	require.NoError(t, err)
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			assert.NoError(t, c.Stop())
		}
	})

	t.Run("reports the version of Kubernetes", func(t *testing.T) {
		out, _, err := c.Kubectl(ctx, nil, "get", "--raw", "/version")
		require.NoError(t, err)
		assert.Contains(t, out, `"gitVersion": "v1.`)
	})

	t.Run("Knative's webhook validates", func(t *testing.T) {
		bad := strings.ReplaceAll(helloService, `min-scale: "1"`, `min-scale: "9"`)
		_, _, err := c.Kubectl(ctx, strings.NewReader(bad), "create", "-f", "-")
		require.ErrorContains(t, err, "max-scale=3 is less than min-scale=9")
	})

	t.Run("Knative uses the given configuration", func(t *testing.T) {
		bad := strings.ReplaceAll(helloService, `max-scale: "3"`, `max-scale: "8"`)
		_, _, err := c.Kubectl(ctx, strings.NewReader(bad), "create", "-f", "-")
		require.ErrorContains(t, err, "expected 1 <= 8 <= 7")
	})

	t.Run("Knative's controller makes a revision and a PodAutoscaler", func(t *testing.T) {
		_, _, err := c.Kubectl(ctx, strings.NewReader(helloService), "create", "-f", "-")
		require.NoError(t, err)
		eventually(t, func() error {
			_, _, err := c.Kubectl(ctx, nil, "get", "revision/hello-00001", "podautoscaler/hello-00001", "deployment/hello-00001-deployment")
			return err
		})
		out, _, err := c.Kubectl(ctx, nil, "get", "ksvc", "hello", "-o", "jsonpath={.metadata.annotations.serving\\.knative\\.dev/creator}")
		require.NoError(t, err)
		assert.Equal(t, "admin", out)
	})

	t.Run("Knative's autoscaler makes a HorizontalPodAutoscaler", func(t *testing.T) {
		scaled := strings.NewReplacer("name: hello", "name: scaled", `min-scale: "1"`,
			`class: hpa.autoscaling.knative.dev, autoscaling.knative.dev/metric: cpu, autoscaling.knative.dev/target: "80"`,
		).Replace(helloService)
		_, _, err := c.Kubectl(ctx, strings.NewReader(scaled), "create", "-f", "-")
		require.NoError(t, err)
		eventually(t, func() error {
			_, _, err := c.Kubectl(ctx, nil, "get", "hpa/scaled-00001")
			return err
		})
	})

	t.Run("a webhook can be installed", func(t *testing.T) {
		testInstallWebhook(ctx, t, c)
	})

	t.Run("every listener is on a loopback address", func(t *testing.T) {
		requireLoopback(t, c)
	})

	t.Run("a Service can be made ready", func(t *testing.T) {
		require.NoError(t, c.MakeReady(ctx, "default", "hello"))
		next := strings.ReplaceAll(helloService, "app:v1", "app:v2")
		_, _, err := c.Kubectl(ctx, strings.NewReader(next), "apply", "-f", "-")
		require.NoError(t, err)
		require.NoError(t, c.MakeReady(ctx, "default", "hello"))
		out, _, err := c.Kubectl(ctx, nil, "get", "ksvc", "hello", "-o", "jsonpath={.status.latestReadyRevisionName}")
		require.NoError(t, err)
		assert.Equal(t, "hello-00002", out)
	})

	t.Run("garbage is collected", func(t *testing.T) {
		_, _, err := c.Kubectl(ctx, nil, "delete", "ksvc", "--all")
		require.NoError(t, err)
		eventually(t, func() error {
			out, _, err := c.Kubectl(ctx, nil, "get", "revisions,deployments,podautoscalers", "-o", "name")
			if err == nil && out != "" {
				err = assert.AnError
			}
			return err
		})
	})

	t.Run("kustomize is there", func(t *testing.T) {
	})

	t.Run("stopping leaves nothing", func(t *testing.T) {
		stopped = true
		begin := time.Now()
		require.NoError(t, c.Stop())
		t.Logf("stopped in %s", seconds(time.Since(begin)))
		for _, p := range c.Processes() {
			assert.True(t, p.exited(), "%s is still running", p.Name())
		}
		assert.NoDirExists(t, c.dir.path)
		require.NoError(t, c.Stop())
	})
}

// testLog writes progress to the test's log.
type testLog struct{ t *testing.T }

func (l testLog) Write(text []byte) (int, error) {
	l.t.Log(strings.TrimSuffix(string(text), "\n"))
	return len(text), nil
}

// eventually repeats an attempt until it succeeds or it took too long.
func eventually(t *testing.T, attempt func() error) {
	t.Helper()
	require.NoError(t, await(t.Context(), "success", patience, func(context.Context) error { return attempt() }))
}
