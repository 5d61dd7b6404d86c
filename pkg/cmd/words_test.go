package cmd

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// goWords is how Go's own code speaks of its types and of itself.
var goWords = regexp.MustCompile(`Go (struct|value)|interface ?\{|strconv|%!|cannot unmarshal|unmarshal|scheme\.go|\[\]interface|(^|[^.])(json|yaml): |map\[string\]|v1alpha1\.[A-Z]|policytest\.|workload\.[A-Z]|document 1|<nil>|reflect\.|invalid character|(?m)^kubetorch-webhook: \[`)

// unlikely are values of YAML that stand where others should.
var unlikely = []string{"5", "1.5", ".inf", ".nan", "true", "null", "text", `""`, "[]", "[5]", "[a]", "[null]", "[[a]]", "[{}]", "{}", "{a: b}", "{a: {b: c}}", "{[a, b]: c}", "{null: a}", "{{a: b}: c}",
	"{1: a}", "2001-12-14", "99999999999999999999", "1e999", "-1", "*a", "&a {b: *a}", "!!int a", "!!binary x", "{<<: 5}", "@a", "`a`", "%a", "a: b: c", "{a", "[a", `"a`, `"\q"`, "\ta", "{a: b, a: c}", "\xff", "|\n"}

func TestNoMessageSpeaksOfGo(t *testing.T) {
	const (
		policies = "apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: a}\nspec:\n  %s: %s\n"
		budget   = "apiVersion: policy.kubetorch.com/v1alpha1\nkind: GPUBudget\nmetadata: {name: a}\nspec:\n  %s: %s\n"
		maps     = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-%s}\ndata:\n  %s: %s\n"
		suite    = "apiVersion: test.kubetorch.com/v1alpha1\nkind: Suite\nmetadata: {name: a}\n%s: %s\n"
		list     = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\n%s: %s\n"
		service  = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a, labels: {kubetorch.com/autoscale: \"true\"}}\nspec:\n  %s: %s\n"
	)
	type run struct {
		args []string
		file string
	}
	runs := []run{
		{[]string{"expand", "-f", "-", "--no-knative=%"}, labelled}, {[]string{"simulate", "-f", "-", "--load", "constant", "--seed", "%"}, labelled},
		{[]string{"serve", "--max-concurrent-requests", "%"}, ""}, {[]string{"serve", "--trace-sampling", "%"}, ""}, {[]string{"check", "--wait", "%"}, ""},
	}
	of := func(args []string, format string, keys ...string) {
		for _, key := range keys {
			runs = append(runs, run{args, strings.Replace(format, "%s", key, 1)})
		}
	}
	audit := []string{"audit", "-f", "in.yaml", "--policy", "-"}
	of(audit, policies, "priority", "namespaceSelector", "bounds", "defaults", "profiles", "gpuResources", "notGPUResources", "exempt", "enforcement")
	of(audit, strings.Replace(policies, "%s: %s", "bounds: {%s: %s}", 1), "maxScale", "memoryPerPod", "gpusPerPod", "autoscalerClasses")
	of(audit, strings.Replace(policies, "%s: %s", "defaults: {autoscale: {%s: %s}}", 1), "maxScale", "window", "target")
	of(audit, strings.Replace(policies, "%s: %s", "gpuResources: [{name: a.com/b, %s: %s}]", 1), "name", "gpus", "more")
	of(audit, budget, "max", "gpuTypes", "maxPerNamespace", "namespaceSelector", "rollout")
	knative := []string{"expand", "-f", "in.yaml", "--knative-config", "-"}
	of(knative, strings.Replace(maps, "%s", "autoscaler", 1), "max-scale", "enable-scale-to-zero", "stable-window", "panic-window-percentage")
	of(knative, strings.Replace(maps, "%s", "defaults", 1), "container-name-template", "revision-cpu-request", "revision-timeout-seconds", "allow-container-concurrency-zero")
	of(knative, strings.Replace(maps, "%s", "deployment", 1), "progress-deadline", "runtime-class-name", "default-affinity-type", "queue-sidecar-cpu-limit")
	of([]string{"test", "FILE"}, suite, "metadata", "policies", "cases", "survivors", "namespaces", "more")
	of([]string{"test", "FILE"}, strings.Replace(suite, "%s: %s", "cases: [{name: a, %s: %s}]", 1), "object", "expect", "holds", "user", "cluster")
	of([]string{"audit", "--kinds-file", "FILE", "-f", "in.yaml", "--policy", "p.yaml"}, "%s: %s\n", "kinds")
	of([]string{"audit", "--kinds-file", "FILE", "-f", "in.yaml", "--policy", "p.yaml"}, "kinds: [{group: a.com, kind: A, resource: as, %s: %s}]\n", "pods", "makers", "scale", "finished")
	of([]string{"audit", "--kubeconfig", "FILE"}, "apiVersion: v1\nkind: Config\n%s: %s\n", "clusters", "kind", "current-context")
	of([]string{"krm"}, list, "functionConfig", "items", "results")
	of([]string{"krm"}, strings.Replace(list, "%s: %s", "functionConfig: {spec: {%s: %s}}", 1), "policies", "knativeConfig", "knativeVersion")
	of([]string{"expand", "-f", "-"}, service, "template", "traffic")
	of([]string{"expand", "-f", "-"}, strings.Replace(service, "%s: %s", "template: {spec: {%s: %s}}", 1), "containers", "volumes", "timeoutSeconds", "nodeSelector")
	of([]string{"expand", "-f", "-"}, strings.NewReplacer("serving.knative.dev/v1", "apps/v1", "kind: Service", "kind: Deployment").Replace(service), "template", "replicas", "strategy")
	of([]string{"simulate", "-f", "in.yaml", "--load", "FILE"}, "{\"status\": \"success\", \"data\": {\"resultType\": \"matrix\", \"%s\": %s}}", "result", "more")
	of([]string{"simulate", "-f", "in.yaml", "--load", "FILE"}, "%s,%s\n1,2\n", "time")
	for _, file := range []string{"metadata: %s\n", "metadata: {name: a, labels: %s}\n", "%s: {}\n", "data: {a: b}\n%s\n"} {
		runs = append(runs, run{[]string{"expand", "-f", "-"}, "apiVersion: v1\nkind: ConfigMap\n" + file})
	}
	t.Chdir(files(t, "in.yaml", plainService, "p.yaml", teamPolicy))
	for _, r := range runs {
		for _, value := range unlikely {
			args := append([]string{}, r.args...)
			text := strings.Replace(r.file, "%s", value, 1)
			in := strings.NewReader(text)
			for i := range args {
				if args[i] == "FILE" {
					args[i] = files(t, "f.yaml", text) + "/f.yaml"
				}
				args[i] = strings.Replace(args[i], "%", value, 1)
			}
			if r.args[0] == "serve" || r.args[0] == "check" {
				if strings.Trim(value, "0123456789.e-") == "" {
					continue // it would begin
				}
			}
			var out, errOut bytes.Buffer
			code := Run(t.Context(), args, in, &out, &errOut)
			require.LessOrEqual(t, code, 2)
			if found := goWords.FindString(errOut.String()); found != "" {
				assert.Fail(t, fmt.Sprintf("%q", found), "%v\n%s\n%s", args, text, errOut.String())
			}
		}
	}
}
