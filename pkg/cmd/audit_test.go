package cmd

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
)

const auditPolicies = `apiVersion: policy.kubetorch.com/v1alpha1
kind: ComputePolicy
metadata: {name: platform}
spec: {bounds: {maxScale: {max: 3}, gpusPerPod: {max: 1, enforcement: Warn}}}
---
apiVersion: policy.kubetorch.com/v1alpha1
kind: GPUBudget
metadata: {name: all}
spec: {max: 16, maxPerNamespace: 12}
`

const auditObjects = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: big & bold, namespace: ml, uid: u1}
spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "9"}}, spec: {containers: [{image: a/b, resources: {limits: {nvidia.com/gpu: 2}}}]}}}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: small, namespace: web, uid: u2}
spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "2"}}, spec: {containers: [{image: a/b, resources: {limits: {nvidia.com/gpu: 1}}}]}}}
`

// auditUnbounded has no maximum of pods: "0" is none.
const auditUnbounded = auditObjects + `---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: endless, namespace: ml, uid: u3}
spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "0"}}, spec: {containers: [{image: a/b, resources: {limits: {nvidia.com/gpu: 1}}}]}}}
`

func TestAuditOutputs(t *testing.T) {
	t.Chdir(files(t, "p.yaml", auditPolicies, "o.yaml", auditObjects, "endless.yaml", auditUnbounded))
	// What depends on when it runs.
	times := regexp.MustCompile(`seconds: \d+|Looked at [^<]*\.`)
	for name, test := range map[string]struct{ objects, output string }{
		"audit.html":             {"o.yaml", "html"},
		"audit-unbounded.html":   {"endless.yaml", "html"},
		"audit-unbounded.txt":    {"endless.yaml", "table"},
		"audit-openreports.yaml": {"o.yaml", "openreports"},
	} {
		code, out, errOut := runIn(t, "", "audit", "-f", test.objects, "--policy", "p.yaml", "-o", test.output)
		assert.Equal(t, 1, code, errOut)
		assert.NotContains(t, out, "9007199254740951", "what is left is no negative number")
		assert.NotRegexp(t, `[^"]9007199254740991`, out, "what has no limit is not shown as a number")
		golden(t, name, times.ReplaceAllString(out, "TIME"))
	}
}

func TestAuditTakesTheReleaseOfKnativeAsTheOthersDo(t *testing.T) {
	t.Chdir(files(t, "p.yaml", auditPolicies, "o.yaml", auditObjects))
	_, want, _ := runIn(t, "", "audit", "-f", "o.yaml", "--policy", "p.yaml")
	code, out, errOut := runIn(t, "", "audit", "-f", "o.yaml", "--policy", "p.yaml", "--knative-version", "1.16")
	assert.Equal(t, 1, code)
	assert.Equal(t, want, out)
	assert.NotContains(t, errOut, "Warning")
	_, _, errOut = runIn(t, "", "audit", "-f", "o.yaml", "--policy", "p.yaml", "--knative-version", "1.3")
	assert.Contains(t, errOut, "Warning: Knative 1.3 is not one of those known")
	code, out, errOut = runIn(t, "", "audit", "-f", "o.yaml", "--policy", "p.yaml", "--knative-version", "newest")
	assert.Equal(t, 2, code)
	assert.Empty(t, out)
	assert.Equal(t, "kubetorch-webhook: --knative-version: invalid value: newest; allowed: a version of Knative Serving from 1.15 to 1.24\n", errOut)
}
