package cmd

import (
	"encoding/json"
	"encoding/xml"
	"slices"
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

const laxSuite = `apiVersion: test.kubetorch.com/v1alpha1
kind: Suite
metadata: {name: lax}
policies: [p.yaml]
cases:
- name: is admitted
  object: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
  expect: {allowed: true}
survivors:
- {mutation: "ComputePolicy platform: spec.bounds: removed", reason: no case is about bounds}
`

// withoutEnforcement leaves out the changes of how a bound is enforced.
func withoutEnforcement(r policytest.Summary) policytest.Summary {
	r.Mutations = slices.DeleteFunc(r.Mutations, func(m policytest.Mutation) bool { return strings.Contains(m.Text, "enforcement") })
	return r
}

func TestTestCommand(t *testing.T) {
	t.Chdir(files(t, "p.yaml", clampPolicy, "a.yaml", gpuService, "suite.yaml", failingSuite, "lax.yaml", laxSuite,
		"privileged.yaml", strings.Replace(gpuService, "image: a/b:v1", "image: a/b:v1\n        securityContext: {privileged: false}", 1),
		"new.yaml", "apiVersion: test.kubetorch.com/v1alpha1\nkind: Suite\nmetadata: {name: new}\ncases: [{name: a field of later releases, file: privileged.yaml, expect: {allowed: true}}]\n", "good/suite.yaml", strings.NewReplacer("p.yaml", "../p.yaml", "a.yaml", "../a.yaml", "allowed: false", "allowed: true").Replace(failingSuite)))

	code, out, errOut := runIn(t, "", "test", "suite.yaml")
	assert.Equal(t, 1, code)
	assert.Equal(t, "SUITE   CASE                  RESULT\ns       is lowered            pass\ns       is refused <or not>   FAIL\n\nFAIL s: is refused <or not>\n  allowed: true instead of false\n", out)
	assert.Equal(t, "2 cases in 1 suites, 1 failed\nkubetorch-webhook: 1 of 2 cases failed\n", errOut)

	code, out, _ = runIn(t, "", "test", "suite.yaml", "-o", "json")
	assert.Equal(t, 1, code)
	var results []policytest.CaseResult
	require.NoError(t, json.Unmarshal([]byte(out), &results))
	assert.Equal(t, []policytest.CaseResult{{Suite: "s", Case: "is lowered", Problems: []string{}}, {Suite: "s", Case: "is refused <or not>", Problems: []string{"allowed: true instead of false"}}}, results)

	code, out, _ = runIn(t, "", "test", "suite.yaml", "-o", "junit")
	assert.Equal(t, 1, code)
	golden(t, "test-junit.xml", out)
	assert.NoError(t, xml.Unmarshal([]byte(out), new(struct{})))

	code, _, errOut = runIn(t, "", "test", "good")
	assert.Equal(t, 0, code, errOut)
	code, _, errOut = runIn(t, "", "test", "good", "--mutations")
	assert.Equal(t, 0, code, errOut)
	assert.Contains(t, errOut, "0 survive\n")

	assert.Contains(t, errOut, "0 cases that no change makes fail, 0 of them with a reason\n")

	code, out, errOut = runIn(t, "", "test", "lax.yaml", "--mutations")
	assert.Equal(t, 1, code)
	assert.NotContains(t, out, "mutation")
	assert.Contains(t, errOut, "SURVIVES: ComputePolicy platform: spec.bounds.maxScale.max: 3 -> 4\n")
	assert.Contains(t, errOut, "NO CHANGE MAKES IT FAIL: lax: is admitted\n")
	code, out, _ = runIn(t, "", "test", "lax.yaml", "--mutations", "-o", "json")
	assert.Equal(t, 1, code)
	var report policytest.Summary
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	assert.Equal(t, policytest.Summary{
		Cases: []policytest.CaseResult{{Suite: "lax", Case: "is admitted", Problems: []string{}}},
		Mutations: []policytest.Mutation{
			{Text: "ComputePolicy platform: spec.bounds: removed", Noticed: []policytest.CaseName{}, Reason: "no case is about bounds"},
			{Text: "ComputePolicy platform: spec.bounds.maxScale: removed", Noticed: []policytest.CaseName{}},
			{Text: "ComputePolicy platform: spec.bounds.maxScale.max: 3 -> 4", Noticed: []policytest.CaseName{}},
			{Text: "ComputePolicy platform: spec.bounds.maxScale.max: 3 -> 2", Noticed: []policytest.CaseName{}},
		},
		Idle: []policytest.IdleCase{{CaseName: policytest.CaseName{Suite: "lax", Case: "is admitted"}}},
	}, withoutEnforcement(report))
	code, out, _ = runIn(t, "", "test", "lax.yaml", "--mutations", "-o", "junit")
	assert.Equal(t, 1, code)
	golden(t, "test-mutations-junit.xml", out)

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
	code, out, _ = runIn(t, "", "test", "new.yaml")
	assert.Equal(t, 0, code, out)
	code, out, _ = runIn(t, "", "test", "new.yaml", "--knative-version", "1.16")
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "must not set the field(s)", "an older Knative takes less")

	code, out, _ = runIn(t, "", "test", "--schema")
	assert.Equal(t, 0, code)
	assert.Equal(t, string(policytest.Schema()), out)
}
