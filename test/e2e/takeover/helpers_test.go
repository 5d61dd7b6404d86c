package takeover

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/registration"
	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// pack writes chart and manifests of a version into a folder, as a release does, changed in what it says.
func pack(t *testing.T, dir, version string, changes ...string) {
	t.Helper()
	changed := strings.NewReplacer(append(changes, "unreleased", version, "version: 0.1.0", "version: "+strings.TrimPrefix(version, "v"))...)
	manifests, _, err := cluster.Kubectl(t.Context(), nil, "kustomize", filepath.Join(root, "deploy"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "install-"+version+".yaml"), []byte(changed.Replace(manifests)), 0o644))
	chart := filepath.Join(root, "charts", "kubetorch-webhook")
	require.NoError(t, filepath.WalkDir(chart, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, "chart-"+version, strings.TrimPrefix(file, chart))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if filepath.Ext(file) != ".tpl" { // which asks whether the chart is a release
			text = []byte(changed.Replace(string(text)))
		}
		return os.WriteFile(to, text, 0o644)
	}))
}

// documented is the code block after a line of docs/operations.md, with chart and manifests of a version.
func documented(t *testing.T, line, version string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), line)
	require.True(t, found, "docs/operations.md does not say %q", line)
	_, block, found := strings.Cut(after, "```sh\n")
	require.True(t, found)
	block, _, _ = strings.Cut(block, "```")
	const chart = "oci://ghcr.io/kubetorch/charts/kubetorch-webhook --version 0.1.0 "
	return strings.NewReplacer(chart, "./chart-"+version+" ", " install.yaml", " install-"+version+".yaml").Replace(block)
}

// try runs commands as a user would, in a folder.
func try(t *testing.T, dir, commands string) (string, error) {
	t.Helper()
	bin, home := t.TempDir(), t.TempDir()
	for tool, path := range map[string]string{"helm": helm, "kubectl": cluster.Tool(controlplane.Kubectl)} {
		require.NoError(t, os.Symlink(path, filepath.Join(bin, tool)))
	}
	c := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", commands)
	c.Dir = dir
	c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "KUBECONFIG="+cluster.Kubeconfig(), "KUBECACHEDIR="+home,
		"HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	out, err := c.CombinedOutput()
	return string(out), err
}

func do(t *testing.T, dir, commands string) string {
	t.Helper()
	out, err := try(t, dir, commands)
	require.NoError(t, err, "%s\n%s", commands, out)
	return out
}

// everything is what is installed, by kind and name.
func everything(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	found := map[string]*unstructured.Unstructured{}
	for _, gvr := range []schema.GroupVersionResource{
		{Version: "v1", Resource: "services"}, {Version: "v1", Resource: "serviceaccounts"}, {Version: "v1", Resource: "resourcequotas"},
		{Group: "apps", Version: "v1", Resource: "deployments"}, {Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
		{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, mutating, validating,
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"}, {Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"},
	} {
		list, err := client.Resource(gvr).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for i, o := range list.Items {
			if strings.Contains(o.GetName(), "kubetorch") {
				found[gvr.Resource+"/"+o.GetName()] = &list.Items[i]
			}
		}
	}
	require.Contains(t, found, "deployments/"+name)
	return found
}

func identities(t *testing.T) map[string]types.UID {
	t.Helper()
	ids := map[string]types.UID{}
	for what, o := range everything(t) {
		ids[what] = o.GetUID()
	}
	return ids
}

// ownedBy are the objects of which a manager owns a field by applying it.
func ownedBy(t *testing.T, manager string) (owned []string) {
	t.Helper()
	for what, o := range everything(t) {
		for _, entry := range o.GetManagedFields() {
			if entry.Manager == manager {
				owned = append(owned, fmt.Sprintf("%s: %s", what, entry.FieldsV1.GetRawString()))
			}
		}
	}
	return owned
}

// open writes the rules into every entry, in the name of the first ready replica.
func open(t *testing.T) {
	t.Helper()
	expected, err := registration.NewExpected(types.NamespacedName{Namespace: namespace, Name: name}, "knative-serving", nil)
	require.NoError(t, err)
	for gvr, expected := range map[schema.GroupVersionResource][]registration.WebhookEntry{mutating: expected.Mutating, validating: expected.Validating} {
		o, err := client.Resource(gvr).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		installed, _, err := unstructured.NestedSlice(o.Object, "webhooks")
		require.NoError(t, err)
		var patch []string
		for _, e := range expected {
			i := slices.IndexFunc(installed, func(w any) bool { return w.(map[string]any)["name"] == e.Name })
			require.GreaterOrEqual(t, i, 0, e.Name)
			rules, err := json.Marshal(e.Rules)
			require.NoError(t, err)
			patch = append(patch, fmt.Sprintf(`{"op":"add","path":"/webhooks/%d/rules","value":%s}`, i, rules))
		}
		_, err = client.Resource(gvr).Patch(t.Context(), name, types.JSONPatchType, []byte("["+strings.Join(patch, ",")+"]"), metav1.PatchOptions{FieldManager: registration.FieldManager})
		require.NoError(t, err)
	}
}

// entries are the names of the validating webhooks, and whether they have rules.
func entries(t *testing.T) map[string]bool {
	t.Helper()
	o, err := client.Resource(validating).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	list, _, err := unstructured.NestedSlice(o.Object, "webhooks")
	require.NoError(t, err)
	found := map[string]bool{}
	for _, item := range list {
		rules, _, _ := unstructured.NestedSlice(item.(map[string]any), "rules")
		found[item.(map[string]any)["name"].(string)] = len(rules) > 0
	}
	return found
}

// requireRenamed demands that an entry which a version does not have any more is gone.
func requireRenamed(t *testing.T) {
	t.Helper()
	names := slices.Collect(maps.Keys(entries(t)))
	assert.Contains(t, names, "other.kubetorch.com")
	assert.NotContains(t, names, "kinds.kubetorch.com")
}

// requireVersion demands that what a version states is there.
func requireVersion(t *testing.T, version string, replicas, threshold int64) {
	t.Helper()
	o := everything(t)["deployments/"+name]
	count, _, err := unstructured.NestedInt64(o.Object, "spec", "replicas")
	require.NoError(t, err)
	assert.Equal(t, replicas, count)
	list, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	require.NoError(t, err)
	container := list[0].(map[string]any)
	assert.Equal(t, "ghcr.io/kubetorch/kubetorch-webhook:"+version, container["image"])
	have, _, err := unstructured.NestedInt64(container, "startupProbe", "failureThreshold")
	require.NoError(t, err)
	assert.Equal(t, threshold, have)
}

// store makes a budget, which is to outlive all that follows.
func store(t *testing.T, name string) {
	t.Helper()
	text := fmt.Sprintf(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: %s}, spec: {max: 8}}`, name)
	_, err := client.Resource(budgets).Create(t.Context(), harness.Object(t, text), metav1.CreateOptions{})
	require.NoError(t, err)
}

func requireStored(t *testing.T, name string) {
	t.Helper()
	_, err := client.Resource(budgets).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
}
