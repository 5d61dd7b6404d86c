package workload_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

func readAs(t testing.TB, text string) manifest.Object {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err, text)
	o, err := manifest.Decode(raw)
	require.NoError(t, err, text)
	return o
}

var builtIn = workload.GPUResources(workload.BuiltInGPUResources)

// eight is a pod's specification with 8 GPUs.
const eight = `{containers: [{resources: {limits: {nvidia.com/gpu: 8}}}]}`

// measured is what a usage says of the number of pods and GPUs.
type measured struct {
	pods, perPod, claim int64
	parts               int
	at, pod             string
}

func TestUsageOfEachKindByItself(t *testing.T) {
	apps := func(kind, spec string) string {
		return `{apiVersion: apps/v1, kind: ` + kind + `, spec: {` + spec + ` template: {spec: ` + eight + `}}}`
	}
	job := func(spec, status string) string {
		return `{apiVersion: batch/v1, kind: Job, spec: {` + spec + ` template: {spec: ` + eight + `}}, status: {` + status + `}}`
	}
	pod := func(metadata, status string) string {
		return `{apiVersion: v1, kind: Pod, metadata: {` + metadata + `}, spec: ` + eight + `, status: {` + status + `}}`
	}
	of := func(pods int64, at string) measured {
		m := measured{pods: pods, perPod: 8, claim: 8 * pods, at: at, pod: "spec.template.spec"}
		if pods > 0 {
			m.parts = 1
		}
		return m
	}
	ofPod := func(pods int64) measured { m := of(pods, "spec"); m.pod = "spec"; return m }
	const cronJob = "spec.jobTemplate.spec."
	for name, test := range map[string]struct {
		object string
		want   measured
	}{
		"a pod is one":                            {pod(``, `phase: Running`), ofPod(1)},
		"a pod that nobody has seen yet":          {pod(``, ``), ofPod(1)},
		"a pod that terminates is still one":      {pod(`deletionTimestamp: "2026-01-01T00:00:00Z"`, `phase: Running`), ofPod(1)},
		"a pod that succeeded is none":            {pod(``, `phase: Succeeded`), ofPod(0)},
		"a pod that failed is none":               {pod(``, `phase: Failed`), ofPod(0)},
		"a replica set has as many as it asks":    {apps("ReplicaSet", `replicas: 3,`), of(3, "spec.replicas")},
		"a replica set has one by default":        {apps("ReplicaSet", ``), of(1, "spec.replicas")},
		"a replica set at zero":                   {apps("ReplicaSet", `replicas: 0,`), of(0, "spec.replicas")},
		"a replication controller":                {strings.Replace(apps("ReplicationController", `replicas: 2,`), "apps/v1", "v1", 1), of(2, "spec.replicas")},
		"a stateful set":                          {apps("StatefulSet", `replicas: 5, ordinals: {start: 3},`), of(5, "spec.replicas")},
		"a deployment":                            {apps("Deployment", `replicas: 4,`), of(4, "spec.replicas")},
		"a deployment in deletion asks for none":  {`{apiVersion: apps/v1, kind: Deployment, metadata: {deletionTimestamp: x}, spec: {replicas: 4, template: {spec: ` + eight + `}}}`, of(0, "spec.replicas")},
		"a job has one pod by default":            {job(``, ``), of(1, "spec.parallelism")},
		"a job has its parallelism":               {job(`parallelism: 4, completions: 9,`, ``), of(4, "spec.parallelism")},
		"a job has what is still to complete":     {job(`parallelism: 4, completions: 9,`, `succeeded: 7`), of(2, "spec.parallelism")},
		"a job that completed all":                {job(`parallelism: 4, completions: 9,`, `succeeded: 9`), of(0, "spec.parallelism")},
		"a work queue has its parallelism":        {job(`parallelism: 4,`, `succeeded: 3`), of(4, "spec.parallelism")},
		"a suspended job":                         {job(`parallelism: 4, suspend: true,`, ``), of(0, "spec.parallelism")},
		"a job of another controller":             {job(`parallelism: 4, managedBy: kueue.x-k8s.io/multikueue,`, ``), of(0, "spec.parallelism")},
		"a job of the job controller by name":     {job(`parallelism: 4, managedBy: kubernetes.io/job-controller,`, ``), of(4, "spec.parallelism")},
		"a complete job":                          {job(`parallelism: 4,`, `conditions: [{type: Complete, status: "True"}]`), of(0, "spec.parallelism")},
		"a job that is about to be complete":      {job(`parallelism: 4,`, `conditions: [{type: SuccessCriteriaMet, status: "True"}]`), of(0, "spec.parallelism")},
		"a job that is about to fail":             {job(`parallelism: 4,`, `conditions: [{type: FailureTarget, status: "True"}]`), of(0, "spec.parallelism")},
		"a job with a condition that is not true": {job(`parallelism: 4,`, `conditions: [{type: Failed, status: "False"}]`), of(4, "spec.parallelism")},
		"a negative success adds nothing":         {job(`parallelism: 4, completions: 2,`, `succeeded: -7`), of(2, "spec.parallelism")},
		"what is no number of pods is unbounded": {job(`parallelism: many,`, ``),
			measured{pods: workload.Unbounded, perPod: 8, claim: workload.Unbounded, parts: 1, at: "spec.parallelism", pod: "spec.template.spec"}},
		"a cron job is bounded by one job, and claims nothing": {
			`{apiVersion: batch/v1, kind: CronJob, spec: {jobTemplate: {spec: {parallelism: 3, template: {spec: ` + eight + `}}}}}`,
			measured{pods: 3, perPod: 8, claim: 24, at: cronJob + "parallelism", pod: cronJob + "template.spec"}},
		"a daemon set is bounded by a pod on each node, and claims nothing": {apps("DaemonSet", ``) + "\n",
			measured{pods: 1, perPod: 8, claim: 8, at: "spec.template.spec", pod: "spec.template.spec"}},
		"a daemon set with the nodes that were seen": {
			`{apiVersion: apps/v1, kind: DaemonSet, spec: {template: {spec: ` + eight + `}}, status: {desiredNumberScheduled: 6}}`,
			measured{pods: 6, perPod: 8, claim: 48, at: "spec.template.spec", pod: "spec.template.spec"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := readAs(t, test.object)
			kind, ok := workload.KindFor(workload.KindOf(o))
			require.True(t, ok)
			u := kind.Usage(o, builtIn)
			assert.True(t, u.Fixed)
			assert.Equal(t, test.want, measured{u.PeakPods, u.GPUs.PerPod, u.Claim, len(u.Parts), u.PeakPath().String(), u.PodPath().String()})
		})
	}
}

// held are the claim and the overlap of a Deployment, with their types.
type held struct {
	claim, overlap int64
	types          string
}

func TestUsageOfADeploymentWithWhatItControls(t *testing.T) {
	l4 := `{nodeSelector: {nvidia.com/gpu.product: L4}, ` + eight[1:]
	a100 := `{nodeSelector: {nvidia.com/gpu.product: A100}, ` + eight[1:]
	none := `{containers: [{}]}`
	deployment := func(spec, pod string) string {
		return `{apiVersion: apps/v1, kind: Deployment, spec: {` + spec + ` template: {spec: ` + pod + `}}}`
	}
	rs := func(replicas, pod string) string {
		return `{apiVersion: apps/v1, kind: ReplicaSet, spec: {replicas: ` + replicas + `, template: {spec: ` + pod + `}}}`
	}
	pods := func(n int, metadata string) []string {
		var all []string
		for range n {
			all = append(all, `{apiVersion: v1, kind: Pod, metadata: {`+metadata+`}, spec: `+eight+`}`)
		}
		return all
	}
	const gone = `deletionTimestamp: "2026-01-01T00:00:00Z"`
	for name, test := range map[string]struct {
		deployment  string
		replicaSets []string
		pods        []string
		autoscaled  int64
		want        held
	}{
		"its template": {deployment(`replicas: 3,`, eight), nil, nil, 0, held{claim: 24}},
		"a template without GPUs releases nothing while an earlier ReplicaSet has pods": {
			deployment(`replicas: 1,`, none), []string{rs("1", eight), rs("0", none)}, pods(1, ``), 0, held{claim: 8}},
		"replicas of such a Deployment may all be the earlier ReplicaSet's": {
			deployment(`replicas: 10,`, none), []string{rs("1", eight)}, nil, 0, held{claim: 80}},
		"a paused Deployment may scale an earlier ReplicaSet from zero": {
			deployment(`replicas: 10, paused: true,`, none), []string{rs("0", eight)}, nil, 0, held{claim: 80}},
		"one that is not paused scales its template's": {
			deployment(`replicas: 10,`, none), []string{rs("0", eight)}, nil, 0, held{}},
		"as many pods as an autoscaler may ask for":   {deployment(`replicas: 2,`, eight), nil, nil, 5, held{claim: 40}},
		"an autoscaler with fewer than there are":     {deployment(`replicas: 2,`, eight), nil, nil, 1, held{claim: 16}},
		"pods of a rollout beside the claim overlap":  {deployment(`replicas: 4,`, eight), []string{rs("2", eight), rs("3", eight)}, pods(5, ``), 0, held{32, 8, ""}},
		"terminating ones too, up to maxUnavailable":  {deployment(`replicas: 4,`, eight), []string{rs("4", eight)}, append(pods(4, ``), pods(2, gone)...), 0, held{32, 16, ""}},
		"more than a rollout can have is claimed":     {deployment(`replicas: 4,`, eight), []string{rs("4", eight)}, append(pods(4, ``), pods(9, gone)...), 0, held{88, 16, ""}},
		"Recreate has no overlap":                     {deployment(`replicas: 4, strategy: {type: Recreate},`, eight), []string{rs("4", eight)}, append(pods(4, ``), pods(2, gone)...), 0, held{48, 0, ""}},
		"a ReplicaSet that was scaled by hand counts": {deployment(`replicas: 1, strategy: {type: Recreate},`, eight), []string{rs("9", eight)}, nil, 0, held{claim: 72}},
		"what a deleted Deployment leaves": {`{apiVersion: apps/v1, kind: Deployment, metadata: {` + gone + `}, spec: {replicas: 9, template: {spec: ` + eight + `}}}`,
			[]string{rs("2", eight)}, pods(3, gone), 0, held{claim: 24}},
		"all of one type":             {deployment(`replicas: 1,`, l4), []string{rs("1", l4)}, nil, 0, held{8, 0, "L4"}},
		"of two types counts for all": {deployment(`replicas: 1,`, l4), []string{rs("1", a100)}, nil, 0, held{claim: 8}},
	} {
		t.Run(name, func(t *testing.T) {
			c := workload.Controlled{Autoscaled: test.autoscaled}
			for _, text := range test.replicaSets {
				c.ReplicaSets = append(c.ReplicaSets, readAs(t, text))
			}
			for _, text := range test.pods {
				c.Pods.Add(readAs(t, text), builtIn)
			}
			u := workload.DeploymentUsage(readAs(t, test.deployment), c, builtIn)
			var got held
			for _, p := range u.Parts {
				got.claim, got.types = got.claim+p.GPUs, got.types+p.Type
			}
			for _, p := range u.Overlap {
				got.overlap += p.GPUs
			}
			assert.Equal(t, u.Claim, got.claim)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestPodsOfARollout(t *testing.T) {
	for name, test := range map[string]struct {
		strategy string
		peak     int64
		want     int64
	}{
		"a quarter up and a quarter down by default": {`{}`, 10, 3 + 2},
		"of one pod":                         {`{}`, 1, 1},
		"of none":                            {`{rollingUpdate: {maxSurge: 5}}`, 0, 0},
		"both at zero are one":               {`{rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}`, 10, 1},
		"percentages of zero are one":        {`{rollingUpdate: {maxSurge: "0%", maxUnavailable: "5%"}}`, 10, 1},
		"numbers":                            {`{rollingUpdate: {maxSurge: 4, maxUnavailable: 1}}`, 10, 5},
		"percentages":                        {`{rollingUpdate: {maxSurge: "11%", maxUnavailable: "19%"}}`, 10, 2 + 1},
		"no more than there are pods":        {`{rollingUpdate: {maxSurge: "1000%", maxUnavailable: 50}}`, 3, 6},
		"one that is recreated has none":     {`{type: Recreate}`, 10, 0},
		"what cannot be read is all of them": {`{rollingUpdate: {maxSurge: many, maxUnavailable: 0}}`, 10, 10},
	} {
		t.Run(name, func(t *testing.T) {
			deployment := readAs(t, `{apiVersion: apps/v1, kind: Deployment, spec: {strategy: `+test.strategy+`}}`)
			assert.Equal(t, test.want, workload.RolloutPods(deployment, test.peak))
		})
	}
}

func TestHoldingPods(t *testing.T) {
	const gone = `deletionTimestamp: "2026-01-01T00:00:00Z"`
	pod := func(metadata, gpus string) string {
		return `{apiVersion: v1, kind: Pod, metadata: {` + metadata + `}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: ` + gpus + `}}}]}}`
	}
	replica := func(name string) string {
		return `name: ` + name + `, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: whatever, uid: u, controller: true}], `
	}
	ended := `{apiVersion: v1, kind: Pod, spec: ` + eight + `, status: {phase: Succeeded}}`
	object := func(version, kind, spec string) string {
		return `{apiVersion: ` + version + `, kind: ` + kind + `, spec: {` + spec + ` template: {spec: ` + eight + `}}}`
	}
	for name, test := range map[string]struct {
		object        string
		pods          []string
		want, counted int64
	}{
		"a ReplicaSet holds its peak":                             {object("apps/v1", "ReplicaSet", `replicas: 2,`), []string{pod(``, "8")}, 16, 16},
		"or its pods, where these are more":                       {object("apps/v1", "ReplicaSet", `replicas: 0,`), []string{pod(``, "8"), pod(``, "1")}, 9, 9},
		"pods that ended hold nothing":                            {object("apps/v1", "ReplicaSet", `replicas: 0,`), []string{ended}, 0, 0},
		"new pods run beside terminating ones":                    {object("apps/v1", "ReplicaSet", `replicas: 2,`), []string{pod(``, "8"), pod(gone, "8"), pod(gone, "8")}, 32, 24},
		"further ones run beside those of an earlier, larger one": {object("apps/v1", "ReplicaSet", `replicas: 4,`), []string{pod(``, "16"), pod(``, "16"), pod(gone, "16")}, 64, 48},
		"which may be more than it is to have":                    {object("apps/v1", "ReplicaSet", `replicas: 1,`), []string{pod(``, "16"), pod(``, "16")}, 32, 32},
		"or smaller ones, which it may replace":                   {object("apps/v1", "ReplicaSet", `replicas: 2,`), []string{pod(``, "1"), pod(``, "1")}, 16, 16},
		"those of a Job that adopted larger ones, too":            {object("batch/v1", "Job", `parallelism: 3, podReplacementPolicy: Failed,`), []string{pod(``, "16"), pod(gone, "16")}, 40, 32},
		"those of a StatefulSet wait":                             {object("apps/v1", "StatefulSet", `replicas: 2,`), []string{pod(``, "8"), pod(gone, "8")}, 16, 16},
		"a StatefulSet may make more of an earlier, larger one":   {object("apps/v1", "StatefulSet", `replicas: 3,`), []string{pod(``, "16")}, 48, 24},
		"it makes those of other ordinals beside the ones that it had": {object("apps/v1", "StatefulSet", `replicas: 2, ordinals: {start: 5},`),
			[]string{pod(replica("s-0"), "8"), pod(replica("s-1")+gone, "8"), pod(replica("s-5"), "8")}, 32, 24},
		"and those that it is to have beside those that it is not": {object("apps/v1", "StatefulSet", `replicas: 1,`), []string{pod(replica("s-0"), "8"), pod(replica("s-1"), "8")}, 16, 16},
		"those of a Job run beside terminating ones":               {object("batch/v1", "Job", `parallelism: 2,`), []string{pod(gone, "8")}, 24, 16},
		"unless it waits until they have failed":                   {object("batch/v1", "Job", `parallelism: 2, podReplacementPolicy: Failed,`), []string{pod(gone, "8")}, 16, 16},
		"a suspended Job holds the pods that it has":               {object("batch/v1", "Job", `parallelism: 2, suspend: true,`), []string{pod(gone, "8")}, 8, 8},
		"so does one of another controller that somebody gave one": {object("batch/v1", "Job", `managedBy: x/y,`), []string{pod(``, "8")}, 8, 8},
	} {
		t.Run(name, func(t *testing.T) {
			o := readAs(t, test.object)
			var pods []manifest.Object
			for _, text := range test.pods {
				pods = append(pods, readAs(t, text))
			}
			kind, _ := workload.KindFor(workload.KindOf(o))
			u := kind.Usage(o, builtIn)
			u.Expect(o, workload.HeldBy(pods, builtIn))
			assert.Equal(t, test.want, u.Claim)
			counted := kind.Usage(o, builtIn)
			counted.Hold(workload.HeldBy(pods, builtIn))
			assert.Equal(t, test.counted, counted.Claim, "what there is")
		})
	}
}

func TestWhatAnAutoscalerScales(t *testing.T) {
	target := func(kind schema.GroupKind, name string) workload.Target {
		return workload.Target{GroupKind: kind, Name: name}
	}
	for name, test := range map[string]struct {
		spec     string
		replicas int64
		want     workload.Target
		peak     int64
	}{
		"a Deployment":                {`{scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}, maxReplicas: 7}`, 1, target(workload.DeploymentKind, "d"), 7},
		"in whatever version":         {`{scaleTargetRef: {apiVersion: apps/v9, kind: StatefulSet, name: s}, minReplicas: 2, maxReplicas: 3}`, 1, target(workload.StatefulSetKind, "s"), 3},
		"minReplicas above its limit": {`{scaleTargetRef: {apiVersion: v1, kind: ReplicationController, name: r}, minReplicas: 9, maxReplicas: 3}`, 1, target(workload.ReplicationControllerKind, "r"), 9},
		"without a limit":             {`{scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}}`, 1, target(workload.DeploymentKind, "d"), workload.Unbounded},
		"one at zero is left alone":   {`{scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}, maxReplicas: 7}`, 0, target(workload.DeploymentKind, "d"), 0},
		"or woken, from zero":         {`{scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}, minReplicas: 0, maxReplicas: 7}`, 0, target(workload.DeploymentKind, "d"), 7},
	} {
		t.Run(name, func(t *testing.T) {
			autoscaler := readAs(t, `{spec: `+test.spec+`}`)
			assert.Equal(t, test.want, workload.AutoscalerTarget(autoscaler))
			assert.Equal(t, test.peak, workload.AutoscalerPeak(autoscaler, test.replicas))
		})
	}
}

func TestDevicesThatALimitRangeGives(t *testing.T) {
	for name, test := range map[string]struct {
		limits string
		want   []string
	}{
		"nothing of CPUs":                   {`[{type: Container, default: {cpu: 1, memory: 1Gi}}]`, nil},
		"by default":                        {`[{type: Pod}, {type: Container, default: {nvidia.com/gpu: 8, cpu: 1}}]`, []string{`spec.limits[1].default[nvidia.com/gpu]`}},
		"by default requests":               {`[{type: Container, defaultRequest: {nvidia.com/gpu: "1"}}]`, []string{`spec.limits[0].defaultRequest[nvidia.com/gpu]`}},
		"by a maximum, which is a default":  {`[{type: Container, max: {nvidia.com/gpu: 1, amd.com/gpu: 2}}]`, []string{`spec.limits[0].max[amd.com/gpu]`, `spec.limits[0].max[nvidia.com/gpu]`}},
		"by a minimum, which is a default":  {`[{type: Container, min: {nvidia.com/gpu: 1}}]`, []string{`spec.limits[0].min[nvidia.com/gpu]`}},
		"by a class of devices":             {`[{type: Container, default: {deviceclass.resource.kubernetes.io/gpu.nvidia.com: 1}}]`, []string{`spec.limits[0].default[deviceclass.resource.kubernetes.io/gpu.nvidia.com]`}},
		"limits of pods are no defaults":    {`[{type: Pod, max: {nvidia.com/gpu: 8}}]`, nil},
		"zero is none":                      {`[{type: Container, max: {nvidia.com/gpu: 0}, default: {nvidia.com/gpu: "0"}}]`, nil},
		"what is Kubernetes' own is none":   {`[{type: Container, default: {kubernetes.io/batch-cpu: 1, hugepages-2Mi: 1}}]`, nil},
		"what cannot be read is not hidden": {`[{type: Container, default: {nvidia.com/gpu: many}}]`, []string{`spec.limits[0].default[nvidia.com/gpu]`}},
	} {
		t.Run(name, func(t *testing.T) {
			var fields []string
			for _, e := range workload.DefaultedDevices(readAs(t, `{spec: {limits: `+test.limits+`}}`)) {
				fields = append(fields, e.Field)
			}
			assert.Equal(t, test.want, fields)
		})
	}
}

// The controller of HorizontalPodAutoscalers takes the kind of a target in lower case too, and in no other case.
func TestTheKindOfATargetMayBeInLowerCase(t *testing.T) {
	of := func(apiVersion, kind string) workload.Target {
		return workload.AutoscalerTarget(manifest.Object{"spec": manifest.Object{"scaleTargetRef": manifest.Object{"apiVersion": apiVersion, "kind": kind, "name": "a"}}})
	}
	assert.Equal(t, workload.Target{GroupKind: workload.DeploymentKind, Name: "a"}, of("apps/v1", "deployment"))
	assert.Equal(t, workload.Target{GroupKind: workload.ReplicationControllerKind, Name: "a"}, of("v1", "replicationcontroller"))
	assert.Equal(t, "LeaderWorkerSet", of("leaderworkerset.x-k8s.io/v1", "leaderworkerset").Kind)
	assert.Equal(t, "DEPLOYMENT", of("apps/v1", "DEPLOYMENT").Kind)
}
