package chart

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/workload"
)

const (
	kindsMap     = "v1/ConfigMap/kubetorch-system/kubetorch-webhook-operator-kinds"
	kindsRole    = "rbac.authorization.k8s.io/v1/ClusterRole//kubetorch-webhook-operator-kinds"
	kindsBinding = "rbac.authorization.k8s.io/v1/ClusterRoleBinding//kubetorch-webhook-operator-kinds"
	webhook      = "apps/v1/Deployment/kubetorch-system/kubetorch-webhook"
)

// TestOperatorKindsReachTheProgram follows rows from the chart's value to the file that the program reads: all
// those that it comes with, and one of a platform team.
func TestOperatorKindsReachTheProgram(t *testing.T) {
	t.Parallel()
	own, errs := workload.ParseOperators([]byte(`kinds:
- {group: acme.com, kind: Train, resource: trains, scale: true, replicas: spec.nodes, suspend: [spec.paused], makers: [acme/operator], children: [Pod], pods: [{template: spec.template, counts: [{path: spec.nodes, absent: 1}]}]}
`))
	require.Empty(t, errs)
	for name, rows := range map[string][]workload.OperatorKind{
		"one of a platform team":              own.Kinds,
		"all that the program comes with":     workload.BuiltInOperators().Kinds,
		"another row for one that it has got": {workload.BuiltInOperators().Kinds[0]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(rows)
			require.NoError(t, err)
			rendered, err := template(t, namespace, "operatorKinds="+string(text))
			require.NoError(t, err)

			container := at(rendered[webhook], "spec", "template", "spec", "containers", "0")
			args := at(container, "args").([]any)
			i := slices.IndexFunc(args, func(a any) bool { return strings.HasPrefix(a.(string), "--kinds-file=") })
			require.GreaterOrEqual(t, i, 0)
			file := strings.TrimPrefix(args[i].(string), "--kinds-file=")
			assert.Equal(t, []any{map[string]any{"name": "operator-kinds", "mountPath": path.Dir(file), "readOnly": true}}, at(container, "volumeMounts"))
			assert.Equal(t, []any{map[string]any{"name": "operator-kinds", "configMap": map[string]any{"name": "kubetorch-webhook-operator-kinds"}}},
				at(rendered[webhook], "spec", "template", "spec", "volumes"))
			stored, _ := at(rendered[kindsMap], "data").(map[string]any)[path.Base(file)].(string)
			read, errs := workload.ParseOperators([]byte(stored))
			require.Empty(t, errs, stored)
			assert.Equal(t, workload.Operators{Kinds: rows}, read)

			var rules []any
			for _, row := range rows {
				rules = append(rules, map[string]any{"apiGroups": []any{row.Group}, "resources": []any{row.Resource}, "verbs": []any{"get", "list", "watch"}})
			}
			assert.Equal(t, rules, at(rendered[kindsRole], "rules"), "what is charged is counted")
			assert.Equal(t, []any{map[string]any{"kind": "ServiceAccount", "name": "kubetorch-webhook", "namespace": namespace}}, at(rendered[kindsBinding], "subjects"))
			assert.Equal(t, "kubetorch-webhook-operator-kinds", at(rendered[kindsBinding], "roleRef", "name"))
		})
	}
}

// TestTheCheckReadsTheSameKinds: without them it would not know the rules that the first ready replica adds.
func TestTheCheckReadsTheSameKinds(t *testing.T) {
	t.Parallel()
	const row = `operatorKinds=[{"group":"acme.com","kind":"Train","resource":"trains","pods":[{"template":"spec.template"}]}]`
	rendered, err := template(t, namespace, row)
	require.NoError(t, err)
	program := at(rendered[webhook], "spec", "template", "spec")
	out, err := run(t, helm, "template", "release", chart, "--namespace", namespace, "--set", "image.tag=1.2", "--set-json", row, "--show-only", "templates/tests/check.yaml")
	require.NoError(t, err)
	check := at(read(t, out)["v1/Pod/"+namespace+"/kubetorch-webhook-check"], "spec")
	const file = "--kinds-file=/etc/kubetorch-webhook/kinds.yaml"
	assert.Contains(t, at(program, "containers", "0", "args"), file)
	assert.Contains(t, at(check, "containers", "0", "args"), file)
	for _, path := range [][]string{{"volumes"}, {"containers", "0", "volumeMounts"}} {
		assert.NotEmpty(t, at(check, path...))
		assert.Equal(t, at(program, path...), at(check, path...), path)
	}
}

// TestPodsAreMadeAnewWithOtherOperatorKinds: the program reads the file once.
func TestPodsAreMadeAnewWithOtherOperatorKinds(t *testing.T) {
	t.Parallel()
	annotations := func(set ...string) any {
		rendered, err := template(t, namespace, set...)
		require.NoError(t, err)
		return at(rendered[webhook], "spec", "template", "metadata", "annotations")
	}
	row := `operatorKinds=[{"group":"acme.com","kind":"Train","resource":"trains","pods":[{"template":"spec.template"}]}]`
	one, other := annotations(row), annotations(strings.Replace(row, "spec.template", "spec.pods", 1))
	assert.NotEmpty(t, at(one, "checksum/operator-kinds"))
	assert.NotEqual(t, one, other)
	assert.Equal(t, one, annotations(row))
	both := annotations(row, `podAnnotations={"a":"b"}`)
	assert.Equal(t, map[string]any{"a": "b", "checksum/operator-kinds": at(one, "checksum/operator-kinds")}, both)

	without, err := template(t, namespace)
	require.NoError(t, err)
	for _, object := range []string{kindsMap, kindsRole, kindsBinding} {
		assert.NotContains(t, without, object)
	}
	assert.NotContains(t, at(without[webhook], "spec", "template", "spec", "containers", "0", "args"), "--kinds-file=/etc/kubetorch-webhook/kinds.yaml")
}

// TestFilesOfCertificatesAndOfKindsAreMountedSideBySide: both are volumes of one container.
func TestFilesOfCertificatesAndOfKindsAreMountedSideBySide(t *testing.T) {
	t.Parallel()
	rendered, err := template(t, namespace, `certificates.source="files"`, `operatorKinds=[{"group":"acme.com","kind":"Train","resource":"trains","pods":[{"template":"spec.template"}]}]`)
	require.NoError(t, err)
	var mounted []any
	for _, m := range at(rendered[webhook], "spec", "template", "spec", "containers", "0", "volumeMounts").([]any) {
		mounted = append(mounted, at(m, "mountPath"))
	}
	assert.Equal(t, []any{"/certs", "/etc/kubetorch-webhook"}, mounted)
	assert.Len(t, at(rendered[webhook], "spec", "template", "spec", "volumes"), 2)
}
