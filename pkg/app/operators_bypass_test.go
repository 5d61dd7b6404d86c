// Children of an operator's object that its operator did not make, or more of them than it was admitted
// with.

package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	jobSetAPI   = "jobset.x-k8s.io/v1alpha2"
	jobSetMaker = "system:serviceaccount:jobset-system:jobset-controller-manager"
	groupAPI    = "leaderworkerset.x-k8s.io/v1"
	groupMaker  = "system:serviceaccount:lws-system:lws-controller-manager"
	rayAPI      = "ray.io/v1"
	rayMaker    = "system:serviceaccount:ray-system:kuberay-operator"
)

// owned has a controller.
func owned(o, apiVersion, kind, name string) string {
	return strings.Replace(o, "metadata: {", "metadata: {ownerReferences: ["+ownerOf(apiVersion, kind, name)+"], ", 1)
}

// TestWhatAnOperatorMakesIsPartOfWhatItWasMadeOf goes through requests one after the other, with a budget
// of 10 GPUs.
func TestWhatAnOperatorMakesIsPartOfWhatItWasMadeOf(t *testing.T) {
	gang := func(replicas int, more string) string {
		return fmt.Sprintf(`{apiVersion: %s, kind: JobSet, metadata: {name: gang, namespace: team, uid: gang-uid}, spec: {%s replicatedJobs: [{name: w, replicas: %d, template: {spec: {parallelism: 2, completions: 2, template: {spec: %s}}}}]}}`,
			jobSetAPI, more, replicas, podSpecOf(2))
	}
	job := func(n int, spec string) string {
		return owned(of("batch/v1", "Job", fmt.Sprintf("gang-w-%d", n), spec, 2), jobSetAPI, "JobSet", "gang")
	}
	const two = "parallelism: 2, completions: 2"
	group := func(replicas int) string {
		return fmt.Sprintf(`{apiVersion: %s, kind: LeaderWorkerSet, metadata: {name: llm, namespace: team, uid: llm-uid}, spec: {replicas: %d, leaderWorkerTemplate: {size: 3, workerTemplate: {spec: %s}}}}`, groupAPI, replicas, podSpecOf(1))
	}
	leaders := func(replicas int) string {
		return owned(of("apps/v1", "StatefulSet", "llm", fmt.Sprintf("replicas: %d", replicas), 1), groupAPI, "LeaderWorkerSet", "llm")
	}
	workers := owned(of("apps/v1", "StatefulSet", "llm-0", "replicas: 2", 1), "v1", "Pod", "llm-0")
	leader := podOf("llm-0", "llm", ownerOf("apps/v1", "StatefulSet", "llm"), 1)
	ray := func(workers int) string {
		return fmt.Sprintf(`{apiVersion: %s, kind: RayCluster, metadata: {name: ray, namespace: team, uid: ray-uid}, spec: {headGroupSpec: {template: {spec: {}}}, workerGroupSpecs: [{replicas: %d, maxReplicas: 99, template: {spec: %s}}]}}`, rayAPI, workers, podSpecOf(4))
	}
	const (
		groupTarget = "{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, name: llm}"
		torchTarget = "{apiVersion: kubeflow.org/v1, kind: PyTorchJob, name: train}"
	)
	torch := func(workers int) string {
		return fmt.Sprintf(`{apiVersion: kubeflow.org/v1, kind: PyTorchJob, metadata: {name: train, namespace: team, uid: train-uid}, spec: {pytorchReplicaSpecs: {Master: {template: {spec: %[1]s}}, Worker: {replicas: %[2]d, template: {spec: %[1]s}}}}}`, podSpecOf(2), workers)
	}
	rayPod := func(n, gpus int) string {
		return podOf(fmt.Sprintf("ray-%d", n), "ray", ownerOf(rayAPI, "RayCluster", "ray"), gpus)
	}
	for name, steps := range map[string][]step{
		"a JobSet, its Jobs and their pods": {
			{what: "more than there is", object: gang(3, ""), refused: "asks for 12 GPUs (2 x 6 pods); 10 of 10 are free in budget b"},
			{what: "the gang", object: gang(2, ""), used: 8},
			{what: "its first Job", user: jobSetMaker, object: job(0, two), used: 8},
			{what: "its second", user: jobSetMaker, object: job(1, two), used: 8},
			{what: "a pod", user: account("job-controller"), object: podOf("gang-w-0-a", "gang-w-0", ownerOf("batch/v1", "Job", "gang-w-0"), 2), used: 8},
			{what: "another pod", user: account("job-controller"), object: podOf("gang-w-0-b", "gang-w-0", ownerOf("batch/v1", "Job", "gang-w-0"), 2), used: 8},
			{what: "a Job beyond it", user: jobSetMaker, object: job(2, two), refused: "asks for 4 GPUs (2 x 2 pods); 2 of 10 are free in budget b", used: 8},
			{what: "a Job that a tenant adds", user: "eve", object: job(3, "parallelism: 1"), used: 10},
			{what: "that grows", object: gang(3, ""), old: gang(2, ""), refused: "0 of 10 are free", used: 10},
		},
		"a JobSet that is unsuspended, with its Jobs": {
			{what: "a gang that waits", object: gang(2, "suspend: true,")},
			{what: "its Job", user: jobSetMaker, object: job(0, two+", suspend: true")},
			{what: "a tenant starts the Job by itself", user: "eve", object: job(0, two), old: job(0, two+", suspend: true"), used: 4},
			{what: "the gang is to start, and the entries of both count until the next count", user: "system:serviceaccount:kueue-system:kueue-controller-manager", object: gang(2, ""), old: gang(2, "suspend: true,"), refused: "6 of 10 are free", used: 4},
		},
		"unsuspended by its queue": {
			{what: "a gang that waits", object: gang(2, "suspend: true,")},
			{what: "its Job", user: jobSetMaker, object: job(0, two+", suspend: true")},
			{what: "the queue", user: "system:serviceaccount:kueue-system:kueue-controller-manager", object: gang(2, ""), old: gang(2, "suspend: true,"), used: 8},
			{what: "the Job", user: jobSetMaker, object: job(0, two), old: job(0, two+", suspend: true"), used: 8},
		},
		"an autoscaler over a group": {
			{what: "the group", object: group(1), used: 3},
			{what: "more than there is", object: hpa("h", groupTarget, 4), refused: "spec.maxReplicas: Forbidden: asks for 12 GPUs (1 x 12 pods); 7 of 10 are free in budget b", used: 3},
			{what: "what fits", object: hpa("h", groupTarget, 3), used: 9},
			{what: "the autoscaler scales", user: account("horizontal-pod-autoscaler"), subresource: "leaderworkersets/scale", object: scaleTo("llm", 3), old: scaleTo("llm", 1), used: 9},
			{what: "beyond it", subresource: "leaderworkersets/scale", object: scaleTo("llm", 4), old: scaleTo("llm", 1), refused: "asks for 12 GPUs", used: 9},
			{what: "the autoscaler may do more", object: hpa("h", groupTarget, 5), old: hpa("h", groupTarget, 3), refused: "asks for 15 GPUs", used: 9},
			{what: "the group's template changes", object: strings.Replace(group(1), "size: 3", "size: 4", 1), old: group(1), refused: "asks for 12 GPUs (1 x 12 pods)", used: 9},
			{what: "of another group", object: hpa("i", strings.Replace(groupTarget, "llm", "other", 1), 99), used: 9},
		},
		"an autoscaler that was there before": {
			{what: "it waits for its target", object: hpa("h", groupTarget, 4)},
			{what: "a group that it may take too far", object: group(1), refused: "asks for 12 GPUs (1 x 12 pods); 10 of 10 are free in budget b"},
			{what: "a group at 0, which it leaves alone", object: group(0)},
			{what: "scaled up", subresource: "leaderworkersets/scale", object: scaleTo("llm", 1), old: scaleTo("llm", 0), refused: "asks for 12 GPUs"},
		},
		"an autoscaler over a kind whose count stands elsewhere": {
			{what: "a training job", object: torch(1), used: 4},
			{what: "its workers", object: hpa("h", torchTarget, 5), refused: "asks for 12 GPUs (2 x 1 pod + 2 x 5 pods)", used: 4},
			{what: "as many as fit", object: hpa("h", torchTarget, 2), used: 6},
		},
		"an autoscaler over a kind without a subresource scale": {
			{what: "a cluster", object: ray(1), used: 4},
			{what: "what scales nothing", object: hpa("h", "{apiVersion: ray.io/v1, kind: RayCluster, name: ray}", 99), used: 4},
		},
		"a template that is swapped under a group": {
			{what: "a template", object: claimTemplate("four", gpuRequests(1))},
			{what: "a group that names it", object: claiming(strings.Replace(group(2), podSpecOf(1), podSpecOf(0), 1), "{name: g, resourceClaimTemplateName: four}"), used: 6},
			{what: "a pod of what its operator makes", user: groupMaker, object: claiming(strings.NewReplacer(podSpecOf(1), podSpecOf(0), "namespace: team, uid: llm-uid", "namespace: team, uid: set-uid").Replace(leaders(2)), "{name: g, resourceClaimTemplateName: four}"), used: 6},
			{what: "the template goes", old: claimTemplate("four", gpuRequests(1)), deleted: true, used: 6},
			{what: "one with more", object: claimTemplate("four", gpuRequests(2)), refused: "spec.spec.devices.requests: Forbidden: asks for 12 GPUs (LeaderWorkerSet llm, which names this template); 4 of 10 are free in budget b", used: 6},
			{what: "of what nobody can count", object: claimTemplate("four", "[{name: a, exactly: {deviceClassName: secret}}]"), refused: "devices of DeviceClass secret, which no policy lists", used: 6},
			{what: "as before", object: claimTemplate("four", gpuRequests(1)), used: 6},
		},
		"Jobs that only say whose they are": {
			{what: "the gang", object: gang(1, ""), used: 4},
			{what: "by a tenant", user: "eve", object: job(0, two), used: 8},
			{what: "by an account of another namespace", user: "system:serviceaccount:team:jobset-controller-manager", object: job(1, "parallelism: 1"), used: 10},
			{what: "of no such JobSet", user: jobSetMaker, object: strings.Replace(job(2, two), "gang-uid", "other-uid", 1), refused: "0 of 10 are free", used: 10},
		},
		"a JobSet that somebody made smaller": {
			{what: "the gang", object: gang(2, ""), used: 8},
			{what: "smaller", object: gang(1, ""), old: gang(2, ""), used: 4},
			{what: "one Job", user: jobSetMaker, object: job(0, two), used: 4},
			{what: "another, as before", user: jobSetMaker, object: job(1, two), used: 8},
		},
		"a LeaderWorkerSet by leaders, their pods and the workers": {
			{what: "groups of 3", object: group(2), used: 6},
			{what: "kubectl scale", subresource: "leaderworkersets/scale", object: scaleTo("llm", 4), old: scaleTo("llm", 2), refused: "asks for 12 GPUs (1 x 12 pods); 4 of 10 are free in budget b", used: 6},
			{what: "the leaders", user: groupMaker, object: leaders(2), used: 6},
			{what: "a leader", user: account("statefulset-controller"), object: leader, used: 6},
			{what: "its workers", user: groupMaker, object: workers, used: 6},
			{what: "a worker", user: account("statefulset-controller"), object: podOf("llm-0-1", "llm-0", ownerOf("apps/v1", "StatefulSet", "llm-0"), 1), refused: "", used: 6},
			{what: "scaled to what fits", subresource: "leaderworkersets/scale", object: scaleTo("llm", 3), old: scaleTo("llm", 2), used: 9},
		},
		"a RayCluster and its pods": {
			{what: "a cluster", object: ray(2), used: 8},
			{what: "a worker", user: rayMaker, object: rayPod(1, 4), used: 8},
			{what: "another", user: rayMaker, object: rayPod(2, 4), used: 8},
			{what: "a third", user: rayMaker, object: rayPod(3, 4), refused: "2 of 10 are free", used: 8},
			{what: "one that a tenant adds", user: "eve", object: rayPod(4, 2), used: 10},
			{what: "one in place of another, which is gone", old: rayPod(1, 4), deleted: true, used: 10},
			{what: "it finds the tenant's in its place", user: rayMaker, object: rayPod(5, 4), refused: "0 of 10 are free", used: 10},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, ledgers := standalone()
			play(t, e, ledgers, steps)
		})
	}
}

// TestWhatAnOperatorMakesBeyondItsObjectIsChargedOnce: a budget of 10 GPUs. A RayService moves from one RayCluster to
// another, a group brings pods beside those that it replaces. The count finds what is stored of it in the entry of
// the root.
func TestWhatAnOperatorMakesBeyondItsObjectIsChargedOnce(t *testing.T) {
	spec := fmt.Sprintf(`headGroupSpec: {template: {spec: {}}}, workerGroupSpecs: [{replicas: 2, template: {spec: %s}}]`, podSpecOf(2))
	service := fmt.Sprintf(`{apiVersion: %s, kind: RayService, metadata: {name: serve, namespace: team, uid: serve-uid}, spec: {rayClusterConfig: {%s}}}`, rayAPI, spec)
	cluster := func(name string) string {
		return owned(fmt.Sprintf(`{apiVersion: %s, kind: RayCluster, metadata: {name: %s, namespace: team, uid: %s-uid}, spec: {%s}}`, rayAPI, name, name, spec), rayAPI, "RayService", "serve")
	}
	worker := func(of, name string) string { return podOf(name, of, ownerOf(rayAPI, "RayCluster", of), 2) }
	group := fmt.Sprintf(`{apiVersion: %s, kind: LeaderWorkerSet, metadata: {name: llm, namespace: team, uid: llm-uid}, spec: {replicas: 2, leaderWorkerTemplate: {size: 1, workerTemplate: {spec: %s}}}}`, groupAPI, podSpecOf(2))
	leaders := func(replicas int) string {
		return owned(strings.Replace(of("apps/v1", "StatefulSet", "llm", fmt.Sprintf("replicas: %d", replicas), 2), "uid: llm-uid", "uid: leaders-uid", 1), groupAPI, "LeaderWorkerSet", "llm")
	}
	for name, c := range map[string]struct {
		root   string
		stored []string
		// held is what the ledger has for the root, and others for somebody else.
		held, others int64
		step
	}{
		"another RayCluster":                  {service, []string{cluster("one")}, 4, 2, step{user: rayMaker, object: cluster("two"), used: 10}},
		"without room":                        {service, []string{cluster("one")}, 4, 3, step{user: rayMaker, object: cluster("two"), refused: "3 of 10 are free"}},
		"its pod, once it is counted":         {service, []string{cluster("one"), cluster("two")}, 8, 2, step{user: rayMaker, object: worker("two", "a"), used: 10}},
		"another pod of it":                   {service, []string{cluster("one"), cluster("two"), worker("two", "a")}, 8, 2, step{user: rayMaker, object: worker("two", "b"), used: 10}},
		"a pod beyond it":                     {service, []string{cluster("one"), cluster("two"), worker("two", "a"), worker("two", "b")}, 8, 2, step{user: rayMaker, object: worker("two", "c"), refused: "0 of 10 are free"}},
		"its pod before it is counted":        {service, []string{cluster("one"), cluster("two")}, 4, 4, step{user: rayMaker, object: worker("two", "a"), refused: "2 of 10 are free"}},
		"a surge of leaders":                  {group, []string{leaders(2)}, 4, 4, step{user: groupMaker, object: leaders(3), old: leaders(2), used: 10}},
		"a further one, before it is counted": {group, []string{leaders(3)}, 4, 4, step{user: groupMaker, object: leaders(4), old: leaders(3), used: 10}},
		"without room for it":                 {group, []string{leaders(2)}, 4, 5, step{user: groupMaker, object: leaders(3), old: leaders(2), refused: "1 of 10 are free"}},
		"leaders of another group, with more of them": {group, []string{leaders(2)}, 4, 4, step{user: groupMaker, object: strings.ReplaceAll(leaders(3), "name: llm, namespace", "name: two, namespace"),
			old: strings.NewReplacer("name: llm, namespace", "name: two, namespace", "name: llm, uid: llm-uid", "name: other, uid: other-uid").Replace(leaders(2)), refused: "2 of 10 are free"}},
		"the surge ends": {group, []string{leaders(3)}, 6, 4, step{user: groupMaker, object: leaders(2), old: leaders(3), used: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			e, ledgers := standalone()
			e.charging.everything = false // as in a cluster
			remember(t, e.remembered, append(c.stored, c.root)...)
			hold(t, ledgers, c.root, c.held)
			hold(t, ledgers, podOf("other", "other", "", 1), c.others)
			answer := e.validate(t.Context(), requestOf(t, c.step))
			require.Equal(t, c.refused == "", answer.Allowed, "%+v", answer.Result)
			if c.refused != "" {
				assert.Contains(t, answer.Result.Message, c.refused)
				return
			}
			assert.Equal(t, c.used, ledgers.Status("b").Used)
		})
	}
}
