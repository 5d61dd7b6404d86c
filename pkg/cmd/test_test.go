package cmd

import (
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/policytest"
)

const failingSuite = `apiVersion: test.kubetorch.com/v1alpha1
kind: Suite
metadata: {name: s}
policies: [p.yaml]
cases:
- name: is lowered
  file: a.yaml
  expect: {claim: {gpus: 6, gpusPerPod: 2, peakPods: 3}}
- name: is refused <or not>
  file: a.yaml
  expect: {allowed: false}
`

func TestTestCommand(t *testing.T) {
	t.Chdir(files(t, "p.yaml", clampPolicy, "a.yaml", gpuService, "suite.yaml", failingSuite,
		"privileged.yaml", strings.Replace(gpuService, "image: a/b:v1", "image: a/b:v1\n        securityContext: {privileged: false}", 1),
		"new.yaml", "apiVersion: test.kubetorch.com/v1alpha1\nkind: Suite\nmetadata: {name: new}\ncases: [{name: a field of later releases, file: privileged.yaml, expect: {allowed: true}}]\n", "good/suite.yaml", strings.NewReplacer("p.yaml", "../p.yaml", "a.yaml", "../a.yaml", "allowed: false", "allowed: true").Replace(failingSuite)))

	code, out, errOut := runIn(t, "", "test", "suite.yaml")
	assert.Equal(t, 1, code)
	assert.Equal(t, "SUITE   CASE                  RESULT\ns       is lowered            pass\ns       is refused <or not>   FAIL\n\nFAIL s: is refused <or not>\n  allowed: true instead of false\n", out)
	assert.Equal(t, "2 cases in 1 suites, 1 failed\nkubetorch-webhook: 1 of 2 cases failed\n", errOut)

	code, out, _ = runIn(t, "", "test", "suite.yaml", "-o", "json")
	assert.Equal(t, 1, code)
	var results []policytest.Result
	require.NoError(t, json.Unmarshal([]byte(out), &results))
	assert.Equal(t, []policytest.Result{{Suite: "s", Case: "is lowered", Problems: []string{}}, {Suite: "s", Case: "is refused <or not>", Problems: []string{"allowed: true instead of false"}}}, results)

	code, out, _ = runIn(t, "", "test", "suite.yaml", "-o", "junit")
	assert.Equal(t, 1, code)
	golden(t, "test-junit.xml", out)
	assert.NoError(t, xml.Unmarshal([]byte(out), new(struct{})))

	code, _, errOut = runIn(t, "", "test", "good")
	assert.Equal(t, 0, code, errOut)
	code, _, errOut = runIn(t, "", "test", "good", "--mutations")
	assert.Equal(t, 0, code, errOut)
	assert.Contains(t, errOut, "0 survive\n")

	code, out, _ = runIn(t, "", "test", "suite.yaml", "--update")
	assert.Equal(t, 0, code)
	assert.Equal(t, "suite.yaml: 1 cases changed\n", out)
	code, _, _ = runIn(t, "", "test", "suite.yaml")
	assert.Equal(t, 0, code)

	for want, args := range map[string][]string{
		"DIR: Required value: name a folder with suites":       {"test"},
		`--knative-version: Invalid value: "new": `:            {"test", "good", "--knative-version", "new"},
		`--output: Unsupported value: "yaml"`:                  {"test", "good", "-o", "yaml"},
		"--mutations: Forbidden: is of no use with --update":   {"test", "good", "--update", "--mutations"},
		"lstat none: no such file or directory":                {"test", "none"},
		"a.yaml holds no Suite of test.kubetorch.com/v1alpha1": {"test", "a.yaml"},
	} {
		code, out, errOut := runIn(t, "", args...)
		assert.Equal(t, 2, code)
		assert.Contains(t, errOut, want)
		assert.Empty(t, out)
	}
	code, out, errOut = runIn(t, "", "test", "new.yaml")
	assert.Equal(t, 0, code, out)
	code, out, _ = runIn(t, "", "test", "new.yaml", "--knative-version", "1.16")
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "must not set the field(s)", "an older Knative takes less")

	code, out, _ = runIn(t, "", "test", "--schema")
	assert.Equal(t, 0, code)
	assert.Equal(t, string(policytest.Schema()), out)
}
