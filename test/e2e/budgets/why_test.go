package budgets

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// command runs the webhook's binary as a person would, with the cluster's kubeconfig.
func command(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, append(args, "--kubeconfig", cluster.Kubeconfig())...)
	c.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); err != nil {
		require.IsType(t, &exec.ExitError{}, err)
	}
	return out.String(), errOut.String(), c.ProcessState.ExitCode()
}

func TestWhySaysWhoHoldsABudgetAndWhatWouldFit(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 16\n")
	require.NoError(t, create(t, namespace, service("large", 2, 4)))
	require.NoError(t, create(t, namespace, service("small", 1, 1)))
	awaitUsed(t, name, 9)

	wanted, err := json.Marshal(service("wanted", 2, 5).Object)
	require.NoError(t, err)
	stdout, stderr, code := command(t, string(wanted), "why", "-f", "-", "-n", namespace)
	assert.Equal(t, 1, code, stderr)
	assert.Contains(t, stdout, "Service "+namespace+"/wanted: refused\n")
	assert.Contains(t, stdout, "asks for 10 GPUs (2 x 5 pods); 7 of 16 are free in budget "+name)
	assert.Contains(t, stdout, "What would fit: max-scale 3 fits\n")
	assert.Regexp(t, `(?m)^  8 +Service `+namespace+`/large +\d+s\n  1 +Service `+namespace+`/small +\d+s$`, stdout)
	stdout, _, _ = command(t, string(wanted), "why", "-f", "-", "-n", namespace, "-o", "json")
	assert.Regexp(t, `"name": "large",\s+"gpus": 8,\s+"age": "\d+s"`, stdout, "the same as JSON")
	const job = `{apiVersion: batch/v1, kind: Job, metadata: {name: train}, spec: {parallelism: 5, completions: 9, template: {spec: {restartPolicy: Never, containers: [{name: c, image: a, resources: {limits: {nvidia.com/gpu: 2}}}]}}}}`
	stdout, _, _ = command(t, job, "why", "-f", "-", "-n", namespace)
	assert.Contains(t, stdout, "spec.parallelism: Forbidden: asks for 10 GPUs (2 x 5 pods); 7 of 16 are free in budget "+name)
	assert.Contains(t, stdout, "What would fit: parallelism 3 fits\n")
	assert.NoError(t, create(t, namespace, service("fits", 2, 3)), "what it said is so")

	stdout, stderr, code = command(t, "", "why", "ksvc/large", "-n", namespace)
	assert.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "Service "+namespace+"/large: admitted\n")
}

func TestTraceShowsTheTreeOfAService(t *testing.T) {
	t.Parallel()
	namespace := newNamespace(t)
	name := newBudget(t, namespace, "  max: 16\n")
	require.NoError(t, create(t, namespace, service("a", 2, 4)))
	awaitUsed(t, name, 8)
	var stdout, stderr string
	harness.Eventually(t, "Knative's objects of the Service", func() bool {
		var code int
		stdout, stderr, code = command(t, "", "trace", "ksvc/a", "-n", namespace)
		return code == 0 && strings.Contains(stdout, "Deployment a-00001-deployment")
	})
	for _, line := range []string{`(?m)^Service a +8 \(2 x 4 pods\)`, `(?m)^\|-- Configuration a +8 \(2 x 4 pods\)`, "(?m)^.*-- Revision a-00001 +8 ", "(?m)^.*-- Route a ", "Budget " + name + ": Service a holds 8 of 16 GPUs"} {
		assert.Regexp(t, line, stdout)
	}
	_, stderr, code := command(t, "", "trace", "ksvc/nobody", "-n", namespace)
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, `services.serving.knative.dev "nobody" not found`)
}
