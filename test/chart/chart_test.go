// Package chart renders the Helm chart with helm and the kustomizations with kustomize, and
// holds them against each other.
package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/test/controlplane"
)

const namespace = "kubetorch-system"

var helm, kubectl, kustomize, root, chart string

func TestMain(m *testing.M) {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func prepare() (err error) {
	if root, err = controlplane.RepositoryRoot(); err != nil {
		return err
	}
	paths, err := controlplane.EnsureTools(context.Background(), os.Stderr, controlplane.Helm, controlplane.Kubectl, controlplane.Kustomize)
	if err != nil {
		return err
	}
	helm, kubectl, kustomize = paths[controlplane.Helm], paths[controlplane.Kubectl], paths[controlplane.Kustomize]
	chart = filepath.Join(root, "charts", "kubetorch-webhook")
	return nil
}

// sources are the certificate sources that there are components for.
func sources(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, "certs"))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.NotEmpty(t, names)
	return names
}

func run(t *testing.T, program string, args ...string) (stdout string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	c := exec.CommandContext(t.Context(), program, args...)
	home := t.TempDir() // nothing of the user's
	c.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+filepath.Join(home, "none"))
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s %q: %w: %s", filepath.Base(program), args, err, errOut.String())
	}
	return out.String(), nil
}

// template renders the chart with values.
func template(t *testing.T, into string, set ...string) (objects, error) {
	t.Helper()
	args := []string{"template", "release", chart, "--namespace", into, "--no-hooks", "--set-json", `image.tag="unreleased"`}
	for _, s := range set {
		args = append(args, "--set-json", s)
	}
	out, err := run(t, helm, args...)
	if err != nil {
		return nil, err
	}
	return read(t, out), nil
}

// build renders the base with certificates from a source, and more components of deploy/.
func build(t *testing.T, source string, components ...string) objects {
	t.Helper()
	dir := t.TempDir()
	relative := func(path ...string) string {
		path = append([]string{root}, path...)
		r, err := filepath.Rel(dir, filepath.Join(path...))
		require.NoError(t, err)
		return r
	}
	text := fmt.Sprintf("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- %s\n- %s\ncomponents:\n- %s\n",
		relative("deploy", "crd"), relative("deploy", "base"), relative("certs", source))
	for _, c := range components {
		text += "- " + relative("deploy", "components", c) + "\n"
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o644))
	out, err := run(t, kustomize, "build", dir)
	require.NoError(t, err)
	return read(t, out)
}

// objects are manifests by kind, namespace and name.
type objects map[string]map[string]any

func read(t *testing.T, text string) objects {
	t.Helper()
	found := objects{}
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(o); errors.Is(err, io.EOF) {
			return found
		} else {
			require.NoError(t, err)
		}
		if len(o.Object) == 0 {
			continue
		}
		key := strings.Join([]string{o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), o.GetName()}, "/")
		require.NotContains(t, found, key)
		found[key] = o.Object
	}
}

func TestHelmInstallsWhatKustomizeDoes(t *testing.T) {
	t.Parallel()
	for _, source := range sources(t) {
		for name, c := range map[string]struct {
			components, values []string
		}{
			"as it comes":           {},
			"with a network policy": {components: []string{"network-policy"}, values: []string{"networkPolicy.enabled=true"}},
		} {
			t.Run(source+" "+name, func(t *testing.T) {
				t.Parallel()
				rendered, err := template(t, namespace, append(c.values, fmt.Sprintf("certificates.source=%q", source))...)
				require.NoError(t, err)
				built := build(t, source, c.components...)
				// Helm installs into a namespace that is there.
				require.Contains(t, built, "v1/Namespace//"+namespace)
				delete(built, "v1/Namespace//"+namespace)
				for key, o := range rendered {
					if strings.Contains(key, "/CustomResourceDefinition/") {
						annotations := manifest.At(o, "metadata", "annotations").(map[string]any)
						assert.Equal(t, "keep", annotations["helm.sh/resource-policy"], key)
						delete(annotations, "helm.sh/resource-policy")
					}
				}
				assert.ElementsMatch(t, slices.Collect(maps.Keys(built)), slices.Collect(maps.Keys(rendered)))
				for key, o := range built {
					assert.Equal(t, o, rendered[key], key)
				}
			})
		}
	}
}

// Item 55 of the checklist: what the cluster itself needs never depends on the webhook.
func TestWhatTheClusterNeedsIsOutsideInBothInstallations(t *testing.T) {
	t.Parallel()
	inHelm, err := template(t, namespace)
	require.NoError(t, err)
	elsewhere, err := template(t, "platform", `knativeNamespace="serverless"`)
	require.NoError(t, err)
	more, err := template(t, namespace, `excludedNamespaces=["kube-system", "monitoring"]`)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		objects  objects
		excluded []any
	}{
		"kustomize":                {build(t, "self-managed"), []any{"kube-system", "kube-node-lease", "cert-manager", "kubetorch-system", "knative-serving"}},
		"helm":                     {inHelm, []any{"kube-system", "kube-node-lease", "cert-manager", "kubetorch-system", "knative-serving"}},
		"helm in other namespaces": {elsewhere, []any{"kube-system", "kube-node-lease", "cert-manager", "platform", "serverless"}},
		"helm with others":         {more, []any{"kube-system", "monitoring", "kubetorch-system", "knative-serving"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries := 0
			for _, kind := range []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} {
				configuration := c.objects["admissionregistration.k8s.io/v1/"+kind+"//kubetorch-webhook"]
				require.NotNil(t, configuration)
				for _, w := range configuration["webhooks"].([]any) {
					entry := w.(map[string]any)
					entries++
					seconds := 3
					if entry["failurePolicy"] == "Ignore" && strings.HasPrefix(entry["name"].(string), "validate-") {
						seconds = 1 // controllers and autoscalers go on without the webhook
					}
					assert.EqualValues(t, seconds, entry["timeoutSeconds"], entry["name"])
					if entry["name"] == "policies.kubetorch.com" {
						continue // for objects without a namespace
					}
					assert.Equal(t, map[string]any{"matchExpressions": []any{map[string]any{
						"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": c.excluded,
					}}}, entry["namespaceSelector"], entry["name"])
				}
			}
			assert.Equal(t, 31, entries)
		})
	}
}

func TestNothingNamesAnotherNamespaceThanTheReleases(t *testing.T) {
	t.Parallel()
	for _, source := range sources(t) {
		out, err := run(t, helm, "template", "release", chart, "--namespace", "platform", "--set", "image.tag=v1,certificates.source="+source+",knativeNamespace=serverless")
		require.NoError(t, err)
		var named []string
		for line := range strings.Lines(out) {
			if code, _, _ := strings.Cut(line, "#"); strings.Contains(code, "kubetorch-system") || strings.Contains(code, "knative-serving") {
				named = append(named, line)
			}
		}
		assert.Empty(t, named, source)
		for key := range read(t, out) {
			parts := strings.Split(key, "/")
			assert.Contains(t, []string{"", "platform"}, parts[len(parts)-2], key)
		}
	}
}

func TestValuesChangeWhatTheySay(t *testing.T) {
	t.Parallel()
	const (
		deployment = "apps/v1/Deployment/kubetorch-system/kubetorch-webhook"
		disruption = "policy/v1/PodDisruptionBudget/kubetorch-system/kubetorch-webhook"
	)
	container := []string{"spec", "template", "spec", "containers", "0"}
	for name, c := range map[string]struct {
		set    []string
		object string
		path   []string
		want   any
	}{
		"replicas":             {[]string{"replicas=5"}, deployment, []string{"spec", "replicas"}, int64(5)},
		"a tag":                {[]string{`image.tag="1.2"`}, deployment, append(container, "image"), "ghcr.io/kubetorch/kubetorch-webhook:1.2"},
		"a repository":         {[]string{`image.repository="registry.example/webhook"`}, deployment, append(container, "image"), "registry.example/webhook:unreleased"},
		"a tag and a digest":   {[]string{`image.tag="1.2"`, `image.digest="sha256:` + strings.Repeat("a", 64) + `"`}, deployment, append(container, "image"), "ghcr.io/kubetorch/kubetorch-webhook:1.2@sha256:" + strings.Repeat("a", 64)},
		"a digest":             {[]string{`image.tag=""`, `image.digest="sha256:` + strings.Repeat("a", 64) + `"`}, deployment, append(container, "image"), "ghcr.io/kubetorch/kubetorch-webhook@sha256:" + strings.Repeat("a", 64)},
		"environment":          {[]string{`env=[{"name":"GOMEMLIMIT","value":"400MiB"}]`}, deployment, append(container, "env", "2"), map[string]any{"name": "GOMEMLIMIT", "value": "400MiB"}},
		"labels of pods":       {[]string{`podLabels={"team":"platform"}`}, deployment, []string{"spec", "template", "metadata", "labels", "team"}, "platform"},
		"affinity":             {[]string{`affinity={"nodeAffinity":{}}`}, deployment, []string{"spec", "template", "spec", "affinity"}, map[string]any{"nodeAffinity": map[string]any{}}},
		"a ServiceMonitor":     {[]string{`monitoring.serviceMonitor={"enabled":true,"interval":"1m","labels":{"release":"prometheus"}}`}, "monitoring.coreos.com/v1/ServiceMonitor/kubetorch-system/kubetorch-webhook", []string{"metadata", "labels", "release"}, "prometheus"},
		"how often to scrape":  {[]string{`monitoring.serviceMonitor={"enabled":true,"interval":"1m"}`}, "monitoring.coreos.com/v1/ServiceMonitor/kubetorch-system/kubetorch-webhook", []string{"spec", "endpoints", "0", "interval"}, "1m"},
		"alerts":               {[]string{`monitoring.rules={"enabled":true,"labels":{"release":"prometheus"}}`}, "monitoring.coreos.com/v1/PrometheusRule/kubetorch-system/kubetorch-webhook", []string{"metadata", "labels", "release"}, "prometheus"},
		"a dashboard":          {[]string{`monitoring.dashboard.enabled=true`}, "v1/ConfigMap/kubetorch-system/kubetorch-webhook-dashboard", []string{"metadata", "labels", "grafana_dashboard"}, "1"},
		"viewers":              {[]string{`viewers.group="developers"`}, "rbac.authorization.k8s.io/v1/ClusterRoleBinding//kubetorch-viewers", []string{"subjects", "0", "name"}, "developers"},
		"reports of policies":  {[]string{`openReports.enabled=true`}, deployment, append(container, "args"), []any{"serve", "--listen=:9443", "--shutdown-delay=10s", "--openreports"}},
		"the right to reports": {[]string{`openReports.enabled=true`}, "rbac.authorization.k8s.io/v1/ClusterRole//kubetorch-webhook-openreports", []string{"rules"}, []any{map[string]any{"apiGroups": []any{"openreports.io"}, "resources": []any{"clusterreports"}, "verbs": []any{"list", "create", "update", "delete"}}}},
		"a pull policy":        {[]string{`image.pullPolicy="Always"`}, deployment, append(container, "imagePullPolicy"), "Always"},
		"a pull secret":        {[]string{`imagePullSecrets=[{"name":"registry"}]`}, deployment, []string{"spec", "template", "spec", "imagePullSecrets"}, []any{map[string]any{"name": "registry"}}},
		"arguments":            {[]string{`shutdownDelaySeconds=15`, `apiRequestTimeoutSeconds=90`, `knativeNamespace="serverless"`, `extraArgs=["--audit-interval=1h"]`}, deployment, append(container, "args"), []any{"serve", "--listen=:9443", "--shutdown-delay=15s", "--knative-namespace=serverless", "--api-request-timeout=90s", "--audit-interval=1h"}},
		"namespaces left out":  {[]string{`excludedNamespaces=["monitoring"]`}, deployment, append(container, "args"), []any{"serve", "--listen=:9443", "--shutdown-delay=10s", "--excluded-namespaces=monitoring"}},
		"the grace period":     {[]string{`shutdownDelaySeconds=15`}, deployment, []string{"spec", "template", "spec", "terminationGracePeriodSeconds"}, int64(35)},
		"resources":            {[]string{`resources={"requests":{"memory":"1Gi","cpu":null},"limits":null}`}, deployment, append(container, "resources"), map[string]any{"requests": map[string]any{"memory": "1Gi"}}},
		"a priority class":     {[]string{`priorityClassName="platform"`}, deployment, []string{"spec", "template", "spec", "priorityClassName"}, "platform"},
		"annotations":          {[]string{`podAnnotations={"a":"b"}`}, deployment, []string{"spec", "template", "metadata", "annotations"}, map[string]any{"a": "b"}},
		"a node selector":      {[]string{`nodeSelector={"pool":"system"}`}, deployment, []string{"spec", "template", "spec", "nodeSelector"}, map[string]any{"pool": "system"}},
		"a toleration":         {[]string{`tolerations=[{"key":"a","operator":"Exists"}]`}, deployment, []string{"spec", "template", "spec", "tolerations"}, []any{map[string]any{"key": "a", "operator": "Exists"}}},
		"a disruption budget":  {[]string{`disruptionBudget.minAvailable="50%"`}, disruption, []string{"spec", "minAvailable"}, "50%"},
		"no definitions":       {[]string{`crds.install=false`}, "apiextensions.k8s.io/v1/CustomResourceDefinition//gpubudgets.policy.kubetorch.com", nil, nil},
		"definitions that go":  {[]string{`crds.keep=false`}, "apiextensions.k8s.io/v1/CustomResourceDefinition//gpubudgets.policy.kubetorch.com", []string{"metadata", "annotations", "helm.sh/resource-policy"}, nil},
		"no quota for others":  {[]string{`priorityClassName="platform"`}, "v1/ResourceQuota/kubetorch-system/kubetorch-webhook-critical-pods", nil, nil},
		"a quota for its own":  {[]string{`priorityClassName="system-node-critical"`}, "v1/ResourceQuota/kubetorch-system/kubetorch-webhook-critical-pods", []string{"spec", "scopeSelector", "matchExpressions", "0", "values"}, []any{"system-node-critical"}},
		"Knative's namespaces": {[]string{`knativeNamespace="serverless"`}, "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration//kubetorch-webhook", []string{"webhooks", "3", "matchConditions", "0", "expression"}, "!request.userInfo.username.startsWith('system:serviceaccount:serverless:')"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rendered, err := template(t, namespace, c.set...)
			require.NoError(t, err)
			if c.path == nil {
				assert.NotContains(t, rendered, c.object)
				return
			}
			require.Contains(t, rendered, c.object)
			assert.Equal(t, c.want, at(rendered[c.object], c.path...))
			unchanged, err := template(t, namespace)
			require.NoError(t, err)
			assert.NotEqual(t, c.want, at(unchanged[c.object], c.path...), "this is the default")
		})
	}
}

// at follows keys and indices.
func at(value any, path ...string) any {
	for _, key := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// A chart that is no release says what to do before anything is installed.
func TestAChartThatIsNoReleaseAsksForAnImage(t *testing.T) {
	t.Parallel()
	_, err := run(t, helm, "template", "release", chart, "--namespace", namespace)
	assert.ErrorContains(t, err, "no image is published for it: build one with make image, push it, and set image.repository and image.tag (or image.digest)")
}

// The alerts are those of the kustomization, templates of Prometheus in them included.
func TestMonitoringIsThatOfTheKustomization(t *testing.T) {
	t.Parallel()
	rendered, err := template(t, namespace, `monitoring={"rules":{"enabled":true,"labels":{}},"serviceMonitor":{"enabled":true,"interval":"30s"},"dashboard":{"enabled":true,"labels":{"grafana_dashboard":"1"}}}`)
	require.NoError(t, err)
	for key, file := range map[string]string{
		"monitoring.coreos.com/v1/PrometheusRule/kubetorch-system/kubetorch-webhook": "rules.yaml",
		"monitoring.coreos.com/v1/ServiceMonitor/kubetorch-system/kubetorch-webhook": "servicemonitor.yaml",
	} {
		text, err := os.ReadFile(filepath.Join(root, "deploy", "monitoring", file))
		require.NoError(t, err)
		assert.Equal(t, read(t, string(text))[key], rendered[key], file)
	}
	board, err := os.ReadFile(filepath.Join(root, "deploy", "monitoring", "dashboard.json"))
	require.NoError(t, err)
	assert.JSONEq(t, string(board), at(rendered["v1/ConfigMap/kubetorch-system/kubetorch-webhook-dashboard"], "data", "kubetorch-webhook.json").(string))
}

func TestTheCheckRunsTheImageAndAKnownCommand(t *testing.T) {
	t.Parallel()
	out, err := run(t, helm, "template", "release", chart, "--namespace", "platform", "--set", "image.tag=1.2,knativeNamespace=serverless", "--show-only", "templates/tests/check.yaml")
	require.NoError(t, err)
	pod := read(t, out)["v1/Pod/platform/kubetorch-webhook-check"]
	require.NotNil(t, pod)
	container := at(pod, "spec", "containers", "0")
	assert.Equal(t, "ghcr.io/kubetorch/kubetorch-webhook:1.2", at(container, "image"))
	args := at(container, "args").([]any)
	require.Equal(t, []any{"check", "--namespace=platform", "--knative-namespace=serverless", "--wait=60s", "--dial"}, args)
	var o options.Check
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(flags)
	for _, arg := range args[1:] {
		require.NoError(t, flags.Parse([]string{arg.(string)}))
	}
	assert.Empty(t, o.Validate())
	assert.NotEqual(t, "kubetorch-webhook", at(pod, "metadata", "labels", "app.kubernetes.io/name"), "the Service would select it")
}

func TestLintFindsNothing(t *testing.T) {
	t.Parallel()
	for _, source := range sources(t) {
		out, err := run(t, helm, "lint", "--strict", chart, "--set", "image.tag=v1,certificates.source="+source)
		require.NoError(t, err)
		assert.NotContains(t, out, "[ERROR]")
		assert.NotContains(t, out, "[WARNING]")
	}
}
