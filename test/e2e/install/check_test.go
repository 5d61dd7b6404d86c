package install

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// TestCheckSaysWhatIsNotAsItShouldBe asks, from outside, whether the installation is asked about
// everything: while replicas run, and while none does that could open or repair an entry.
func TestCheckSaysWhatIsNotAsItShouldBe(t *testing.T) {
	installed(t)
	out, code := check(t, "--wait=60s")
	assert.Equal(t, "both webhook configurations are as they should be\n", out)
	assert.Equal(t, 0, code)

	require.NoError(t, hook.Stop())
	defer func() {
		for _, r := range hook.Replicas {
			require.NoError(t, r.Restart(t.Context()))
		}
		out, code := check(t, "--wait=60s")
		assert.Equal(t, 0, code, out)
	}()
	for what, c := range map[string]struct{ alter, want string }{
		"a closed entry": {
			`[{"op":"remove","path":"/webhooks/0/rules"}]`,
			"validate.kubetorch.com has no rules\n",
		},
		"an entry that asks about less": {
			`[{"op":"replace","path":"/webhooks/0/rules/0/operations","value":["CREATE"]}]`,
			"validate.kubetorch.com has other rules\n",
		},
		"an entry that lets through what nobody answers for": {
			`[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]`,
			"validate.kubetorch.com has failurePolicy Ignore, and not Fail\n",
		},
		"a caBundle that is gone": {
			`[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]`,
			"validate.kubetorch.com has a caBundle that does not verify the webhook's certificate: it is empty\n",
		},
		"an entry that is gone": {
			`[{"op":"remove","path":"/webhooks/0"}]`,
			"validate.kubetorch.com is missing\n",
		},
	} {
		t.Run(what, func(t *testing.T) {
			before := get(t, validating, "", name)
			_, err := client.Resource(validating).Patch(t.Context(), name, types.JSONPatchType, []byte(c.alter), metav1.PatchOptions{})
			require.NoError(t, err)
			out, code := check(t)
			assert.Equal(t, 1, code, out)
			assert.Contains(t, out, c.want)
			_, err = harness.Change(t.Context(), client.Resource(validating), name, func(after *unstructured.Unstructured) error {
				after.Object["webhooks"] = before.Object["webhooks"]
				return nil
			})
			require.NoError(t, err)
			out, code = check(t)
			assert.Equal(t, 0, code, out)
		})
	}
	t.Run("a configuration that is gone", func(t *testing.T) {
		out, code := check(t, "--webhook-configuration=another")
		assert.Equal(t, 1, code, out)
		assert.Contains(t, out, "the mutating webhook configuration another is missing\nkubetorch-webhook: the validating webhook configuration another is missing\n")
	})
	t.Run("a cluster that cannot be read", func(t *testing.T) {
		command := exec.CommandContext(t.Context(), program, "check", "--kubeconfig="+filepath.Join(t.TempDir(), "none"))
		out, err := command.CombinedOutput()
		require.Error(t, err)
		assert.Equal(t, 2, command.ProcessState.ExitCode(), "%s", out)
	})
}

// TestCheckKnowsTheKindsOfThePlatformTeam runs what helm test runs, with the kinds of the chart's
// value: the first ready replica has added their rules.
func TestCheckKnowsTheKindsOfThePlatformTeam(t *testing.T) {
	installed(t)
	const kinds = `operatorKinds=[{"group":"acme.com","kind":"Train","resource":"trains","scale":true,"pods":[{"template":"spec.template"}]}]`
	upgrade := func(set string) {
		t.Helper()
		helm(t, "upgrade", release, chart(), "--namespace", namespace, "--reuse-values", "--force-conflicts", "--set-json", set) // with the port of this machine
		require.NoError(t, hook.Stop())
	}
	upgrade(kinds)
	defer func() {
		upgrade("operatorKinds=[]")
		require.NoError(t, start(""))
		out, code := check(t, "--wait=60s")
		assert.Equal(t, 0, code, out)
	}()
	args, files := checkOfTheChart(t)
	file := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "--kinds-file=") })
	require.GreaterOrEqual(t, file, 0, args)
	stored, _, err := unstructured.NestedString(get(t, configMaps, namespace, files[path.Dir(strings.TrimPrefix(args[file], "--kinds-file="))]).Object, "data", path.Base(args[file]))
	require.NoError(t, err)
	written := filepath.Join(t.TempDir(), "kinds.yaml")
	require.NoError(t, os.WriteFile(written, []byte(stored), 0o644))
	args[file] = "--kinds-file=" + written
	args = slices.DeleteFunc(args, func(a string) bool { return a == "--dial" }) // which needs the cluster's network

	require.NoError(t, start("", "--kinds-file="+written))
	out, code := check(t, args...)
	assert.Equal(t, 0, code, out)
	out, code = check(t)
	assert.Equal(t, 1, code, "without them these are rules that nobody expects")
	assert.Contains(t, out, "validate-operators.kubetorch.com has other rules\n")
	assert.Contains(t, out, "validate-scale.kubetorch.com has other rules\n")
}

// checkOfTheChart are the arguments of the pod that helm test runs, and the ConfigMaps that are
// mounted in it, by directory.
func checkOfTheChart(t *testing.T) (args []string, mounted map[string]string) {
	t.Helper()
	pod := parse(helm(t, "get", "hooks", release, "--namespace", namespace))
	list, _, err := unstructured.NestedSlice(pod.Object, "spec", "containers")
	require.NoError(t, err)
	container := list[0].(map[string]any)
	args, _, err = unstructured.NestedStringSlice(container, "args")
	require.NoError(t, err)
	require.Equal(t, "check", args[0])
	volumes, _, err := unstructured.NestedSlice(pod.Object, "spec", "volumes")
	require.NoError(t, err)
	of := map[any]string{}
	for _, v := range volumes {
		of[v.(map[string]any)["name"]], _, _ = unstructured.NestedString(v.(map[string]any), "configMap", "name")
	}
	mounts, _, err := unstructured.NestedSlice(container, "volumeMounts")
	require.NoError(t, err)
	mounted = map[string]string{}
	for _, m := range mounts {
		mounted[m.(map[string]any)["mountPath"].(string)] = of[m.(map[string]any)["name"]]
	}
	return args[1:], mounted
}

// check runs the command, and returns what it says and its exit code.
func check(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, append([]string{"check", "--kubeconfig=" + cluster.Kubeconfig()}, args...)...)
	text, err := command.CombinedOutput()
	if err != nil && command.ProcessState == nil {
		require.NoError(t, err)
	}
	return string(text), command.ProcessState.ExitCode()
}
