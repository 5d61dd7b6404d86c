package install

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

var (
	namespaces            = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	serviceAccounts       = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	roles                 = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"}
	roleBindings          = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}
	clusterRoles          = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}
	clusterRoleBindings   = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"}
	configMaps            = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secrets               = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	deployments           = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	statefulSets          = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}
	pods                  = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	limitRanges           = schema.GroupVersionResource{Version: "v1", Resource: "limitranges"}
	jobs                  = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	cronJobs              = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}
	horizontalAutoscalers = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	jobSets               = schema.GroupVersionResource{Group: "jobset.x-k8s.io", Version: "v1alpha2", Resource: "jobsets"}
	definitions           = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	services              = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}
	configurations        = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "configurations"}
	routes                = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "routes"}
	autoscalers           = schema.GroupVersionResource{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Resource: "podautoscalers"}
	policies              = schema.GroupVersionResource{Group: "policy.kubetorch.com", Version: "v1alpha1", Resource: "computepolicies"}
	budgets               = schema.GroupVersionResource{Group: "policy.kubetorch.com", Version: "v1alpha1", Resource: "gpubudgets"}
	mutating              = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	validating            = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
)

const (
	timeout = 60 * time.Second
	tick    = 50 * time.Millisecond
	// hookTimeout is the timeoutSeconds of every entry.
	hookTimeout = 3 * time.Second

	labelled = `labels: {kubetorch.com/compute: "true"}`
)

// installed makes sure that the webhook is installed, by helm, and runs.
func installed(t *testing.T) {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	if hook != nil {
		return
	}
	helmInstall(t)
	require.NoError(t, start(""))
	if stays == "" {
		made, err := client.Resource(namespaces).Create(t.Context(), parse(`{apiVersion: v1, kind: Namespace, metadata: {generateName: stays-}}`), metav1.CreateOptions{})
		require.NoError(t, err)
		stays = made.GetName()
		store(t, budgets, "", fmt.Sprintf(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: %s}, spec: {max: 5, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}}}`, stays, stays))
		store(t, policies, "", fmt.Sprintf(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: %s}, spec: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}, bounds: {maxScale: {max: 4}}}}`, stays, stays))
	}
	// The API server follows each of the two configurations by itself, on a busy machine late.
	require.NoError(t, harness.AwaitAdmission(t.Context(), cluster))
	harness.Await(t, "the API server to ask the validating webhook", func() (bool, string) {
		// It refuses this whatever policies and budgets there are.
		err := create(t.Context(), statefulSets, stays, statefulSet("asked", `labels: {kubetorch.com/autoscale: "true"}`))
		return err != nil && strings.Contains(err.Error(), "kinds.kubetorch.com"), fmt.Sprint(err)
	})
}

// helmInstall installs the chart as it is, if it is not installed yet. Its image is none that
// could start.
func helmInstall(t *testing.T) {
	t.Helper()
	if !strings.Contains(helm(t, "list", "--namespace", namespace, "--short"), release) {
		helm(t, "install", release, chart(), "--namespace", namespace, "--create-namespace", "--set", "image.repository=registry.invalid/webhook,image.tag=none")
	}
}

// start runs the replicas of a webhook that manifests install, or that is installed.
func start(manifests string, args ...string) (err error) {
	hook, err = cluster.InstallWebhook(context.Background(), controlplane.WebhookOptions{
		Binary: program, Manifests: manifests, Replicas: replicas,
		ExtraArgs: append([]string{"--shutdown-delay=" + shutdownDelay.String(), "--api-request-timeout=" + requestTimeout.String()}, args...),
	})
	return err
}

func chart() string { return filepath.Join(root, "charts", "kubetorch-webhook") }

func helm(t *testing.T, args ...string) string {
	t.Helper()
	home := t.TempDir()
	c := exec.CommandContext(t.Context(), helmTool, args...)
	c.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+cluster.Kubeconfig())
	out, err := c.CombinedOutput()
	require.NoError(t, err, "helm %q: %s", args, out)
	return string(out)
}

// documented are the commands of the code block that follows a line of docs/operations.md.
func documented(t *testing.T, line string) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), line+"\n")
	require.True(t, found, "docs/operations.md has no line %q", line)
	_, block, found := strings.Cut(after, "```sh\n")
	require.True(t, found)
	block, _, _ = strings.Cut(block, "```")
	var commands [][]string
	for command := range strings.Lines(block) {
		command, _, _ = strings.Cut(command, "#")
		if words := strings.Fields(command); len(words) > 0 {
			commands = append(commands, words)
		}
	}
	require.NotEmpty(t, commands)
	return commands
}

// execute runs a documented kubectl or helm command, with the repository's chart and manifests for those
// of a release.
func execute(t *testing.T, words []string) {
	t.Helper()
	program, args := words[0], slices.Clone(words[1:])
	if i := slices.Index(args, "--version"); i > 0 {
		args = slices.Delete(args, i, i+2)
	}
	for i, arg := range args {
		switch arg {
		case "oci://ghcr.io/kubetorch/charts/kubetorch-webhook":
			args[i] = chart()
		case "install.yaml":
			rendered, _, err := cluster.Kubectl(t.Context(), nil, "kustomize", filepath.Join(root, "deploy"))
			require.NoError(t, err)
			args[i] = filepath.Join(t.TempDir(), arg)
			require.NoError(t, os.WriteFile(args[i], []byte(rendered), 0o644))
		}
	}
	if program == "helm" {
		helm(t, args...)
		return
	}
	require.Equal(t, "kubectl", program)
	_, _, err := cluster.Kubectl(t.Context(), nil, args...)
	require.NoError(t, err)
}

func newNamespace(t *testing.T) string {
	t.Helper()
	made, err := client.Resource(namespaces).Create(t.Context(), parse(`{apiVersion: v1, kind: Namespace, metadata: {generateName: e2e-}}`), metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = client.Resource(namespaces).Delete(context.Background(), made.GetName(), metav1.DeleteOptions{})
	})
	return made.GetName()
}

// parse reads an object that is written in a test.
func parse(text string) *unstructured.Unstructured {
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		panic(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		panic(err)
	}
	return u
}

// deployment is a Deployment of one small pod, with lines of metadata.
func deployment(name, metadata string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %s
  %s
spec:
  replicas: 1
  selector: {matchLabels: {app: %s}}
  template:
    metadata: {labels: {app: %s}}
    spec: {containers: [{name: web, image: "ghcr.io/example/web:1", ports: [{containerPort: 8080}]}]}
`, name, metadata, name, name)
}

// withGPU is a Deployment whose pod asks for a GPU.
func withGPU(name, metadata string) string {
	return strings.Replace(deployment(name, metadata), "{name: web,", `{name: web, resources: {limits: {nvidia.com/gpu: "1"}},`, 1)
}

// service is a Knative Service that claims GPUs.
func service(name, metadata string, gpus, pods int) string {
	return fmt.Sprintf(`apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: %s
  %s
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/max-scale: "%d"}}
    spec: {containers: [{image: "ghcr.io/example/web:1", resources: {limits: {nvidia.com/gpu: "%d"}}}]}
`, name, metadata, pods, gpus)
}

// create creates an object, by default in a dry run.
func create(ctx context.Context, gvr schema.GroupVersionResource, namespace, text string) error {
	_, err := client.Resource(gvr).Namespace(namespace).Create(ctx, parse(text), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// store creates an object to keep.
func store(t *testing.T, gvr schema.GroupVersionResource, namespace, text string) *unstructured.Unstructured {
	t.Helper()
	made, err := client.Resource(gvr).Namespace(namespace).Create(t.Context(), parse(text), metav1.CreateOptions{})
	require.NoError(t, err)
	return made
}

func get(t *testing.T, gvr schema.GroupVersionResource, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	u, err := client.Resource(gvr).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return u
}

func exists(gvr schema.GroupVersionResource, namespace, name string) bool {
	_, err := client.Resource(gvr).Namespace(namespace).Get(context.Background(), name, metav1.GetOptions{})
	return !apierrors.IsNotFound(err)
}

// change patches an object, once the webhook lets it: a claim may have to wait for a budget.
func change(t *testing.T, gvr schema.GroupVersionResource, namespace, name, merge string) {
	t.Helper()
	_, err := client.Resource(gvr).Namespace(namespace).Patch(t.Context(), name, types.MergePatchType, []byte(merge), metav1.PatchOptions{})
	require.NoError(t, err)
}

// remove deletes a cluster-wide object with the test.
func remove(t *testing.T, gvr schema.GroupVersionResource, name string) {
	t.Cleanup(func() { _ = client.Resource(gvr).Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

func nestedString(u *unstructured.Unstructured, fields ...string) string {
	text, _, _ := unstructured.NestedString(u.Object, fields...)
	return text
}

func budget(t *testing.T, name string) *v1alpha1.GPUBudget {
	t.Helper()
	return harness.Budget(t, client, name)
}

func counted(b *v1alpha1.GPUBudget) bool { return harness.Counted(b) }

// awaitUsed waits until a budget is counted and at rest with so many GPUs used.
func awaitUsed(t *testing.T, name string, used int64) {
	t.Helper()
	harness.Await(t, fmt.Sprintf("%d used in the ledger of budget %s, and nothing reserved", used, name), func() (bool, string) {
		b := budget(t, name)
		return counted(b) && b.Status.Used == used && b.Status.Reserved == 0, harness.Held(b)
	})
}

// entry is what tests need of an entry of the stored webhook configurations.
type entry struct{ name, path, failurePolicy string }

func entries(t *testing.T) map[string]entry {
	t.Helper()
	found := map[string]entry{}
	for _, gvr := range []schema.GroupVersionResource{mutating, validating} {
		configuration, err := client.Resource(gvr).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		list, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
		require.NoError(t, err)
		for _, item := range list {
			w := item.(map[string]any)
			path, _, _ := unstructured.NestedString(w, "clientConfig", "service", "path")
			e := entry{name: w["name"].(string), path: path, failurePolicy: w["failurePolicy"].(string)}
			found[e.name] = e
		}
	}
	require.NotEmpty(t, found)
	return found
}

// direct asks a replica without the API server, which verifies certificates in other tests.
var direct = &http.Client{
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
	Timeout:   10 * time.Second,
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// ask sends a request to a replica, or 0 and why there is no answer.
func ask(address, method, path, body string) (code int, answer string) {
	request, err := http.NewRequest(method, "https://"+address+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := direct.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// review has a replica decide on a request.
func review(t *testing.T, address, path string, request admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	t.Helper()
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: &request,
	})
	require.NoError(t, err)
	code, answer := ask(address, http.MethodPost, path, string(body))
	require.Equal(t, http.StatusOK, code, answer)
	var out admissionv1.AdmissionReview
	require.NoError(t, json.NewDecoder(bytes.NewBufferString(answer)).Decode(&out))
	require.NotNil(t, out.Response)
	return out.Response
}
