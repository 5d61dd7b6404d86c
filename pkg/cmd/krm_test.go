package cmd

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const (
	resourceList = `apiVersion: config.kubernetes.io/v1
items:
- apiVersion: v1
  kind: ConfigMap
  metadata:
    name: a
kind: ResourceList
`
	refusedList = `apiVersion: config.kubernetes.io/v1
items:
- apiVersion: batch/v1
  kind: Job
  metadata:
    labels:
      kubetorch.com/autoscale: "true"
    name: train
kind: ResourceList
`
	why = `metadata.labels[kubetorch.com/autoscale]: Invalid value: "true": a Job.batch cannot be expanded: autoscaling and distributed computing are mutually exclusive; remove the label, or serve requests with a Deployment or a Knative Service`
)

func TestKRM(t *testing.T) {
	for name, c := range map[string]struct {
		args        []string
		in          string
		code        int
		out, errOut string
		contains    string
	}{
		"a ResourceList comes out as one":            {args: []string{"krm"}, in: resourceList, out: resourceList},
		"without a subcommand as well":               {in: resourceList, out: resourceList},
		"a refusal is a result, and the exit code 1": {args: []string{"krm"}, in: refusedList, code: 1, contains: "severity: error", errOut: "Refused: Job default/train (item 1)\n  * " + why + "\nkubetorch-webhook: refused, so nothing was expanded\n"},
		"without a subcommand as well, refused":      {in: refusedList, code: 1, contains: "severity: error", errOut: "Refused: Job default/train (item 1)\n  * " + why + "\nkubetorch-webhook: refused, so nothing was expanded\n"},
		"anything else is unusable":                  {args: []string{"krm"}, in: labelled, code: 2, errOut: "kubetorch-webhook: stdin: must hold one ResourceList of config.kubernetes.io/v1 and nothing else\n"},
		"anything else without a subcommand is, too": {in: labelled, code: 2, errOut: "kubetorch-webhook: stdin: must hold one ResourceList of config.kubernetes.io/v1 and nothing else\n"},
		"a bad configuration is unusable":            {args: []string{"krm"}, in: resourceList + "functionConfig: {spec: {a: b}}\n", code: 2, errOut: "kubetorch-webhook: stdin: functionConfig.spec.a is not known; spec takes policies, knativeConfig and knativeVersion\n"},
		"arguments are refused":                      {args: []string{"krm", "file.yaml"}, code: 2, errOut: "kubetorch-webhook: unexpected argument \"file.yaml\"; a flag that takes several values is repeated\n"},
		"nothing at all gets the help":               {in: "", contains: "Usage:"},
		"white space gets the help":                  {in: "\n \n", contains: "Usage:"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			assert.Equal(t, c.code, Run(t.Context(), c.args, strings.NewReader(c.in), &out, &errOut))
			assert.Equal(t, c.errOut, errOut.String())
			if c.contains != "" {
				assert.Contains(t, out.String(), c.contains)
			} else {
				assert.Equal(t, c.out, out.String())
			}
		})
	}
}

func TestExpandWithoutKnative(t *testing.T) {
	const in = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {kubetorch.com/autoscale: \"true\"}, annotations: {autoscale.kubetorch.com/min-scale: \"2\"}}\nspec: {template: {spec: {containers: [{name: web, image: a/b:v1}]}}}\n"
	code, out, errOut := expandIn(t, t.TempDir(), in, "-f", "-", "--no-knative")
	assert.Zero(t, code)
	assert.Equal(t, "Warning: Deployment default/web: the cluster has no Knative, so this stays a Deployment of 2 pods and is not autoscaled\n", errOut)
	assert.Equal(t, `apiVersion: apps/v1
kind: Deployment
metadata:
  annotations:
    autoscale.kubetorch.com/min-scale: "2"
  labels:
    kubetorch.com/autoscale: "true"
  name: web
spec:
  replicas: 2
  template:
    spec:
      containers:
      - image: a/b:v1
        name: web
`, out)
}
