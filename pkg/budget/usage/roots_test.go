package usage

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/cluster/clustertest"
	"github.com/kubetorch/webhook/pkg/manifest"
)

const gone = `deletionTimestamp: "2026-01-01T00:00:00Z", `

// owned is the metadata of an object that a kind controls.
func owned(name, uid, version, kind, owner string) string {
	return `name: ` + name + `, namespace: a, uid: ` + uid + `, labels: {app: x}, ownerReferences: [{apiVersion: ` + version + `, kind: ` + kind + `, name: any, uid: ` + owner + `, controller: true}]`
}

// plain is an object of a kind with pods of so many GPUs.
func plain(version, kind, metadata, spec, gpus string) string {
	return `{apiVersion: ` + version + `, kind: ` + kind + `, metadata: {` + metadata + `}, spec: {selector: {matchLabels: {app: x}}, ` + spec +
		`template: {spec: {containers: [{resources: {limits: {nvidia.com/gpu: ` + gpus + `}}}]}}}}`
}

func podOf(name, metadata, gpus, phase string) string {
	return `{apiVersion: v1, kind: Pod, metadata: {` + strings.Replace(metadata, "name: NAME, ", "name: "+name+", ", 1) + `}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: ` + gpus + `}}}]}, status: {phase: ` + phase + `}}`
}

// byItself is the metadata of an object that nobody controls.
func byItself(name, uid string) string {
	return `name: ` + name + `, namespace: a, uid: ` + uid + `, labels: {app: x}`
}

func TestWhatRootsHold(t *testing.T) {
	deployment := plain("apps/v1", "Deployment", byItself("d", "d"), `replicas: 2, `, "8")
	without := strings.Replace(deployment, "gpu: 8", "gpu: 0", 1)
	set := func(replicas string) string {
		return plain("apps/v1", "ReplicaSet", owned("d-1", "rs", "apps/v1", "Deployment", "d"), `replicas: `+replicas+`, `, "8")
	}
	pod := func(name, more string) string {
		return podOf(name, more+owned(name, "uid-"+name, "apps/v1", "ReplicaSet", "rs"), "8", "Running")
	}
	left := func(name string) string {
		return strings.Replace(byItself(name, name), "app: x", "app: x, pod-template-hash: h", 1)
	}
	const hpa = `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h, namespace: a, uid: h}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}, maxReplicas: 5}}`
	job := func(spec, status string) string {
		return strings.TrimSuffix(plain("batch/v1", "Job", byItself("j", "j"), spec, "8"), "}") + `, status: {` + status + `}}`
	}
	jobPod := func(phase string) string { return podOf("j-1", owned("j-1", "p1", "batch/v1", "Job", "j"), "8", phase) }
	for name, test := range map[string]struct {
		objects []string
		want    map[string]sums
	}{
		"a Deployment with its ReplicaSet and pods is one claim": {
			[]string{deployment, set("2"), pod("a", ""), pod("b", "")}, map[string]sums{"Deployment d": {gpus: 16}}},
		"its template without GPUs frees nothing of an earlier one": {
			[]string{without, set("2"), pod("a", ""), pod("b", "")}, map[string]sums{"Deployment d": {gpus: 16}}},
		"nor of one whose pods terminate still": {
			[]string{without, set("0"), pod("a", gone)}, map[string]sums{"Deployment d": {overlap: 8}}},
		"paused, it may scale one at zero": {
			[]string{strings.Replace(without, "replicas: 2", "paused: true, replicas: 2", 1), set("0")}, map[string]sums{"Deployment d": {gpus: 16}}},
		"surplus pods of a rollout overlap": {
			[]string{deployment, set("2"), pod("a", ""), pod("b", ""), pod("c", gone)}, map[string]sums{"Deployment d": {16, 8}}},
		"as many pods as an autoscaler may ask for": {
			[]string{deployment, hpa}, map[string]sums{"Deployment d": {gpus: 40}}},
		"an autoscaler of another kind's object counts nothing": {
			[]string{deployment, strings.Replace(hpa, "kind: Deployment", "kind: StatefulSet", 1)}, map[string]sums{"Deployment d": {gpus: 16}}},
		"a ReplicaSet by itself": {
			[]string{plain("apps/v1", "ReplicaSet", byItself("rs", "rs"), `replicas: 3, `, "8")}, map[string]sums{"ReplicaSet rs": {gpus: 24}}},
		"orphaned pods count by themselves": {
			[]string{podOf("o", byItself("o", "o"), "8", "Running")}, map[string]sums{"Pod o": {gpus: 8}}},
		"those that a Deployment lacks and waits for are its own": {
			[]string{deployment, podOf("o", left("o"), "8", "Running")}, map[string]sums{"Deployment d": {gpus: 16}}},
		"no more of them than it lacks": {
			[]string{deployment, set("2"), pod("a", ""), podOf("o", left("o"), "8", "Running"), podOf("p", left("p"), "8", "Running")},
			map[string]sums{"Deployment d": {gpus: 16}, "Pod p": {gpus: 8}}},
		"nor one that is larger than what it lacks": {
			[]string{deployment, set("2"), pod("a", ""), podOf("o", left("o"), "9", "Running")}, map[string]sums{"Deployment d": {gpus: 16}, "Pod o": {gpus: 9}}},
		"pods that terminate are in their place": {
			[]string{deployment, set("2"), pod("a", gone), pod("b", gone), podOf("o", left("o"), "8", "Running")}, map[string]sums{"Deployment d": {gpus: 16}, "Pod o": {gpus: 8}}},
		"nor pods that were never a ReplicaSet's": {
			[]string{deployment, podOf("o", byItself("o", "o"), "8", "Running")}, map[string]sums{"Deployment d": {gpus: 16}, "Pod o": {gpus: 8}}},
		"nor pods of other labels": {
			[]string{deployment, podOf("o", strings.Replace(left("o"), "app: x", "app: y", 1), "8", "Running")}, map[string]sums{"Deployment d": {gpus: 16}, "Pod o": {gpus: 8}}},
		"nor pods that another has": {
			[]string{deployment, podOf("o", strings.Replace(owned("o", "o", "apps/v1", "ReplicaSet", "gone"), "app: x", "app: x, pod-template-hash: h", 1), "8", "Running")}, map[string]sums{"Deployment d": {gpus: 16}, "Pod o": {gpus: 8}}},
		"nor pods of another namespace": {
			[]string{deployment, podOf("o", strings.Replace(left("o"), "namespace: a", "namespace: b", 1), "8", "Running")}, map[string]sums{"Deployment d": {gpus: 16}, "Pod o": {gpus: 8}}},
		"nor pods of another type": {
			[]string{deployment, strings.Replace(podOf("o", left("o"), "8", "Running"), "spec: {", "spec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, ", 1)}, map[string]sums{"Deployment d": {gpus: 16}, "Pod o": {gpus: 8}}},
		"those of one that is scaled down are by themselves": {
			[]string{strings.Replace(deployment, "replicas: 2", "replicas: 0", 1), podOf("o", left("o"), "8", "Running")}, map[string]sums{"Pod o": {gpus: 8}}},
		"so do those whose owner is gone": {[]string{pod("a", "")}, map[string]sums{"Pod a": {gpus: 8}}},
		"adopted pods are their root's": {
			[]string{plain("apps/v1", "ReplicaSet", byItself("rs", "rs"), `replicas: 1, `, "0"), pod("a", "")}, map[string]sums{"ReplicaSet rs": {gpus: 8}}},
		"pods that were given more than their template asks for": {
			[]string{plain("apps/v1", "ReplicaSet", byItself("rs", "rs"), `replicas: 1, `, "1"), pod("a", "")}, map[string]sums{"ReplicaSet rs": {gpus: 8}}},
		"pods that terminate are those that are to come until these are made": {
			[]string{plain("apps/v1", "ReplicaSet", byItself("rs", "rs"), `replicas: 1, `, "8"), pod("a", gone), pod("b", gone)}, map[string]sums{"ReplicaSet rs": {gpus: 16}}},
		"a StatefulSet": {
			[]string{plain("apps/v1", "StatefulSet", byItself("s", "s"), `replicas: 2, `, "8"), podOf("s-0", owned("s-0", "p0", "apps/v1", "StatefulSet", "s"), "8", "Running")},
			map[string]sums{"StatefulSet s": {gpus: 16}}},
		"a partition that keeps earlier, larger pods": {
			[]string{plain("apps/v1", "StatefulSet", byItself("s", "s"), `replicas: 2, `, "0"), podOf("s-0", owned("s-0", "p0", "apps/v1", "StatefulSet", "s"), "8", "Running")},
			map[string]sums{"StatefulSet s": {gpus: 8}}},
		"a StatefulSet's pod in no place of its own counts by itself": {
			[]string{plain("apps/v1", "StatefulSet", byItself("s", "s"), `replicas: 1, `, "8"), podOf("x", owned("x", "p0", "apps/v1", "StatefulSet", "s"), "8", "Running")},
			map[string]sums{"StatefulSet s": {gpus: 8}, "Pod x": {gpus: 8}}},
		"pods of a DaemonSet count by themselves, and it does not": {
			[]string{plain("apps/v1", "DaemonSet", byItself("ds", "ds"), ``, "8"), podOf("node", owned("node", "p0", "apps/v1", "DaemonSet", "ds"), "8", "Running")},
			map[string]sums{"Pod node": {gpus: 8}}},
		"a Job":                             {[]string{job(`parallelism: 3, `, ``)}, map[string]sums{"Job j": {gpus: 24}}},
		"a suspended Job with pods still":   {[]string{job(`parallelism: 3, suspend: true, `, ``), jobPod("Running")}, map[string]sums{"Job j": {gpus: 8}}},
		"a finished Job":                    {[]string{job(`parallelism: 3, `, `conditions: [{type: Complete, status: "True"}]`), jobPod("Succeeded")}, map[string]sums{}},
		"a finished Job with pods still":    {[]string{job(`parallelism: 3, `, `conditions: [{type: FailureTarget, status: "True"}]`), jobPod("Running")}, map[string]sums{"Job j": {gpus: 8}}},
		"a CronJob counts in its Jobs only": {[]string{`{apiVersion: batch/v1, kind: CronJob, metadata: {name: c, namespace: a, uid: c}, spec: {jobTemplate: {spec: {template: {spec: {containers: [{resources: {limits: {nvidia.com/gpu: 8}}}]}}}}}}`}, map[string]sums{}},
		"a ReplicationController": {
			[]string{strings.Replace(plain("v1", "ReplicationController", byItself("rc", "rc"), `replicas: 1, `, "8"), "{matchLabels: {app: x}}", "{app: x}", 1),
				podOf("a", owned("a", "p", "v1", "ReplicationController", "rc"), "8", "Running"), podOf("b", owned("b", "q", "v1", "ReplicationController", "rc"), "8", "Pending")},
			map[string]sums{"ReplicationController rc": {gpus: 16}}},
		"a deleted Deployment holds what is there still": {
			[]string{strings.Replace(deployment, "metadata: {", "metadata: {"+gone, 1), set("1"), pod("a", "")}, map[string]sums{"Deployment d": {gpus: 8}}},
	} {
		t.Run(name, func(t *testing.T) {
			full := objects(t, test.objects...)
			assert.Equal(t, test.want, counted(All(world(), full)))
			var listed []manifest.Object
			for _, i := range full.All() {
				listed = append(listed, i.Object())
			}
			assert.Equal(t, test.want, counted(All(world(), clustertest.List(t, listed...))), "what is kept of a list")
		})
	}
}

// What Knative's own Deployments and pods hold is their Service's.
func TestPodsOfAService(t *testing.T) {
	service := []string{serviceText, configurationText, revisionText, podsText}
	selected := strings.Replace(podsText, "spec: {replicas: 3,", "spec: {replicas: 3, selector: {matchLabels: {app: x}},", 1)
	set := plain("apps/v1", "ReplicaSet", owned("svc-00002-deployment-1", "rs", "apps/v1", "Deployment", "d2"), `replicas: 3, `, "2")
	pods := func(n int, more string) []string {
		var all []string
		for i := range n {
			name := string(rune('a'+i)) + more[:min(len(more), 1)]
			all = append(all, podOf(name, more+owned(name, "uid-"+name, "apps/v1", "ReplicaSet", "rs"), "2", "Running"))
		}
		return all
	}
	chain := append(service[:3:3], selected, set)
	for name, test := range map[string]struct {
		objects []string
		want    map[string]sums
	}{
		"within its scale":        {append(chain[:5:5], pods(3, "")...), map[string]sums{"Service svc": {gpus: 8}}},
		"terminating ones beside": {append(append(chain[:5:5], pods(4, "")...), pods(1, gone)...), map[string]sums{"Service svc": {8, 2}}},
		"more than a rollout has": {append(append(chain[:5:5], pods(4, "")...), pods(5, gone)...), map[string]sums{"Service svc": {14, 4}}},
		"pods that were given more GPUs than they asked for": {
			append(chain[:5:5], strings.ReplaceAll(strings.Join(pods(1, ""), ""), "gpu: 2", "gpu: 16")), map[string]sums{"Service svc": {12, 4}}},
		"of a Deployment of a name of its own": {
			append(service[:3:3], strings.Replace(selected, "name: svc-00002-deployment", "name: mine", 1), set), map[string]sums{"Service svc": {gpus: 8}, "Deployment mine": {gpus: 6}}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, counted(All(world(), objects(t, test.objects...))))
		})
	}
}
