package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func ran(t *testing.T, in string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), args, strings.NewReader(in), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

const labelledService = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: inference, labels: {kubetorch.com/autoscale: "true"}, annotations: {compute.kubetorch.com/gpus: "1", autoscale.kubetorch.com/max-scale: "4"}}
spec: {template: {spec: {containers: [{image: "a/b:v1"}]}}}
`

// As kubectl get computepolicies -o yaml prints them.
const storedPolicies = `apiVersion: v1
kind: List
items:
- apiVersion: policy.kubetorch.com/v1alpha1
  kind: ComputePolicy
  metadata: {name: platform, uid: 3f7c, resourceVersion: "7", generation: 2, creationTimestamp: "2026-11-29T12:00:00Z"}
  spec: {bounds: {maxScale: {max: 50}}}
  status: {observedGeneration: 2, conditions: [{type: Ready, status: "True", reason: InForce, message: "", lastTransitionTime: "2026-11-29T12:00:00Z"}]}
`

func TestInputsFromStandardInput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "service.yaml")
	require.NoError(t, os.WriteFile(file, []byte(labelledService), 0o600))
	code, out, errOut := ran(t, storedPolicies, "explain", "-f", file, "--policy", "-")
	assert.Equal(t, 0, code, errOut)
	assert.Regexp(t, `maxScale.max +platform +at most 50 +up to 4 pods +46`, out)

	code, _, errOut = ran(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-autoscaler}\ndata: {max-scale: \"3\", max-scale-limit: \"3\"}\n", "expand", "-f", file, "--knative-config", "-")
	assert.Equal(t, 1, code)
	assert.Contains(t, errOut, "max-scale")

	for name, args := range map[string][]string{
		"manifests and policies":     {"expand", "-f", "-", "--policy", "-"},
		"policies twice":             {"explain", "-f", file, "--policy", "-", "--policy", "-"},
		"policies and configuration": {"serve", "--standalone", "--policy", "-", "--knative-config", "-"},
		"an audit of both":           {"audit", "-f", "-", "--policy", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errOut := ran(t, storedPolicies, args...)
			assert.Equal(t, 2, code)
			assert.Contains(t, errOut, "standard input (-) can be read once only: put one of them into a file")
		})
	}
}

func TestWhatHandsMistype(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a command":                   {[]string{"explian", "-f", "x"}, `unknown command "explian": did you mean explain?; see kubetorch-webhook --help`},
		"a command that there is not": {[]string{"lint", "-f", "x"}, `unknown command "lint"; see kubetorch-webhook --help`},
		"a flag":                      {[]string{"explain", "--polcy", "x"}, "unknown flag: --polcy: did you mean --policy?; see kubetorch-webhook explain --help"},
		"a flag that there is not":    {[]string{"explain", "--colour"}, "unknown flag: --colour; see kubetorch-webhook explain --help"},
		"a letter that there is not":  {[]string{"explain", "-x"}, "unknown shorthand flag: 'x' in -x"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := ran(t, "", c.args...)
			assert.Equal(t, 2, code)
			assert.Empty(t, out)
			assert.Contains(t, errOut, c.want)
		})
	}
}

func TestVersionAsAFlag(t *testing.T) {
	code, out, _ := ran(t, "", "--version")
	assert.Equal(t, 0, code)
	_, long, _ := ran(t, "", "version")
	assert.Equal(t, strings.SplitAfter(long, "\n")[0], out)
}

func TestShellsComplete(t *testing.T) {
	for line, want := range map[string]string{"audit -o ": "json", "explain --output ": "table", "serve --log-level ": "debug", "ex": "explain"} {
		t.Run(line, func(t *testing.T) {
			words := strings.Split(line, " ")
			code, out, _ := ran(t, "", append([]string{"__complete"}, words...)...)
			assert.Equal(t, 0, code)
			assert.Contains(t, out, want)
		})
	}
	code, out, _ := ran(t, "", "completion", "bash")
	assert.Equal(t, 0, code)
	assert.Contains(t, out, "kubetorch-webhook")
}

func TestNoClusterIsSaidInWordsThatHelp(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, args := range [][]string{{"audit"}, {"check"}} {
		code, _, errOut := ran(t, "", args...)
		assert.Equal(t, 2, code)
		assert.Contains(t, errOut, "no cluster is known: name a kubeconfig with --kubeconfig, or in the environment variable KUBECONFIG", "%q", args)
	}
}

// Offline nobody knows what others hold, and that is said.
func TestOfflineABudgetSaysWhatItCannotKnow(t *testing.T) {
	folder := t.TempDir()
	service, budget := filepath.Join(folder, "service.yaml"), filepath.Join(folder, "budget.yaml")
	require.NoError(t, os.WriteFile(service, []byte(labelledService), 0o600))
	for most, want := range map[string]string{"8": "4 of 8 are left; what the workloads of a cluster hold is not known here", "3": "3 of 3 are free in budget b; max-scale 3 fits; what the workloads of a cluster hold is not known here"} {
		require.NoError(t, os.WriteFile(budget, []byte("apiVersion: policy.kubetorch.com/v1alpha1\nkind: GPUBudget\nmetadata: {name: b}\nspec: {max: "+most+"}\n"), 0o600))
		_, _, errOut := ran(t, "", "explain", "-f", service, "--policy", budget)
		assert.Contains(t, errOut, want)
	}
}
