package cmd

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWhatCannotBeUsedIsToldLineByLine(t *testing.T) {
	const (
		service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
		list    = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\nfunctionConfig:\n  spec:\n"
		policy  = "    policies: [{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: a}, spec: {priority: x, bounds: {maxScale: 3}}}, 5]\n"
		maps    = "    knativeConfig: [{apiVersion: v1, kind: ConfigMap, metadata: {name: config-autoscaler}, data: {max-scale: five, min-scale: 5}}]\n"
	)
	t.Chdir(files(t, "in.yaml", service, "objects.yaml", auditObjects, "policies.yaml", auditPolicies,
		"kube.yaml", "apiVersion: v1\nkind: Config\nclusters: 5\nusers: [{name: 5}]\n", "broken.yaml", "apiVersion: [\n", "empty.yaml", ""))
	const see = "; see kubetorch-webhook expand --help"
	for name, test := range map[string]struct {
		args, in string
		want     []string
	}{
		"a kubeconfig that is something else": {"audit --kubeconfig in.yaml", "", []string{"finding the cluster: in.yaml: is a Service of v1 and no kubeconfig, which is a Config of v1; kubectl config view --raw prints one"}},
		"a kubeconfig of wrong types": {"audit --kubeconfig kube.yaml", "", []string{"finding the cluster: kube.yaml: clusters: Invalid value: 5: must be a list",
			`finding the cluster: kube.yaml: users[0].name: Invalid value: 5: must be a string; put it in quotes: "5"`}},
		"a kubeconfig that is no YAML":      {"audit --kubeconfig broken.yaml", "", []string{"finding the cluster: broken.yaml: kubeconfig: line 1: a value is missing here"}},
		"a kubeconfig that there is not":    {"audit --kubeconfig none.yaml", "", []string{"finding the cluster: none.yaml: no such file or directory"}},
		"a kubeconfig to serve with":        {"serve --kubeconfig in.yaml", "", []string{"finding the cluster: in.yaml: is a Service of v1 and no kubeconfig, which is a Config of v1; kubectl config view --raw prints one"}},
		"a flag that is neither yes nor no": {"expand -f in.yaml --no-knative=maybe", "", []string{`--no-knative: Invalid value: "maybe": must be true or false` + see}},
		"a file and standard input":         {"expand -f in.yaml -f broken.yaml -f none.yaml -f -", "a: [b\n", []string{"broken.yaml: line 1: a value is missing here", "stat none.yaml: no such file or directory", "stdin: line 1: the list in brackets needs a ',' or a ']' here"}},
		"a table of kinds": {"audit -f objects.yaml --policy policies.yaml --kinds-file in.yaml", "", []string{"--kinds-file: apiVersion: Forbidden: is no field; allowed here: kinds",
			"--kinds-file: kind: Forbidden: is no field; allowed here: kinds", "--kinds-file: metadata: Forbidden: is no field; allowed here: kinds"}},
		"a function's configuration": {"krm", list + policy + maps + "    knativeVersion: 1.18\n    more: {}\n", []string{
			"stdin: functionConfig.spec.more is not known; spec takes policies, knativeConfig and knativeVersion",
			"stdin: functionConfig.spec.policies[1] is a number, not an object",
			"stdin: functionConfig.spec.policies[0]: ComputePolicy a: spec.bounds.maxScale: Invalid value: 3: must be an object with enforcement, max",
			`stdin: functionConfig.spec.policies[0]: ComputePolicy a: spec.priority: Invalid value: "x": must be a whole number`,
			`stdin: functionConfig.spec.knativeConfig[0]: ConfigMap config-autoscaler: data[min-scale]: Invalid value: 5: must be a string; put it in quotes: "5"`,
			`stdin: functionConfig.spec.knativeConfig[0]: ConfigMap config-autoscaler: data[max-scale]: Invalid value: "five": must be a whole number`,
			`stdin: functionConfig.spec.knativeVersion: must be a string; put it in quotes: "1.18"`}},
		"a function's list": {"krm", "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: 3\nfunctionConfig: 5\n", []string{
			"stdin: functionConfig: Invalid value: 5: must be an object with data, spec", "stdin: items: Invalid value: 3: must be a list"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := runIn(t, test.in, strings.Fields(test.args)...)
			assert.Equal(t, 2, code)
			assert.Empty(t, out)
			assert.Equal(t, "kubetorch-webhook: "+strings.Join(test.want, "\nkubetorch-webhook: ")+"\n", errOut)
		})
	}
}
