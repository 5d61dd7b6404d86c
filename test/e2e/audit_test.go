package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// audit runs the command.
func audit(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, append([]string{"audit"}, args...)...)
	c.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	err := c.Run()
	if err != nil {
		require.IsType(t, &exec.ExitError{}, err)
	}
	return out.String(), errOut.String(), c.ProcessState.ExitCode()
}

// audited is the status of one policy in the command's output, without times.
func audited(t *testing.T, stdout, policy string) v1alpha1.ComputePolicyStatus {
	t.Helper()
	var result struct {
		Policies []struct {
			Name   string
			Status v1alpha1.ComputePolicyStatus
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &result))
	for _, p := range result.Policies {
		if p.Name == policy {
			return timeless(p.Status)
		}
	}
	t.Fatalf("no policy %s in %s", policy, stdout)
	return v1alpha1.ComputePolicyStatus{}
}

func timeless(s v1alpha1.ComputePolicyStatus) v1alpha1.ComputePolicyStatus {
	s.Audited, s.Checked = nil, nil
	for i := range s.Conditions {
		s.Conditions[i].LastTransitionTime = metav1.Time{}
	}
	return s
}

func TestTheCommandSaysWhatTheStatusSays(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	name := "audit-" + ns
	_, err := create(t, ns, service("unbounded", nil, nil))
	require.NoError(t, err)
	_, err = create(t, ns, withGPUs(annotated(autoscaled("gpus", map[string]string{"autoscale.kubetorch.com/max-scale": "4"}), nil), 2))
	require.NoError(t, err)
	deployment := `{apiVersion: apps/v1, kind: Deployment, metadata: {name: plain}, spec: {replicas: 2, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "nginx:1", resources: {limits: {nvidia.com/gpu: 3}}}]}}}}`
	_, stderr, err := kubectl(t, deployment, "apply", "-n", ns, "-f", "-")
	require.NoError(t, err, stderr)
	for _, revision := range []string{"unbounded-00001", "gpus-00001"} {
		eventually(t, autoscalers, ns, revision)
	}

	spec := in(ns) + ", enforcement: Warn, bounds: {maxScale: {max: 4, enforcement: Deny}, gpusPerPod: {max: 1}, gpusPerWorkload: {max: 6, enforcement: Audit}}"
	applyPolicy(t, name, "{"+spec+"}")
	s := awaitStatus(t, name, func(s v1alpha1.ComputePolicyStatus) bool { return s.Violations != nil && s.Violations.Total == 4 })
	lines := func(s v1alpha1.ComputePolicyStatus) (all []string) {
		for _, v := range s.Violations.List {
			all = append(all, v.Kind+" "+v.Name+" "+v.Bound)
		}
		return all
	}
	want := []string{"Deployment plain gpusPerPod", "Service gpus gpusPerPod", "Service gpus gpusPerWorkload", "Service unbounded maxScale"}
	require.Equal(t, want, lines(s))
	assert.Equal(t, []v1alpha1.BoundViolations{{Bound: "maxScale", Enforcement: "Deny", Count: 1}, {Bound: "gpusPerPod", Enforcement: "Warn", Count: 2},
		{Bound: "gpusPerWorkload", Enforcement: "Audit", Count: 1}}, s.Violations.ByBound)

	kubeconfig := "--kubeconfig=" + cluster.Kubeconfig()
	t.Run("as JSON, the same", func(t *testing.T) {
		out, stderr, code := audit(t, "", kubeconfig, "-o", "json")
		assert.Equal(t, 1, code, stderr)
		assert.Equal(t, timeless(s), audited(t, out, name))
	})
	t.Run("as a table", func(t *testing.T) {
		out, _, code := audit(t, "", kubeconfig)
		assert.Equal(t, 1, code)
		assert.Regexp(t, `(?m)^`+name+` +gpusPerWorkload +Audit +`+ns+` +Service +gpus +asks for 8 GPUs \(2 x 4 pods\); policy `+name+` allows at most 6 \(bounds\.gpusPerWorkload\.max\); max-scale 3 fits$`, out)
		assert.Regexp(t, `^POLICY +BOUND +ENFORCEMENT +NAMESPACE +KIND +NAME +MESSAGE\n`, out)
	})
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(name, spec string) {
		require.NoError(t, os.WriteFile(file, []byte("{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: "+name+"}, spec: {"+spec+"}}"), 0o600))
	}
	t.Run("of a policy that is not applied yet", func(t *testing.T) {
		write("planned", in(ns)+", enforcement: Warn, bounds: {gpusPerPod: {max: 2}}")
		out, stderr, code := audit(t, "", kubeconfig, "--policy", file, "-o", "json")
		assert.Equal(t, 0, code, "what only warns is no failure")
		assert.Regexp(t, `^1 violation in \d+ objects, 0 of bounds that refuse or clamp\n$`, stderr)
		assert.Equal(t, []string{"Deployment plain gpusPerPod"}, lines(audited(t, out, "planned")))
	})
	t.Run("of files", func(t *testing.T) {
		objects, stderr, err := kubectl(t, "", "get", "-n", ns, "deployments,ksvc,configurations,routes,revisions", "-o", "yaml")
		require.NoError(t, err, stderr)
		write(name, spec)
		out, stderr, code := audit(t, objects, "-f", "-", "--policy", file, "-o", "json")
		assert.Equal(t, 1, code, stderr)
		assert.Equal(t, s.Violations, audited(t, out, name).Violations)
	})
	t.Run("without the right to look", func(t *testing.T) {
		denied, err := cluster.ServiceAccountKubeconfig(t.Context(), ns, "default")
		require.NoError(t, err)
		out, stderr, code := audit(t, "", "--kubeconfig="+denied)
		assert.Equal(t, 2, code, "nothing was found out")
		assert.Empty(t, out)
		assert.Contains(t, stderr, "listing computepolicies.policy.kubetorch.com: ")
	})
}
