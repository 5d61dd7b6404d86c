package policytest_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/policytest"
)

var update = flag.Bool("update", false, "write the schema anew")

// TestTheExamplesPassAndNoticeEveryChange runs the suites that ship, and changes every value
// of their policies.
func TestTheExamplesPassAndNoticeEveryChange(t *testing.T) {
	suites, err := policytest.Load("../../examples/tests")
	require.NoError(t, err)
	cases := 0
	for _, s := range suites {
		results, err := s.Run()
		require.NoError(t, err)
		for _, r := range results {
			assert.Empty(t, r.Problems, r.Suite+": "+r.Case)
		}
		cases += len(results)
	}
	assert.GreaterOrEqual(t, cases, 60)
	mutations, idle, err := policytest.Mutations(suites)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(mutations), 100)
	for _, m := range mutations {
		assert.False(t, m.Survived(), m.Text)
	}
	assert.Less(t, len(idle), 10)
	for _, c := range idle {
		assert.NotEmpty(t, c.Reason, "no change makes this case fail: %s: %s", c.Suite, c.Case)
	}
}

func TestTheSchemaIsThatOfTheDocs(t *testing.T) {
	const path = "../../docs/suite.schema.json"
	if *update {
		require.NoError(t, os.WriteFile(path, policytest.Schema(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(policytest.Schema()))
}

const policyFile = `apiVersion: policy.kubetorch.com/v1alpha1
kind: ComputePolicy
metadata: {name: p}
spec: {bounds: {maxScale: {max: 5, enforcement: Clamp}, gpusPerPod: {max: 2}}}
---
apiVersion: policy.kubetorch.com/v1alpha1
kind: GPUBudget
metadata: {name: b}
spec: {max: 6}
`

const head = "apiVersion: test.kubetorch.com/v1alpha1\nkind: Suite\nmetadata: {name: s}\npolicies: [policy.yaml]\ncases:\n"

const object = "  object: {apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: a}, spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: \"9\"}}, spec: {containers: [{image: a/b, resources: {limits: {nvidia.com/gpu: 1}}}]}}}}\n"

// suite writes a suite beside its policy.
func suite(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(policyFile), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "suite.yaml"), []byte(text), 0o600))
	return dir
}

func TestWhatIsNotAsExpectedIsSaid(t *testing.T) {
	const maxScale = "spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]"
	for name, test := range map[string]struct {
		expect string
		want   []string
	}{
		"all as expected": {`{allowed: true, paths: {"` + maxScale + `": "5", spec.template.spec.nodeSelector: null, "spec.template.spec.containers[0].resources.limits[nvidia.com/gpu]": 1}, ` +
			`warnings: ["claims 5 GPUs (1 x 5 pods) of budget b; 1 of 6 are left", max-scale (9) lowered to 5 by policy p (bounds.maxScale.max)], causes: [], claim: {gpus: 5, gpusPerPod: 1, peakPods: 5}}`, nil},
		"nothing expected":        {`{}`, []string{"nothing is expected: write what is, or run with --update"}},
		"admitted":                {`{allowed: false}`, []string{"allowed: true instead of false"}},
		"another value":           {`{paths: {"` + maxScale + `": "9", kind: Deployment, spec.traffic: []}}`, []string{`kind: "Service" instead of "Deployment"`, maxScale + `: "5" instead of "9"`, "spec.traffic: nothing instead of []"}},
		"a path that is none":     {`{paths: {"spec.template.spec.containers.image": a/b, "spec..x": 1}}`, []string{"paths[spec..x]: is no path such as", "paths[spec.template.spec.containers.image]: spec.template.spec.containers.image is a list; give an index"}},
		"warnings missing, extra": {`{warnings: [all is well]}`, []string{"warnings: missing: all is well", "warnings: not expected: max-scale (9) lowered", "warnings: not expected: claims 5 GPUs"}},
		"another claim":           {`{claim: {gpus: 9, gpusPerPod: 1, peakPods: 9}}`, []string{`claim: {"gpus":5,"gpusPerPod":1,"peakPods":5} instead of {"gpus":9,"gpusPerPod":1,"peakPods":9}`}},
		"another expansion":       {`{expansion: {kind: Service}}`, []string{"expansion: is another\n+ apiVersion: serving.knative.dev/v1"}},
		"causes":                  {`{causes: [{field: spec, message: too large}]}`, []string{"causes: missing: spec: too large"}},
	} {
		t.Run(name, func(t *testing.T) {
			suites, err := policytest.Load(suite(t, head+"- name: c\n"+object+"  expect: "+test.expect+"\n"))
			require.NoError(t, err)
			results, err := suites[0].Run()
			require.NoError(t, err)
			require.Len(t, results[0].Problems, len(test.want), results[0].Problems)
			for i, want := range test.want {
				assert.Contains(t, results[0].Problems[i], want)
			}
		})
	}
}

func TestUpdateWritesWhatComesAndKeepsTheRest(t *testing.T) {
	dir := suite(t, "# Why these are here.\n"+head+"- name: nothing expected yet\n"+object+"  expect: {}\n# about the second\n- name: with some\n"+object+"  user: {name: bob} # who\n  holds: [{budget: b, namespace: x, gpus: 4}]\n  expect: {allowed: true}\n")
	suites, err := policytest.Load(dir)
	require.NoError(t, err)
	changed, err := suites[0].Update()
	require.NoError(t, err)
	assert.Equal(t, 2, changed)
	got, err := os.ReadFile(filepath.Join(dir, "suite.yaml"))
	require.NoError(t, err)
	for _, want := range []string{"# Why these are here.", "# about the second", "# who", "gpus: 5", "allowed: false", "claims 5 GPUs (1 x 5 pods) of budget b; 1 of 6 are left", "max-scale (9) lowered to 5 by policy p (bounds.maxScale.max)"} {
		assert.Contains(t, string(got), want)
	}
	suites, err = policytest.Load(dir)
	require.NoError(t, err)
	results, err := suites[0].Run()
	require.NoError(t, err)
	for _, r := range results {
		assert.True(t, r.Passed(), r.Problems)
	}
	changed, err = suites[0].Update()
	require.NoError(t, err)
	assert.Zero(t, changed)
	again, err := os.ReadFile(filepath.Join(dir, "suite.yaml"))
	require.NoError(t, err)
	assert.Equal(t, string(got), string(again))
}

func TestMutationsThatSurviveAreTold(t *testing.T) {
	dir := suite(t, head+"- name: clamped\n"+object+"  expect: {claim: {gpus: 5, gpusPerPod: 1, peakPods: 5}}\n- name: again\n"+object+"  expect: {claim: {gpus: 5, gpusPerPod: 1, peakPods: 5}}\n- name: its name\n"+object+"  idle: nobody changes names\n  expect: {paths: {metadata.name: a}}\n"+
		"- name: its kind\n"+object+"  expect: {paths: {kind: Service}}\nsurvivors:\n- {mutation: \"GPUBudget b: spec.max: 6 -> 7\", reason: the budget has no case yet}\n")
	suites, err := policytest.Load(dir)
	require.NoError(t, err)
	mutations, idle, err := policytest.Mutations(suites)
	require.NoError(t, err)
	assert.Equal(t, []policytest.IdleCase{{CaseName: policytest.CaseName{Suite: "s", Case: "its name"}, Reason: "nobody changes names"}, {CaseName: policytest.CaseName{Suite: "s", Case: "its kind"}}}, idle)
	found := map[string]policytest.Mutation{}
	for _, m := range mutations {
		found[m.Text] = m
	}
	assert.Equal(t, []policytest.CaseName{{Suite: "s", Case: "clamped"}, {Suite: "s", Case: "again"}}, found["ComputePolicy p: spec.bounds.maxScale.max: 5 -> 6"].Noticed, "every case that fails")
	assert.True(t, found["ComputePolicy p: spec.bounds.gpusPerPod.max: 2 -> 3"].Survived())
	assert.Equal(t, "the budget has no case yet", found["GPUBudget b: spec.max: 6 -> 7"].Reason)

	suites[0].Survivors[0].Mutation = "GPUBudget b: spec.max: 60 -> 70"
	_, _, err = policytest.Mutations(suites)
	assert.EqualError(t, err, "survivors: no such change survives: GPUBudget b: spec.max: 60 -> 70")

	suites[0].Survivors, suites[0].Cases[1].Idle = nil, "none"
	_, _, err = policytest.Mutations(suites)
	assert.ErrorContains(t, err, `cases[1].idle: a change makes case "again" fail; take the reason out`)
}

func TestUnusableSuites(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a field that there is not": {head + "- name: c\n" + object + "  expects: {}\n", "suite.yaml: cases[0].expects: Forbidden: is no field; allowed here: cluster, expect, "},
		"all that is missing": {"apiVersion: test.kubetorch.com/v1alpha1\nkind: Tests\nmetadata: {}\ncases: [{name: a, expect: {}}, {name: a, file: x.yaml, object: {}, expect: {}}, {expect: {}}]\n", "suite.yaml: kind: Unsupported value: \"Tests\": supported values: \"Suite\"\nsuite.yaml: metadata.name: Required value: a suite needs a name\n" +
			"suite.yaml: cases[0].object: Invalid value: \"\": give either object or file\nsuite.yaml: cases[1].name: Duplicate value: \"a\"\nsuite.yaml: cases[1].object: Invalid value: \"\": give either object or file\n" +
			"suite.yaml: cases[2].name: Required value: a case needs a name\nsuite.yaml: cases[2].object: Invalid value: \"\": give either object or file"},
		"values of another type, and what else is wrong": {strings.Replace(head, "policies: [policy.yaml]", "policies: p.yaml", 1) + "- {name: 5, file: x.yaml, expect: {allowed: \"yes\", claim: {gpus: many}}}\n- {name: b, expect: []}\n- five\n",
			"suite.yaml: cases[0].expect.allowed: Invalid value: \"yes\": must be true or false\nsuite.yaml: cases[0].expect.claim.gpus: Invalid value: \"many\": must be a whole number\n" +
				"suite.yaml: cases[0].name: Invalid value: 5: must be a string; put it in quotes: \"5\"\nsuite.yaml: cases[1].expect: Invalid value: \"a list\": must be an object with allowed, causes, claim, expansion, paths, warnings\n" +
				"suite.yaml: cases[2]: Invalid value: \"five\": must be an object\nsuite.yaml: policies: Invalid value: \"p.yaml\": must be a list\n" +
				"suite.yaml: cases[1].object: Invalid value: \"\": give either object or file"},
		"times that are none": {strings.Replace(head, "cases:", "now: tomorrow\ncases:", 1) + "- name: c\n" + object + "  now: \"2027-01-31\"\n  expect: {}\n",
			"suite.yaml: now: Invalid value: \"tomorrow\": is no time; allowed: RFC 3339, such as 2027-01-31T00:00:00Z\nsuite.yaml: cases[0].now: Invalid value: \"2027-01-31\": is no time"},
		"a file that is not there": {head + "- {name: c, file: x.yaml, expect: {}}\n", `suite.yaml: case "c": stat`},
		"no budget of that name":   {head + "- name: c\n" + object + "  holds: [{budget: c, namespace: a, gpus: 1}]\n  expect: {allowed: true}\n", "holds[0].budget: there is no GPUBudget c among the policies"},
		"no suites":                {"kind: ConfigMap\n", "holds no Suite of test.kubetorch.com/v1alpha1"},
		"a second document":        {head + "- name: c\n" + object + "  expect: {}\n---\napiVersion: v1\nkind: A\n", "a Suite stands in a file by itself"},
		"no YAML":                  {"apiVersion: test.kubetorch.com/v1alpha1\nkind: [", "suite.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := suite(t, test.text)
			suites, err := policytest.Load(dir)
			if err == nil {
				_, err = suites[0].Run()
			}
			var texts []string
			for _, problem := range offline.Problems(err) {
				texts = append(texts, strings.TrimPrefix(problem.Error(), dir+"/"))
			}
			assert.Contains(t, strings.Join(texts, "\n"), test.want)
		})
	}
}

func TestTheTimeIsTheCasesElseTheSuites(t *testing.T) {
	const until = `{maxScale: {max: 5}}, exempt: [{users: [test-user], until: "2030-01-01T00:00:00Z", reason: a paper}]`
	const ends = `warnings: ["policy p exempts this until 2030-01-01T00:00:00Z (a paper); its bounds hold from then on"]`
	large := strings.Replace(object, "nvidia.com/gpu: 1", "cpu: 1", 1)
	dir := suite(t, strings.Replace(head, "cases:", "now: 2029-12-31T00:00:00Z\ncases:", 1)+
		"- name: of the suite\n"+large+"  expect: {allowed: true, "+ends+"}\n"+
		"- name: earlier\n"+large+"  now: 2029-06-01T02:00:00+02:00\n  expect: {allowed: true, warnings: []}\n"+
		"- name: later\n"+large+"  now: 2030-01-01T00:00:00Z\n  expect: {allowed: false}\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte("apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: p}\nspec: {bounds: "+until+"}\n"), 0o600))
	suites, err := policytest.Load(dir)
	require.NoError(t, err)
	results, err := suites[0].Run()
	require.NoError(t, err)
	for _, r := range results {
		assert.Empty(t, r.Problems, r.Case)
	}
}

func TestABudgetThatWarnsOrAuditsAdmits(t *testing.T) {
	for enforcement, warnings := range map[string]string{
		"Warn":  `["spec.template.metadata.annotations[autoscaling.knative.dev/max-scale] asks for 9 GPUs (1 x 9 pods); 6 of 6 are free in budget b; max-scale 6 fits"]`,
		"Audit": "[]",
	} {
		dir := suite(t, head+"- name: c\n"+object+"  expect: {allowed: true, causes: [], warnings: "+warnings+"}\n")
		require.NoError(t, os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte("apiVersion: policy.kubetorch.com/v1alpha1\nkind: GPUBudget\nmetadata: {name: b}\nspec: {max: 6, enforcement: "+enforcement+"}\n"), 0o600))
		suites, err := policytest.Load(dir)
		require.NoError(t, err)
		results, err := suites[0].Run()
		require.NoError(t, err)
		assert.Empty(t, results[0].Problems, enforcement)
	}
}

func TestUpdatesUsersAndDeploymentsAreAdmittedAsInACluster(t *testing.T) {
	const deployment = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, labels: {kubetorch.com/autoscale: \"true\"}}, spec: {replicas: 3, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: a/b, ports: [{containerPort: 80}]}]}}}}"
	suites, err := policytest.Load(suite(t, head+"- name: a Deployment becomes a Service\n  object: "+deployment+"\n  expect: {paths: {kind: Service, \"spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]\": \"5\"}}\n"+
		"- name: without Knative it stays one\n  object: "+deployment+"\n  noKnative: true\n  expect: {paths: {kind: Deployment, spec.replicas: 1}}\n"+
		"- name: an update that is no larger\n"+object+"  oldObject: {apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: a}, spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: \"5\"}}, spec: {containers: [{image: a/b, resources: {limits: {nvidia.com/gpu: 1}}}]}}}}\n"+
		"  holds: [{budget: b, namespace: a, gpus: 6}]\n  expect: {allowed: true}\n"))
	require.NoError(t, err)
	results, err := suites[0].Run()
	require.NoError(t, err)
	for _, r := range results {
		assert.Empty(t, r.Problems, r.Case)
	}
}
