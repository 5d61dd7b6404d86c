package offline_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
)

var update = flag.Bool("update", false, "write the golden files anew")

// expand gives everything that becomes of files: what is printed, and what is reported.
func expand(t *testing.T, files, policies, knative []string) (stdout, report string, refused bool) {
	t.Helper()
	inputs, err := offline.Load(policies, knative, nil)
	require.NoError(t, err)
	docs, err := offline.ReadDocuments(files, strings.NewReader(""))
	require.NoError(t, err)
	outcomes := offline.Expand(docs, inputs)
	var out, errOut bytes.Buffer
	refused = offline.Report(&errOut, outcomes)
	require.NoError(t, offline.WriteYAML(&out, docs, outcomes))
	return out.String(), errOut.String(), refused
}

// TestSeedExamples expands every example of kubetorch's guide to autoscaling, written as a
// Knative Service, in a cluster with the features that kubetorch turns on.
func TestSeedExamples(t *testing.T) {
	reports := map[string]string{"complete.yaml": "Warning: Service default/complete: scale-to-zero-pod-retention-period has no effect while min-scale is 1\n"}
	files, err := filepath.Glob("testdata/seed/*.yaml")
	require.NoError(t, err)
	count := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".golden.yaml") {
			continue
		}
		count++
		t.Run(filepath.Base(file), func(t *testing.T) {
			golden := strings.TrimSuffix(file, ".yaml") + ".golden.yaml"
			got, report, refused := expand(t, []string{file}, nil, []string{"testdata/knative.yaml"})
			assert.False(t, refused)
			assert.Equal(t, reports[filepath.Base(file)], report)
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), got)
			again, _, refused := expand(t, []string{golden}, nil, []string{"testdata/knative.yaml"})
			assert.False(t, refused)
			assert.Equal(t, got, again, "expanding what was expanded changes nothing")
		})
	}
	assert.Equal(t, 11, count)
}

// TestSeedExamplesSetEverything looks for the value of every parameter of an example in
// its golden file, so that a golden written anew cannot lose one.
func TestSeedExamplesSetEverything(t *testing.T) {
	raw, err := os.ReadFile("testdata/seed/complete.golden.yaml")
	require.NoError(t, err)
	docs, err := offline.Parse("complete", raw)
	require.NoError(t, err)
	require.Len(t, docs, 1)
	assert.Equal(t, map[string]string{
		"autoscaling.knative.dev/class":                              "kpa.autoscaling.knative.dev",
		"autoscaling.knative.dev/metric":                             "concurrency",
		"autoscaling.knative.dev/target":                             "10",
		"autoscaling.knative.dev/target-utilization-percentage":      "70",
		"autoscaling.knative.dev/min-scale":                          "1",
		"autoscaling.knative.dev/max-scale":                          "50",
		"autoscaling.knative.dev/initial-scale":                      "2",
		"autoscaling.knative.dev/window":                             "60s",
		"autoscaling.knative.dev/scale-down-delay":                   "2m",
		"autoscaling.knative.dev/scale-to-zero-pod-retention-period": "10m",
		"serving.knative.dev/progress-deadline":                      "15m",
	}, manifest.Texts(docs[0].Object, "spec", "template", "metadata", "annotations"))
	pod, err := yaml.Marshal(manifest.At(docs[0].Object, "spec", "template", "spec"))
	require.NoError(t, err)
	assert.YAMLEq(t, `
containerConcurrency: 20
tolerations:
- {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
- {key: dedicated, operator: Equal, value: gpu, effect: NoSchedule}
containers:
- image: pytorch/pytorch:2.0.0
  resources:
    limits: {nvidia.com/gpu: "1"}
    requests: {cpu: "4", memory: 16Gi, nvidia.com/gpu: "1"}
`, string(pod))
}
