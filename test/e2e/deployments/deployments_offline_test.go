package deployments

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// unseen is a namespace that this webhook leaves alone, and Knative's does not.
const unseen = "kube-node-lease"

// knativeConfigFile holds the cluster's Knative configuration, for expand.
func knativeConfigFile(t *testing.T) string {
	t.Helper()
	var config strings.Builder
	for _, name := range []string{"config-autoscaler", "config-defaults", "config-deployment", "config-features"} {
		out, _, err := cluster.Kubectl(t.Context(), nil, "get", "configmap", name, "-n", "knative-serving", "-o", "yaml")
		require.NoError(t, err)
		config.WriteString("---\n" + out)
	}
	file := filepath.Join(t.TempDir(), "knative.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config.String()), 0o600))
	return file
}

// workload is a manifest, and what becomes of it offline and in the cluster.
type workload struct {
	file   string
	object *unstructured.Unstructured
	// offline is the Knative Service that expand makes; nil if it refuses.
	offline *unstructured.Unstructured
	// refusals are the causes, sorted: of expand, and of the cluster.
	refusals, denials []string
}

func (w *workload) resource() schema.GroupVersionResource {
	if w.object.GetKind() == "Deployment" {
		return deployments
	}
	return services
}

// expand runs the command on the manifest, with policies and a Knative configuration.
func (w *workload) expand(l *lab, flags ...string) {
	manifest, err := json.Marshal(w.object)
	require.NoError(l, err)
	command := exec.CommandContext(l.Context(), binary, append([]string{"expand", "-o", "json", "-f", "-"}, flags...)...)
	command.Stdin = strings.NewReader(string(manifest))
	out, err := command.Output()
	failed := &exec.ExitError{}
	switch {
	case err == nil:
		var list unstructured.UnstructuredList
		assert.NoError(l, list.UnmarshalJSON(out), w.file)
		if assert.Len(l, list.Items, 1, w.file) {
			w.offline = &list.Items[0]
		}
	case errors.As(err, &failed) && failed.ExitCode() == 1:
		for line := range strings.Lines(string(failed.Stderr)) {
			if cause, ok := strings.CutPrefix(line, "  * "); ok {
				w.refusals = append(w.refusals, strings.TrimSpace(cause))
			}
		}
		slices.Sort(w.refusals)
	default:
		assert.NoError(l, err, w.file)
	}
}

// ask has the API server say what it would make of the manifest. Fields that it does not
// know it refuses by itself, without causes, as it does for kubectl.
func (w *workload) ask(l *lab) {
	_, err := l.client.Resource(w.resource()).Namespace(l.namespace).Create(l.Context(), w.object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	if err == nil {
		return
	}
	for _, field := range unknownField.FindAllStringSubmatch(err.Error(), -1) {
		w.denials = append(w.denials, field[1]+": Forbidden: is not a field of a Deployment; correct or remove it")
	}
	if len(w.denials) > 0 {
		slices.Sort(w.denials)
		return
	}
	status := apierrors.APIStatus(nil)
	require.ErrorAs(l, err, &status, w.file)
	require.NotNil(l, status.Status().Details, "%s: %v", w.file, err)
	for _, cause := range status.Status().Details.Causes {
		w.denials = append(w.denials, cause.Field+": "+cause.Message)
	}
	slices.Sort(w.denials)
}

var unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)

// workloads are those of some files, moved to a namespace.
func workloads(t *testing.T, namespace string, patterns ...string) (found []*workload) {
	t.Helper()
	named := map[string]string{}
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			u := &unstructured.Unstructured{}
			require.NoError(t, yaml.Unmarshal(raw, &u.Object), "%s holds one document", file)
			if kind := u.GetKind(); kind == "Deployment" || kind == "Service" {
				key := kind + " " + u.GetName()
				require.Empty(t, named[key], "%s and %s hold one object", file, named[key])
				named[key] = file
				u.SetNamespace(namespace)
				found = append(found, &workload{file: strings.TrimPrefix(file, root), object: u})
			}
		}
	}
	return found
}

// policies applies the policies of some files to the namespace, and returns a file with
// the same for expand.
func (l *lab) policies(profile string, files ...string) string {
	l.Helper()
	var text strings.Builder
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(l, err)
		u := &unstructured.Unstructured{}
		require.NoError(l, yaml.Unmarshal(raw, &u.Object))
		u.SetName(u.GetName() + "-" + l.namespace)
		require.NoError(l, unstructured.SetNestedStringMap(u.Object, map[string]string{"kubernetes.io/metadata.name": l.namespace}, "spec", "namespaceSelector", "matchLabels"))
		_, err = l.client.Resource(policies).Apply(l.Context(), u.GetName(), u, metav1.ApplyOptions{FieldManager: "e2e"})
		require.NoError(l, err)
		l.Cleanup(func() {
			_ = l.client.Resource(policies).Delete(context.Background(), u.GetName(), metav1.DeleteOptions{})
		})
		stated, err := yaml.Marshal(u.Object)
		require.NoError(l, err)
		text.WriteString("---\n" + string(stated))
	}
	l.eventually("the webhook sees the policies", func() bool {
		_, _, err := l.kubectl(web("probe", 1, `labels: {kubetorch.com/compute: `+profile+`}`), "create", "--dry-run=server", "-f", "-")
		return err == nil
	})
	file := filepath.Join(l.TempDir(), "policies.yaml")
	require.NoError(l, os.WriteFile(file, []byte(text.String()), 0o600))
	return file
}

// ours are the annotations of a Knative Service but for those that name people, and the
// controller's own.
func ours(u *unstructured.Unstructured) map[string]string {
	kept := maps.Clone(u.GetAnnotations())
	for _, key := range []string{"serving.knative.dev/creator", "serving.knative.dev/lastModifier", handover.AppliedAnnotation,
		"kubectl.kubernetes.io/last-applied-configuration"} {
		delete(kept, key)
	}
	return kept
}

// TestOfflineAndOnlineAgree holds what expand makes of every example, and of every
// Deployment that the conversion is tested with, against what the cluster makes of it.
func TestOfflineAndOnlineAgree(t *testing.T) {
	t.Parallel()
	config := knativeConfigFile(t)
	for name, test := range map[string]struct {
		profile         string
		files, policies []string
		least           int // that are admitted
	}{
		"examples":             {"l4", []string{"examples/*.yaml"}, []string{"examples/policy.yaml"}, 3},
		"kustomize":            {"l4", []string{"examples/kustomize/*/*.yaml", "examples/kustomize/*/*/*.yaml"}, []string{"examples/policy.yaml"}, 2},
		"Deployments in use":   {"small", []string{"pkg/convert/testdata/deployments/*.yaml"}, []string{"pkg/convert/testdata/policy.yaml"}, 140},
		"what else comes here": {"l4", []string{"test/e2e/deployments/testdata/*.yaml"}, []string{"examples/policy.yaml", "pkg/convert/testdata/policy.yaml"}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			policies := l.policies(test.profile, test.policies...)
			all := workloads(t, l.namespace, test.files...)
			var working sync.WaitGroup
			places := make(chan struct{}, 4)
			for _, w := range all {
				working.Go(func() {
					places <- struct{}{}
					defer func() { <-places }()
					w.expand(l, "--policy", policies, "--knative-config", config)
					w.ask(l)
				})
			}
			working.Wait()
			var admitted []*workload
			for _, w := range all {
				assert.Equal(t, w.refusals, w.denials, w.file)
				if w.offline != nil && len(w.denials) == 0 {
					admitted = append(admitted, w)
				}
			}
			require.GreaterOrEqual(t, len(admitted), test.least)
			t.Logf("%d manifests, %d of them admitted", len(all), len(admitted))
			l.agree(admitted)
		})
	}
}

// agree applies manifests, and compares what the cluster then holds.
func (l *lab) agree(all []*workload) {
	l.Helper()
	var settled []any // what stays as it is applied: replicas is not the author's to state
	list := unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "List"}}
	for _, w := range all {
		list.Items = append(list.Items, *w.object)
		if _, stated, _ := unstructured.NestedFieldNoCopy(w.object.Object, "spec", "replicas"); !stated {
			settled = append(settled, w.object.Object)
		}
	}
	manifests, err := json.Marshal(&list)
	require.NoError(l, err)
	l.apply(string(manifests))
	var held map[string]*unstructured.Unstructured
	l.eventually("all Knative Services", func() bool {
		live, err := l.client.Resource(services).Namespace(l.namespace).List(l.Context(), metav1.ListOptions{})
		held = map[string]*unstructured.Unstructured{}
		for i := range live.Items {
			held[live.Items[i].GetName()] = &live.Items[i]
		}
		return err == nil && len(held) >= len(all)
	})
	assert.Len(l, held, len(all))
	for _, w := range all {
		// Knative fills in the same as it did for the live one; this webhook does nothing.
		w.offline.SetNamespace(unseen)
		want, err := l.client.Resource(services).Namespace(unseen).Create(l.Context(), w.offline, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if !assert.NoError(l, err, w.file) {
			continue
		}
		got := held[w.offline.GetName()]
		if !assert.NotNil(l, got, w.file) {
			continue
		}
		assert.Equal(l, want.Object["spec"], got.Object["spec"], w.file)
		assert.Equal(l, want.GetLabels(), got.GetLabels(), w.file)
		assert.Equal(l, ours(want), ours(got), w.file)
	}

	if len(settled) == 0 {
		return
	}
	manifests, err = json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": settled})
	require.NoError(l, err)
	var out string
	// The controller writes its state meanwhile, which shows if it falls between two reads.
	harness.Eventually(l, "the same answer online", func() bool {
		var err error
		out, _, err = l.kubectl(string(manifests), "diff", "-f", "-")
		return err == nil && out == ""
	})
	assert.Empty(l, out, "kubectl diff of what was applied")
}
