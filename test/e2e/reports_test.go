package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// reportsModule has the CustomResourceDefinition of ClusterReports, as OpenReports ships it.
const reportsModule = "github.com/openreports/reports-api@v0.2.1"

var reports = schema.GroupVersionResource{Group: "openreports.io", Version: "v1alpha1", Resource: "clusterreports"}

// allowReports gives the webhook the rights of deploy/components/openreports; its flag is in TestMain.
func allowReports(ctx context.Context, e *harness.Environment) error {
	text, err := os.ReadFile(filepath.Join(e.Root, "deploy/components/openreports/rbac.yaml"))
	if err != nil {
		return err
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), u); err != nil {
			return err
		}
		resource := schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: strings.ToLower(u.GetKind()) + "s"}
		if _, err := e.Client.Resource(resource).Create(ctx, u, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// definition is the CustomResourceDefinition of ClusterReports.
func definition(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", reportsModule).Output()
	require.NoError(t, err)
	var module struct{ Dir string }
	require.NoError(t, json.Unmarshal(out, &module))
	text, err := os.ReadFile(filepath.Join(module.Dir, "config/crd/openreports.io_clusterreports.yaml"))
	require.NoError(t, err)
	u := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal(text, u))
	return u
}

// summary is what a report counts, nil if there is no report.
func summary(t *testing.T, name string) map[string]any {
	t.Helper()
	o, err := client.Resource(reports).Get(t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(t, err)
	counted, _, _ := unstructured.NestedMap(o.Object, "summary")
	return counted
}

func TestTheLeaderKeepsAClusterReportOfEachPolicyWhereTheCRDExists(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	name := "reports-" + ns
	report := "kubetorch-policy-" + name
	_, err := create(t, ns, withGPUs(annotated(service("large", nil, nil), map[string]any{"autoscaling.knative.dev/max-scale": "4"}), 2))
	require.NoError(t, err)
	_, err = create(t, ns, withGPUs(annotated(service("small", nil, nil), map[string]any{"autoscaling.knative.dev/max-scale": "2"}), 2))
	require.NoError(t, err)
	policy := func(priority string) string {
		return "{" + in(ns) + ", priority: " + priority + ", bounds: {gpusPerWorkload: {max: 6}}}"
	}

	// Without the CRD the audit goes on as ever.
	applyPolicy(t, name, policy("1"))
	awaitStatus(t, name, func(s v1alpha1.ComputePolicyStatus) bool { return reason(s, "Compliant") == "False Violations" })
	assert.NotContains(t, webhookLog(t), "ClusterReport")

	_, err = client.Resource(definitions).Create(t.Context(), definition(t), metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = client.Resource(definitions).Delete(context.Background(), "clusterreports.openreports.io", metav1.DeleteOptions{})
	})
	harness.Eventually(t, "the API server serves ClusterReports", func() bool {
		_, err := client.Resource(reports).List(t.Context(), metav1.ListOptions{})
		return err == nil
	})
	applyPolicy(t, name, policy("2"))
	harness.Eventually(t, "the policy's report", func() bool { return summary(t, report)["fail"] == int64(1) })
	o, err := client.Resource(reports).Get(t.Context(), report, metav1.GetOptions{})
	require.NoError(t, err)
	results, _, _ := unstructured.NestedSlice(o.Object, "results")
	require.Len(t, results, 1)
	result := results[0].(map[string]any)
	assert.Equal(t, []any{"kubetorch-webhook", name, "fail"}, []any{result["source"], result["policy"], result["result"]})
	assert.Contains(t, result["message"], "asks for 8 GPUs (2 x 4 pods); policy "+name+" allows at most 6 (bounds.gpusPerWorkload.max)")
	assert.Equal(t, []any{map[string]any{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "namespace": ns, "name": "large"}}, result["resources"])
	assert.Positive(t, summary(t, report)["pass"])

	require.NoError(t, client.Resource(services).Namespace(ns).Delete(t.Context(), "large", metav1.DeleteOptions{}))
	applyPolicy(t, name, policy("3"))
	harness.Eventually(t, "the report without what is gone", func() bool { return summary(t, report)["fail"] == int64(0) })

	require.NoError(t, client.Resource(policies).Delete(t.Context(), name, metav1.DeleteOptions{}))
	harness.Eventually(t, "no report of a policy that is gone", func() bool { return summary(t, report) == nil })
}
