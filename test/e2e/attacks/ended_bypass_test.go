// A status says that a pod or a job has ended, and it runs.

package attacks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

func TestOnlyWhoRunsAPodSaysThatItHasEnded(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: gpu-0, restartPolicy: Never, containers: [`+container(8)+`]}}`)
	s.awaitLive(8)
	s.awaitUsed(8)
	for _, phase := range []string{"Succeeded", "Failed"} {
		assert.Error(t, s.patch(podResource, "a", `{status: {phase: `+phase+`}}`, "status"), phase)
	}
	s.recount()
	assert.EqualValues(t, 8, s.status().Status.Used, "the pod runs")
	s.refused(s.try(deployment("b", 16, 1)), "16 GPUs beside the 8 that run")
	assert.NoError(t, s.patch(podResource, "a", `{status: {conditions: [{type: example.com/seen, status: "True"}]}}`, "status"), "another status")

	node := as(t, "system:node:gpu-0", "system:nodes", "system:authenticated")
	s.allow("system:node:gpu-0") // there is no authorizer of nodes here
	harness.Eventually(t, "the node's rights", func() bool {
		_, err := node.Resource(podResource).Namespace(s.namespace).Get(t.Context(), "a", metav1.GetOptions{})
		return err == nil
	})
	require.NoError(t, s.patchAs(node, podResource, "a", `{status: {phase: Succeeded}}`, "status"), "its node says so")
	s.awaitUsed(0)
	assert.NoError(t, s.try(deployment("b", 16, 1)))
}

func TestOnlyTheJobControllerSaysThatAJobHasEnded(t *testing.T) {
	t.Parallel()
	s := newScene(t, 16, strict)
	s.apply(s.tenant, workload("batch/v1", "Job", "a", 8, 2, ""))
	s.awaitLive(16)
	s.awaitUsed(16)
	const now = `"2026-01-01T00:00:00Z"`
	for what, status := range map[string]string{
		"complete":  `{status: {succeeded: 2, completionTime: ` + now + `, conditions: [{type: SuccessCriteriaMet, status: "True"}, {type: Complete, status: "True"}]}}`,
		"succeeded": `{status: {succeeded: 1, active: 1, ready: 1}}`,
		"failed":    `{status: {conditions: [{type: FailureTarget, status: "True"}, {type: Failed, status: "True"}]}}`,
	} {
		assert.Error(t, s.patch(jobs, "a", status, "status"), what)
	}
	s.holds(0)
	assert.EqualValues(t, 16, s.status().Status.Used, "its pods run")
	s.refused(s.try(deployment("b", 8, 1)), "8 GPUs beside the 16 that run")
	s.holds(0)
}

// A status says that less of a Job has succeeded than has, so that a count finds more pods that are yet to come.
func TestOnlyTheJobControllerSaysThatLessOfAJobHasSucceeded(t *testing.T) {
	t.Parallel()
	s := newScene(t, 24, strict)
	s.apply(s.tenant, strings.Replace(workload("batch/v1", "Job", "a", 8, 3, ""), "parallelism: 3", "completionMode: Indexed, parallelism: 3", 1))
	s.awaitLive(24)
	node := as(t, "system:node:gpu-0", "system:nodes", "system:authenticated")
	s.allow("system:node:gpu-0") // there is no authorizer of nodes here
	harness.Eventually(t, "the node's rights", func() bool {
		_, err := node.Resource(podResource).Namespace(s.namespace).List(t.Context(), metav1.ListOptions{})
		return err == nil
	})
	for _, pod := range s.list(podResource)[:2] {
		require.NoError(t, s.patchAs(node, podResource, pod.GetName(), `{status: {phase: Succeeded}}`, "status"))
	}
	s.awaitUsed(8)
	s.apply(s.tenant, deployment("b", 8, 2))
	s.awaitLive(24)
	s.awaitUsed(24)
	for range 3 {
		assert.Error(t, s.patch(jobs, "a", `{status: {succeeded: 0, completedIndexes: null}}`, "status"))
		s.maybeLive(24)
	}
	s.rests()
}
