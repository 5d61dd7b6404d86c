package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// files writes files (name, content, ...) to a folder of their own.
func files(t *testing.T, pairs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(pairs); i += 2 {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, pairs[i])), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, pairs[i]), []byte(pairs[i+1]), 0o600))
	}
	return dir
}

// expandIn runs expand in a folder.
func expandIn(t *testing.T, dir, stdin string, args ...string) (code int, out, errOut string) {
	t.Helper()
	t.Chdir(dir)
	var o, e bytes.Buffer
	code = Run(t.Context(), append([]string{"expand"}, args...), strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

const (
	labelled = `apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: inference
  labels: {kubetorch.com/compute: "true"}
  annotations: {compute.kubetorch.com/cpus: "2"}
spec:
  template:
    spec:
      containers:
      - image: a/b:v1
`
	labelledOut = `apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  annotations:
    compute.kubetorch.com/cpus: "2"
    kubetorch.com/expansion: '{"requests.cpu":{"value":"2","from":"annotation compute.kubetorch.com/cpus:
      2"}}'
  labels:
    kubetorch.com/compute: "true"
  name: inference
spec:
  template:
    spec:
      containers:
      - image: a/b:v1
        resources:
          requests:
            cpu: "2"
`
	odd = `# a comment that must survive
apiVersion: v1
kind: ConfigMap
metadata:   {name: odd}   # odd spacing
data:
  when: 2001-12-14   # no date
  octal: 0o17
  long: >-
    folded
    text
`
	refusedService = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: greedy, namespace: ml, labels: {kubetorch.com/autoscale: "true"}, annotations: {autoscale.kubetorch.com/max-scale: many}}
spec: {template: {spec: {containers: [{image: a/b:v1}]}}}
`
	plainService = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: plain, namespace: ml}
spec: {template: {spec: {containers: [{image: a/b:v1}]}}}
`
	teamPolicy = `apiVersion: policy.kubetorch.com/v1alpha1
kind: ComputePolicy
metadata: {name: team}
spec:
  namespaceSelector: {matchLabels: {team: research}}
  defaults: {compute: {memory: 1Gi}}
  bounds: {maxScale: {max: 5}}
`
	tooMany = "Refused: Service ml/greedy (in.yaml)\n" +
		`  * metadata.annotations[autoscale.kubetorch.com/max-scale]: Invalid value: "many": invalid value: many; allowed: a whole number from 0 to 2147483647` + "\n" +
		"kubetorch-webhook: refused, so nothing was printed\n"
)

func TestExpand(t *testing.T) {
	namespaced := strings.Replace(labelled, "name: inference", "name: inference\n  namespace: ml", 1)
	namespacedOut := strings.Replace(labelledOut, "name: inference", "name: inference\n  namespace: ml", 1)
	const namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: ml, labels: {team: research}}\n"
	const otherNamespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: ml, labels: {team: web}}\n"
	const mlRefusal = "  * spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for unbounded pods (a max-scale of 0, or none, is unlimited in Knative); policy team allows at most 5 (bounds.maxScale.max); max-scale 5 fits\n" +
		"kubetorch-webhook: refused, so nothing was printed\n"
	tests := map[string]struct {
		files []string
		stdin string
		args  []string
		code  int
		out   string
		err   string
	}{
		"a labelled Service is expanded":            {files: []string{"in.yaml", labelled}, args: []string{"-f", "in.yaml"}, out: labelledOut},
		"what was expanded comes out as it went in": {files: []string{"in.yaml", labelledOut}, args: []string{"-f", "in.yaml"}, out: labelledOut},
		"other documents come out byte for byte":    {files: []string{"in.yaml", odd + "---\n" + labelled + "---\n" + plainService}, args: []string{"-f", "in.yaml"}, out: odd + "---\n" + labelledOut + "---\n" + plainService},
		"JSON comes out byte for byte too":          {files: []string{"in.json", `{"kind": "ConfigMap",  "apiVersion": "v1", "data": {"n": "1.0e3"}}` + "\n"}, args: []string{"-f", "in.json"}, out: `{"kind": "ConfigMap",  "apiVersion": "v1", "data": {"n": "1.0e3"}}` + "\n"},
		"standard input":                            {stdin: labelled, args: []string{"-f", "-"}, out: labelledOut},
		"standard input beside files":               {files: []string{"in.yaml", plainService}, stdin: labelled, args: []string{"-f", "in.yaml", "-f", "-"}, out: plainService + "---\n" + labelledOut},
		"nothing on standard input is nothing":      {stdin: "", args: []string{"-f", "-"}},
		"a folder, without those below it":          {files: []string{"d/b.yml", plainService, "d/a.yaml", labelled, "d/readme.md", "no manifest", "d/sub/c.yaml", refusedService}, args: []string{"-f", "d"}, out: labelledOut + "---\n" + plainService},
		"a refusal prints nothing":                  {files: []string{"in.yaml", refusedService + "---\n" + labelled}, args: []string{"-f", "in.yaml"}, code: 1, err: strings.Replace(tooMany, "in.yaml", "in.yaml, line 1", 1)},
		"nor does it as JSON":                       {files: []string{"in.yaml", refusedService + "---\n" + labelled}, args: []string{"-f", "in.yaml", "-o", "json"}, code: 1, err: strings.Replace(tooMany, "in.yaml", "in.yaml, line 1", 1)},
		"a warning is no refusal": {files: []string{"in.yaml", strings.Replace(plainService, "name: plain", "name: plain, annotations: {compute.kubetorch.com/gpus: '1'}", 1)}, args: []string{"-f", "in.yaml"},
			out: strings.Replace(plainService, "name: plain", "name: plain, annotations: {compute.kubetorch.com/gpus: '1'}", 1),
			err: `Warning: Service ml/plain: compute.kubetorch.com/gpus: no effect without the label kubetorch.com/compute (set it to "true" or to a profile's name)` + "\n"},
		"a namespace among the documents decides selectors": {files: []string{"in.yaml", namespace + "---\n" + plainService, "p.yaml", teamPolicy}, args: []string{"-f", "in.yaml", "--policy", "p.yaml"}, code: 1,
			err: "Refused: Service ml/plain (in.yaml, line 5)\n" + mlRefusal},
		"another team's namespace is not selected": {files: []string{"in.yaml", plainService + "---\n" + otherNamespace, "p.yaml", teamPolicy}, args: []string{"-f", "in.yaml", "--policy", "p.yaml"}, out: plainService + "---\n" + otherNamespace},
		"a namespace that is not known is selected for bounds": {files: []string{"in.yaml", plainService, "p.yaml", teamPolicy}, args: []string{"-f", "in.yaml", "--policy", "p.yaml"}, code: 1,
			err: "Refused: Service ml/plain (in.yaml)\n" + mlRefusal},
		"and not for defaults": {files: []string{"in.yaml", namespaced, "p.yaml", strings.Replace(teamPolicy, "  bounds: {maxScale: {max: 5}}\n", "", 1)}, args: []string{"-f", "in.yaml", "--policy", "p.yaml"}, out: namespacedOut},
		"Knative's configuration counts": {files: []string{"in.yaml", labelled, "k.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-defaults}\ndata: {revision-cpu-limit: '1'}\n"},
			args: []string{"-f", "in.yaml", "--knative-config", "k.yaml"}, code: 1,
			err: "Refused: Service default/inference (in.yaml)\n" +
				`  * metadata.annotations[compute.kubetorch.com/cpus]: Invalid value: "2": is above the limit 1 (revision-cpu-limit of config-defaults); set resources.limits.cpu` + "\n" +
				"kubetorch-webhook: refused, so nothing was printed\n"},
		"other ConfigMaps are passed over with a warning": {files: []string{"in.yaml", labelled, "k.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-gc}\n"},
			args: []string{"-f", "in.yaml", "--knative-config", "k.yaml"}, out: labelledOut,
			err: "Warning: k.yaml: ConfigMap config-gc is passed over; only config-autoscaler, config-defaults, config-features, config-deployment are read\n"},
		"a kind that cannot be autoscaled is refused": {files: []string{"in.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: train, labels: {kubetorch.com/autoscale: 'true'}}\n"}, args: []string{"-f", "in.yaml"}, code: 1,
			err: "Refused: Job default/train (in.yaml)\n" +
				`  * metadata.labels[kubetorch.com/autoscale]: Invalid value: "true": a Job.batch cannot be expanded: autoscaling and distributed computing are mutually exclusive; remove the label, or serve requests with a Deployment or a Knative Service` + "\n" +
				"kubetorch-webhook: refused, so nothing was printed\n"},
		"a label that is no text is refused": {files: []string{"in.yaml", strings.Replace(labelled, `"true"`, "true", 1)}, args: []string{"-f", "in.yaml"}, code: 1,
			err: "Refused: Service default/inference (in.yaml)\n" +
				`  * metadata.labels[kubetorch.com/compute]: Invalid value: true: must be a string; put it in quotes: "true"` + "\n" +
				"kubetorch-webhook: refused, so nothing was printed\n"},
		"an item of a List is named by its place": {files: []string{"in.yaml", "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSuffix(refusedService, "\n"), "\n", "\n  ") + "\n"}, args: []string{"-f", "in.yaml"}, code: 1,
			err: strings.Replace(tooMany, "in.yaml", "in.yaml, items[0]", 1)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := expandIn(t, files(t, test.files...), test.stdin, test.args...)
			assert.Equal(t, test.code, code)
			assert.Equal(t, test.out, out)
			assert.Equal(t, test.err, errOut)
		})
	}
}

func TestExpandLists(t *testing.T) {
	list := "apiVersion: v1\nkind: List\nitems:\n"
	for _, doc := range []string{odd, labelled} {
		var v any
		require.NoError(t, yaml.Unmarshal([]byte(doc), &v))
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		list += "- " + string(raw) + "\n"
	}
	dir := files(t, "list.yaml", list)
	code, out, errOut := expandIn(t, dir, "", "-f", "list.yaml")
	assert.Equal(t, 0, code, errOut)
	var got, want struct {
		Kind  string
		Items []any
	}
	require.NoError(t, yaml.Unmarshal([]byte(out), &got))
	require.NoError(t, yaml.Unmarshal([]byte(list), &want))
	var expanded any
	require.NoError(t, yaml.Unmarshal([]byte(labelledOut), &expanded))
	want.Items[1] = expanded
	assert.Equal(t, want, got, "a List stays a List")

	nested := "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSuffix(list, "\n"), "\n", "\n  ") + "\n"
	code, out, errOut = expandIn(t, files(t, "list.yaml", nested), "", "-f", "list.yaml")
	assert.Equal(t, 0, code, errOut)
	var outer struct{ Items []any }
	require.NoError(t, yaml.Unmarshal([]byte(out), &outer))
	require.Len(t, outer.Items, 1)
	assert.Equal(t, want.Items, outer.Items[0].(map[string]any)["items"], "a List within a List is expanded too")
}

func TestExpandToJSON(t *testing.T) {
	dir := files(t, "in.yaml", odd+"---\n"+labelled, "list.yaml", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n")
	code, out, errOut := expandIn(t, dir, "", "-f", "in.yaml", "-f", "list.yaml", "-o", "json")
	assert.Equal(t, 0, code)
	assert.Empty(t, errOut)
	var got struct {
		APIVersion, Kind string
		Items            []map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	assert.Equal(t, []string{"v1", "List"}, []string{got.APIVersion, got.Kind})
	require.Len(t, got.Items, 3, "one List, whatever Lists went in")
	assert.Equal(t, []any{"ConfigMap", "Service", "Namespace"}, []any{got.Items[0]["kind"], got.Items[1]["kind"], got.Items[2]["kind"]})
	var expanded map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(labelledOut), &expanded))
	assert.Equal(t, expanded, got.Items[1])
}

func TestExpandUnusableInput(t *testing.T) {
	tests := map[string]struct {
		files []string
		args  []string
		err   string
	}{
		"no files named":                 {err: "kubetorch-webhook: --filename: Required value: name the manifests to read\n"},
		"an output that there is not":    {files: []string{"in.yaml", labelled}, args: []string{"-f", "in.yaml", "-o", "xml"}, err: `kubetorch-webhook: --output: Unsupported value: "xml": supported values: "yaml", "json"` + "\n"},
		"a file that is missing":         {args: []string{"-f", "none.yaml"}, err: "kubetorch-webhook: stat none.yaml: no such file or directory\n"},
		"a folder without manifests":     {files: []string{"d/readme.md", ""}, args: []string{"-f", "d"}, err: "kubetorch-webhook: d holds no .yaml, .yml or .json files\n"},
		"no YAML":                        {files: []string{"in.yaml", "a: [\n"}, args: []string{"-f", "in.yaml"}, err: "kubetorch-webhook: in.yaml: line 1: a value is missing here\n"},
		"a key that stands twice":        {files: []string{"in.yaml", odd + "---\n" + labelled + "kind: Service\n"}, args: []string{"-f", "in.yaml"}, err: "kubetorch-webhook: in.yaml: line 23: the key \"kind\" stands twice in one object\n"},
		"no Kubernetes object":           {files: []string{"in.yaml", "replicas: 3\n"}, args: []string{"-f", "in.yaml"}, err: "kubetorch-webhook: in.yaml: has no apiVersion or no kind, so it is no Kubernetes object\n"},
		"a kustomization":                {files: []string{"d/kustomization.yaml", "resources: [a.yaml]\n"}, args: []string{"-f", "d"}, err: "kubetorch-webhook: d/kustomization.yaml: has no apiVersion or no kind, so it is no Kubernetes object; run kustomize build and pass its output with -f -\n"},
		"objects without a separator":    {files: []string{"in.json", `{"apiVersion":"v1","kind":"ConfigMap"}{"apiVersion":"v1","kind":"Secret"}`}, args: []string{"-f", "in.json"}, err: "kubetorch-webhook: in.json: line 1: holds several objects; separate them with ---\n"},
		"a List with other than objects": {files: []string{"in.yaml", "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Namespace}, 5]\n"}, args: []string{"-f", "in.yaml"}, err: "kubetorch-webhook: in.yaml, items[1]: has no apiVersion or no kind, so it is no Kubernetes object\n"},
		"a list":                         {files: []string{"in.yaml", "- 1\n"}, args: []string{"-f", "in.yaml"}, err: "kubetorch-webhook: in.yaml: line 1: is a list, not an object\n"},
		"a policy that is invalid": {files: []string{"in.yaml", labelled, "p.yaml", strings.Replace(teamPolicy, "max: 5", "max: -5", 1)}, args: []string{"-f", "in.yaml", "--policy", "p.yaml"},
			err: "kubetorch-webhook: p.yaml: ComputePolicy team: spec.bounds.maxScale.max: Invalid value: -5: must be at least 0\n"},
		"a policy with a field that there is not": {files: []string{"in.yaml", labelled, "p.yaml", strings.Replace(teamPolicy, "maxScale", "maxscale", 1)}, args: []string{"-f", "in.yaml", "--policy", "p.yaml"},
			err: "kubetorch-webhook: p.yaml: ComputePolicy team: spec.bounds.maxscale: Forbidden: is no field; allowed here: autoscalerClasses, cpusPerPod, gpuTypes, gpusPerPod, gpusPerWorkload, maxScale, memoryPerPod, minScale, progressDeadline, scaleDownDelay, scaleToZeroPodRetentionPeriod\n"},
		"a policy that is none": {files: []string{"in.yaml", labelled}, args: []string{"-f", "in.yaml", "--policy", "in.yaml"}, err: "kubetorch-webhook: in.yaml: is a serving.knative.dev/v1 Service; policies are ComputePolicy and GPUBudget of policy.kubetorch.com/v1alpha1\n"},
		"a policy without a name": {files: []string{"in.yaml", labelled, "p.yaml", strings.Replace(teamPolicy, "{name: team}", "{}", 1)}, args: []string{"-f", "in.yaml", "--policy", "p.yaml"},
			err: "kubetorch-webhook: p.yaml: metadata.name: Required value: a ComputePolicy needs a name\n"},
		"a policy that stands twice": {files: []string{"in.yaml", labelled, "p.yaml", teamPolicy + "---\n" + teamPolicy}, args: []string{"-f", "in.yaml", "--policy", "p.yaml"}, err: "kubetorch-webhook: p.yaml, line 9: there is a ComputePolicy team already\n"},
		"a configuration that Knative refuses": {files: []string{"in.yaml", labelled, "k.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-autoscaler}\ndata: {max-scale-limit: '5'}\n"}, args: []string{"-f", "in.yaml", "--knative-config", "k.yaml"},
			err: "kubetorch-webhook: k.yaml: ConfigMap config-autoscaler: max-scale = 0, must be in [1, max-scale-limit(5)] range\n"},
		"a configuration that is none": {files: []string{"in.yaml", labelled}, args: []string{"-f", "in.yaml", "--knative-config", "in.yaml"}, err: "kubetorch-webhook: in.yaml: is a Service; Knative's configuration is in ConfigMaps\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := expandIn(t, files(t, test.files...), "", test.args...)
			assert.Equal(t, 2, code)
			assert.Empty(t, out)
			assert.Equal(t, test.err, errOut)
		})
	}
}
