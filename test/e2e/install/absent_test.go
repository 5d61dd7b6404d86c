package install

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// An installation whose image cannot start refuses nothing; once a replica is ready the rules
// are there, bounds hold, and go on holding when it is gone. It comes first, before any other
// test has a webhook running.
func TestAnInstallationThatCannotStartBlocksNothing(t *testing.T) {
	installing.Lock()
	running := hook != nil
	installing.Unlock()
	require.False(t, running, "this test is the first")
	helmInstall(t)
	for what, r := range requests() {
		if r.entry != "" || r.refusedBy != "" {
			assert.NoError(t, r.do(t.Context()), what)
		}
	}
	for _, gvr := range []schema.GroupVersionResource{mutating, validating} {
		for name, rules := range rulesOf(t, gvr) {
			assert.Empty(t, rules, name)
		}
	}

	installed(t)
	ns := newNamespace(t)
	policy := storePolicy(t, ns, "{maxScale: {max: 4}}")
	harness.Eventually(t, "bounds hold", func() bool {
		err := create(t.Context(), services, ns, service("wide", "", 0, 9))
		return err != nil && strings.Contains(err.Error(), "at most 4")
	})
	awaitReady(t, policy, "True", "InForce")

	// Applying the same again takes no rule away, whoever does it.
	helm(t, "upgrade", release, chart(), "--namespace", namespace, "--reuse-values", "--force-conflicts") // with the port of this machine
	for _, gvr := range []schema.GroupVersionResource{mutating, validating} {
		for name, rules := range rulesOf(t, gvr) {
			assert.NotEmpty(t, rules, name)
		}
	}
	require.NoError(t, hook.Redirect(t.Context()))
	harness.Eventually(t, "bounds hold again", func() bool {
		err := create(t.Context(), services, ns, service("wide", "", 0, 9))
		return err != nil && strings.Contains(err.Error(), "at most 4")
	})
}

// What is missing or altered shows in the status of policies and budgets within a minute, and
// its repair does.
func TestTheWebhookSeesWhetherItIsRegistered(t *testing.T) {
	installed(t)
	ns := newNamespace(t)
	policy := storePolicy(t, ns, "{maxScale: {max: 4}}")
	awaitReady(t, policy, "True", "InForce")
	patch := func(gvr schema.GroupVersionResource, body string) {
		t.Helper()
		_, err := client.Resource(gvr).Patch(t.Context(), name, types.JSONPatchType, []byte(body), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	for what, c := range map[string]struct {
		alter, repair, message string
	}{
		"a failurePolicy that lets everything through": {
			`[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]`, `[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Fail"}]`,
			"validate.kubetorch.com has failurePolicy Ignore, and not Fail",
		},
		"a condition that nothing meets": {
			`[{"op":"add","path":"/webhooks/0/matchConditions","value":[{"name":"never","expression":"false"}]}]`, `[{"op":"remove","path":"/webhooks/0/matchConditions"}]`,
			"validate.kubetorch.com has other matchConditions",
		},
		"a selector by labels of objects": {
			`[{"op":"add","path":"/webhooks/0/objectSelector","value":{"matchLabels":{"a":"b"}}}]`, `[{"op":"replace","path":"/webhooks/0/objectSelector","value":{}}]`,
			"validate.kubetorch.com has an objectSelector",
		},
	} {
		t.Run(what, func(t *testing.T) {
			patch(validating, c.alter)
			assert.Contains(t, awaitReady(t, policy, "False", "NotRegistered"), c.message)
			assert.Contains(t, awaitBudgetReady(t, stays, "False", "NotRegistered"), c.message)
			patch(validating, c.repair)
			awaitReady(t, policy, "True", "InForce")
		})
	}
	t.Run("rules that were taken away are put back", func(t *testing.T) {
		patch(validating, `[{"op":"remove","path":"/webhooks/0/rules"}]`)
		harness.Eventually(t, "the rules", func() bool { return len(rulesOf(t, validating)["validate.kubetorch.com"]) > 0 })
		awaitReady(t, policy, "True", "InForce")
	})
	t.Run("configurations that are gone", func(t *testing.T) {
		gone := time.Now()
		for _, command := range documented(t, "To get past it in an emergency:") {
			execute(t, command)
		}
		harness.Eventually(t, "what is missing", func() bool { // and not what was before
			return strings.Contains(awaitReady(t, policy, "False", "NotRegistered"), "the validating webhook configuration kubetorch-webhook is missing")
		})
		awaitBudgetReady(t, stays, "False", "NotRegistered")
		for gvr, object := range map[schema.GroupVersionResource]string{policies: policy, budgets: stays} {
			within(t, gone, "condition Ready of "+object, turned(t, gvr, object))
		}
		checked, err := time.Parse(time.RFC3339, nestedString(get(t, policies, "", policy), "status", "checked"))
		require.NoError(t, err)
		assert.False(t, checked.Before(gone.Truncate(time.Second)), "somebody has looked since")
		for _, r := range hook.Replicas {
			within(t, gone, "the log of "+r.Address, logged(t, r, gone, "not registered as it should be", "the validating webhook configuration kubetorch-webhook is missing"))
		}
		for _, r := range hook.Replicas {
			harness.Eventually(t, fmt.Sprintf("the metric of %s", r.Address), func() bool {
				_, metrics := ask(r.Address, "GET", "/metrics", "")
				return strings.Contains(metrics, `kubetorch_webhook_registered{configuration="validating"} 0`)
			})
		}
		helm(t, "upgrade", release, chart(), "--namespace", namespace, "--reuse-values")
		require.NoError(t, hook.Redirect(t.Context()))
		awaitReady(t, policy, "True", "InForce")
		awaitBudgetReady(t, stays, "True", "InForce")
	})
}

// within demands that what is shown about the configurations is so within a minute, by the program's own clock.
func within(t *testing.T, gone time.Time, what string, shown time.Time) {
	t.Helper()
	t.Logf("%s: after %s", what, shown.Sub(gone).Round(time.Second))
	assert.Less(t, shown.Sub(gone), time.Minute, what)
}

// turned is when an object became not ready.
func turned(t *testing.T, gvr schema.GroupVersionResource, name string) time.Time {
	t.Helper()
	conditions, _, err := unstructured.NestedSlice(get(t, gvr, "", name).Object, "status", "conditions")
	require.NoError(t, err)
	for _, item := range conditions {
		if c := item.(map[string]any); c["type"] == "Ready" {
			at, err := time.Parse(time.RFC3339, c["lastTransitionTime"].(string))
			require.NoError(t, err)
			return at
		}
	}
	t.Fatalf("%s has no condition Ready", name)
	return time.Time{}
}

// logged is when a replica first logged an error after a moment, that says some words and why.
func logged(t *testing.T, r *controlplane.Replica, after time.Time, message, why string) (at time.Time) {
	t.Helper()
	harness.Eventually(t, "the log of "+r.Address, func() bool {
		text, err := os.ReadFile(r.Process().LogFile())
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			var entry struct {
				Level, Msg, Why string
				TS              time.Time
			}
			if json.Unmarshal([]byte(line), &entry) != nil || entry.TS.Before(after) {
				continue
			}
			if entry.Level == "error" && strings.HasPrefix(entry.Msg, message) && strings.Contains(entry.Why, why) {
				at = entry.TS
				return true
			}
		}
		return false
	})
	return at
}

func rulesOf(t *testing.T, gvr schema.GroupVersionResource) map[string][]any {
	t.Helper()
	configuration, err := client.Resource(gvr).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	list, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
	require.NoError(t, err)
	found := map[string][]any{}
	for _, item := range list {
		rules, _, _ := unstructured.NestedSlice(item.(map[string]any), "rules")
		found[item.(map[string]any)["name"].(string)] = rules
	}
	return found
}

// storePolicy makes a policy for one namespace, and of its name.
func storePolicy(t *testing.T, ns, bounds string) string {
	t.Helper()
	store(t, policies, "", fmt.Sprintf(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: %s}, spec: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}, bounds: %s}}`, ns, ns, bounds))
	t.Cleanup(func() { _ = client.Resource(policies).Delete(context.Background(), ns, metav1.DeleteOptions{}) })
	return ns
}

// awaitReady waits for a policy's condition, for a minute, and returns its message.
func awaitReady(t *testing.T, policy, status, reason string) string {
	t.Helper()
	return awaitCondition(t, policies, policy, status, reason)
}

func awaitBudgetReady(t *testing.T, name, status, reason string) string {
	t.Helper()
	return awaitCondition(t, budgets, name, status, reason)
}

func awaitCondition(t *testing.T, gvr schema.GroupVersionResource, name, status, reason string) (message string) {
	t.Helper()
	harness.Await(t, fmt.Sprintf("condition Ready of %s: %s %s", name, status, reason), func() (bool, string) {
		object := get(t, gvr, "", name)
		conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
		for _, item := range conditions {
			c := item.(map[string]any)
			if c["type"] != "Ready" {
				continue
			}
			message, _ = c["message"].(string)
			return c["status"] == status && c["reason"] == reason, fmt.Sprintf("%v %v: %s", c["status"], c["reason"], message)
		}
		return false, "no such condition"
	})
	return message
}
