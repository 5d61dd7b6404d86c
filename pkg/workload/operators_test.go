package workload_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/workload"
)

const (
	twoGPUs  = `{spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}}`
	oneGPU   = `{spec: {containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}}`
	noGPU    = `{spec: {containers: [{resources: {limits: {cpu: 1}}}]}}`
	oneH100  = `{spec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-H100-NVL}, containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}}`
	oneL4    = `{spec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}}`
	unproper = `{spec: {containers: [{resources: {limits: {nvidia.com/gpu: 500m, acme.com/gpu: 1, google.com/tpu: 4}}}]}}`
)

func operatorUsage(t *testing.T, kind schema.GroupKind, object string) workload.Usage {
	t.Helper()
	row, ok := workload.BuiltInOperators().For(kind)
	require.True(t, ok, kind.String())
	return workload.OperatorUsage(read(object), row, workload.BuiltInGPUResources)
}

func TestUsageOfOperatorsKinds(t *testing.T) {
	for name, test := range map[string]struct {
		group, kind, object string
		claim, perPod, pods int64
		asks                string
	}{
		"a JobSet is replicas x parallelism": {"jobset.x-k8s.io", "JobSet", `{spec: {replicatedJobs: [{name: a, replicas: 4, template: {spec: {parallelism: 8, template: ` + twoGPUs + `}}}, {name: b, template: {spec: {template: ` + noGPU + `}}}]}}`,
			64, 2, 33, "64 GPUs (2 x 32 pods)"},
		"of no more pods than complete":        {"jobset.x-k8s.io", "JobSet", `{spec: {replicatedJobs: [{replicas: 2, template: {spec: {parallelism: 8, completions: 3, template: ` + oneGPU + `}}}]}}`, 6, 1, 6, "6 GPUs (1 x 6 pods)"},
		"none while it is suspended":           {"jobset.x-k8s.io", "JobSet", `{spec: {suspend: true, replicatedJobs: [{replicas: 2, template: {spec: {template: ` + oneGPU + `}}}]}}`, 0, 1, 0, "0 GPUs (1 x 0 pods)"},
		"a number that is none":                {"jobset.x-k8s.io", "JobSet", `{spec: {replicatedJobs: [{replicas: -1, template: {spec: {template: ` + oneGPU + `}}}]}}`, workload.Unbounded, 1, workload.Unbounded, "unbounded GPUs (1 x unbounded pods)"},
		"a group of one leader":                {"leaderworkerset.x-k8s.io", "LeaderWorkerSet", `{spec: {replicas: 3, leaderWorkerTemplate: {size: 4, leaderTemplate: ` + oneGPU + `, workerTemplate: ` + twoGPUs + `}}}`, 3*1 + 3*3*2, 2, 12, "21 GPUs (1 x 3 pods + 2 x 9 pods)"},
		"whose leader is a worker":             {"leaderworkerset.x-k8s.io", "LeaderWorkerSet", `{spec: {leaderWorkerTemplate: {size: 4, workerTemplate: ` + twoGPUs + `}}}`, 8, 2, 4, "8 GPUs (2 x 4 pods)"},
		"of one pod":                           {"leaderworkerset.x-k8s.io", "LeaderWorkerSet", `{spec: {leaderWorkerTemplate: {leaderTemplate: ` + oneGPU + `, workerTemplate: ` + twoGPUs + `}}}`, 1, 2, 1, "1 GPU (1 x 1 pod)"},
		"a RayCluster with its head":           {"ray.io", "RayCluster", `{spec: {headGroupSpec: {template: ` + oneGPU + `}, workerGroupSpecs: [{replicas: 3, maxReplicas: 10, numOfHosts: 2, template: ` + twoGPUs + `}]}}`, 1 + 12, 2, 7, "13 GPUs (1 x 1 pod + 2 x 6 pods)"},
		"whose autoscaler is on":               {"ray.io", "RayCluster", `{spec: {enableInTreeAutoscaling: true, headGroupSpec: {template: ` + noGPU + `}, workerGroupSpecs: [{replicas: 3, maxReplicas: 10, template: ` + oneGPU + `}]}}`, 10, 1, 11, "10 GPUs (1 x 10 pods)"},
		"and has no maximum":                   {"ray.io", "RayCluster", `{spec: {enableInTreeAutoscaling: true, workerGroupSpecs: [{replicas: 3, template: ` + oneGPU + `}]}}`, 2147483647, 1, 2147483647, "2147483647 GPUs (1 x 2147483647 pods)"},
		"with fewer than its minimum":          {"ray.io", "RayCluster", `{spec: {workerGroupSpecs: [{minReplicas: 2, template: ` + oneGPU + `}]}}`, 2, 1, 2, "2 GPUs (1 x 2 pods)"},
		"with a group that is suspended":       {"ray.io", "RayCluster", `{spec: {workerGroupSpecs: [{replicas: 2, suspend: true, template: ` + oneGPU + `}, {replicas: 3, template: ` + oneGPU + `}]}}`, 3, 1, 3, "3 GPUs (1 x 3 pods)"},
		"one that another cluster has":         {"jobset.x-k8s.io", "JobSet", `{spec: {managedBy: kueue.x-k8s.io/multikueue, replicatedJobs: [{replicas: 2, template: {spec: {template: ` + oneGPU + `}}}]}}`, 0, 1, 0, "0 GPUs (1 x 0 pods)"},
		"one that names its own operator":      {"jobset.x-k8s.io", "JobSet", `{spec: {managedBy: jobset.sigs.k8s.io/jobset-controller, replicatedJobs: [{replicas: 2, template: {spec: {template: ` + oneGPU + `}}}]}}`, 2, 1, 2, "2 GPUs (1 x 2 pods)"},
		"a training that another cluster has":  {"kubeflow.org", "TFJob", `{spec: {runPolicy: {managedBy: kueue.x-k8s.io/multikueue}, tfReplicaSpecs: {Worker: {replicas: 4, template: ` + twoGPUs + `}}}}`, 0, 2, 0, "0 GPUs (2 x 0 pods)"},
		"a RayJob":                             {"ray.io", "RayJob", `{spec: {rayClusterSpec: {headGroupSpec: {template: ` + noGPU + `}, workerGroupSpecs: [{replicas: 4, template: ` + oneGPU + `}]}}}`, 4, 1, 5, "4 GPUs (1 x 4 pods)"},
		"a RayService":                         {"ray.io", "RayService", `{spec: {rayClusterConfig: {headGroupSpec: {template: ` + noGPU + `}, workerGroupSpecs: [{replicas: 4, template: ` + oneGPU + `}]}}}`, 4, 1, 5, "4 GPUs (1 x 4 pods)"},
		"a PyTorchJob":                         {"kubeflow.org", "PyTorchJob", `{spec: {pytorchReplicaSpecs: {Master: {template: ` + oneGPU + `}, Worker: {replicas: 7, template: ` + oneGPU + `}}}}`, 8, 1, 8, "8 GPUs (1 x 1 pod + 1 x 7 pods)"},
		"one that is elastic":                  {"kubeflow.org", "PyTorchJob", `{spec: {elasticPolicy: {minReplicas: 1, maxReplicas: 16}, pytorchReplicaSpecs: {Worker: {replicas: 4, template: ` + oneGPU + `}}}}`, 16, 1, 16, "16 GPUs (1 x 16 pods)"},
		"one that is elastic, with a master":   {"kubeflow.org", "PyTorchJob", `{spec: {elasticPolicy: {maxReplicas: 8}, pytorchReplicaSpecs: {Master: {template: ` + oneGPU + `}, Worker: {replicas: 4, template: ` + oneGPU + `}}}}`, 9, 1, 9, "9 GPUs (1 x 1 pod + 1 x 8 pods)"},
		"an elastic PaddleJob, with a master":  {"kubeflow.org", "PaddleJob", `{spec: {elasticPolicy: {maxReplicas: 8}, paddleReplicaSpecs: {Master: {replicas: 2, template: ` + twoGPUs + `}, Worker: {replicas: 9, template: ` + oneGPU + `}}}}`, 13, 2, 11, "13 GPUs (2 x 2 pods + 1 x 9 pods)"},
		"one that is suspended":                {"kubeflow.org", "PyTorchJob", `{spec: {runPolicy: {suspend: true}, pytorchReplicaSpecs: {Worker: {replicas: 4, template: ` + oneGPU + `}}}}`, 0, 1, 0, "0 GPUs (1 x 0 pods)"},
		"a TFJob":                              {"kubeflow.org", "TFJob", `{spec: {tfReplicaSpecs: {PS: {replicas: 2, template: ` + noGPU + `}, Worker: {replicas: 4, template: ` + twoGPUs + `}}}}`, 8, 2, 6, "8 GPUs (2 x 4 pods)"},
		"an XGBoostJob":                        {"kubeflow.org", "XGBoostJob", `{spec: {xgbReplicaSpecs: {Worker: {replicas: 4, template: ` + oneGPU + `}}}}`, 4, 1, 4, "4 GPUs (1 x 4 pods)"},
		"a PaddleJob":                          {"kubeflow.org", "PaddleJob", `{spec: {paddleReplicaSpecs: {Worker: {replicas: 4, template: ` + oneGPU + `}}}}`, 4, 1, 4, "4 GPUs (1 x 4 pods)"},
		"an MXJob":                             {"kubeflow.org", "MXJob", `{spec: {mxReplicaSpecs: {Worker: {replicas: 4, template: ` + oneGPU + `}}}}`, 4, 1, 4, "4 GPUs (1 x 4 pods)"},
		"a JAXJob":                             {"kubeflow.org", "JAXJob", `{spec: {jaxReplicaSpecs: {Worker: {replicas: 4, template: ` + oneGPU + `}}}}`, 4, 1, 4, "4 GPUs (1 x 4 pods)"},
		"an MPIJob":                            {"kubeflow.org", "MPIJob", `{spec: {mpiReplicaSpecs: {Launcher: {template: ` + noGPU + `}, Worker: {replicas: 4, template: ` + twoGPUs + `}}}}`, 8, 2, 5, "8 GPUs (2 x 4 pods)"},
		"a SparkApplication":                   {"sparkoperator.k8s.io", "SparkApplication", `{spec: {driver: {cores: 1}, executor: {instances: 4, gpu: {name: nvidia.com/gpu, quantity: 2}}}}`, 8, 2, 4, "8 GPUs (2 x 4 pods)"},
		"a schedule of them":                   {"sparkoperator.k8s.io", "ScheduledSparkApplication", `{spec: {template: {driver: {gpu: {name: nvidia.com/gpu, quantity: 1}}, dynamicAllocation: {enabled: true, maxExecutors: 6}, executor: {instances: 4, gpu: {name: nvidia.com/gpu, quantity: 2}}}}}`, 13, 2, 7, "13 GPUs (1 x 1 pod + 2 x 6 pods)"},
		"whose executors come and go":          {"sparkoperator.k8s.io", "SparkApplication", `{spec: {dynamicAllocation: {enabled: true, maxExecutors: 9}, executor: {instances: 4, gpu: {name: nvidia.com/gpu, quantity: 1}}}}`, 9, 1, 9, "9 GPUs (1 x 9 pods)"},
		"a Workflow's largest step":            {"argoproj.io", "Workflow", `{spec: {templates: [{name: a, container: {resources: {limits: {nvidia.com/gpu: 4}}}, sidecars: [{resources: {limits: {nvidia.com/gpu: 1}}}]}, {name: b, script: {resources: {limits: {nvidia.com/gpu: 2}}}}, {name: dag, dag: {}}]}}`, 7, 5, 2, "7 GPUs (5 x 1 pod + 2 x 1 pod)"},
		"containers of one step's pod":         {"argoproj.io", "Workflow", `{spec: {templates: [{containerSet: {containers: [{resources: {limits: {nvidia.com/gpu: 4}}}, {resources: {limits: {nvidia.com/gpu: 1}}}]}}]}}`, 5, 5, 1, "5 GPUs (5 x 1 pod)"},
		"a CronWorkflow":                       {"argoproj.io", "CronWorkflow", `{spec: {workflowSpec: {templates: [{container: {resources: {limits: {nvidia.com/gpu: 4}}}}]}}}`, 4, 4, 1, "4 GPUs (4 x 1 pod)"},
		"a Rollout":                            {"argoproj.io", "Rollout", `{spec: {replicas: 3, template: ` + twoGPUs + `}}`, 6, 2, 3, "6 GPUs (2 x 3 pods)"},
		"one whose template is a Deployment's": {"argoproj.io", "Rollout", `{spec: {replicas: 3, workloadRef: {name: web}}}`, 0, 0, 0, "0 GPUs (0 x 0 pods)"},
		"an InferenceService": {"serving.kserve.io", "InferenceService", `{spec: {predictor: {maxReplicas: 3, model: {resources: {limits: {nvidia.com/gpu: 2}}}}, transformer: {containers: [{resources: {limits: {nvidia.com/gpu: 1}}}]}}}`,
			7, 2, 7, "7 GPUs (2 x 3 pods + 1 x 1 pod)"},
		"a Job of Volcano":        {"batch.volcano.sh", "Job", `{spec: {tasks: [{replicas: 2, template: ` + twoGPUs + `}, {template: ` + oneGPU + `}]}}`, 5, 2, 3, "5 GPUs (2 x 2 pods + 1 x 1 pod)"},
		"nothing at all":          {"ray.io", "RayCluster", `{}`, 0, 0, 0, "0 GPUs (0 x 0 pods)"},
		"a list that is none":     {"ray.io", "RayCluster", `{spec: {workerGroupSpecs: {a: 1}}}`, 0, 0, 0, "0 GPUs (0 x 0 pods)"},
		"elements that are none":  {"jobset.x-k8s.io", "JobSet", `{spec: {replicatedJobs: [null, 1, {template: null}]}}`, 0, 0, 0, "0 GPUs (0 x 0 pods)"},
		"one that is deleted":     {"batch.volcano.sh", "Job", `{metadata: {deletionTimestamp: "2026-01-01T00:00:00Z"}, spec: {tasks: [{replicas: 2, template: ` + twoGPUs + `}]}}`, 0, 2, 0, "0 GPUs (2 x 0 pods)"},
		"too many to be counted":  {"jobset.x-k8s.io", "JobSet", `{spec: {replicatedJobs: [{replicas: 9000000000000, template: {spec: {parallelism: 9000000000000, template: ` + oneGPU + `}}}]}}`, workload.Unbounded, 1, workload.Unbounded, "unbounded GPUs (1 x unbounded pods)"},
		"all that makes GPU pods": {"leaderworkerset.x-k8s.io", "LeaderWorkerSet", `{spec: {replicas: 0, leaderWorkerTemplate: {size: 4, workerTemplate: ` + twoGPUs + `}}}`, 0, 2, 0, "0 GPUs (2 x 0 pods)"},
	} {
		t.Run(name, func(t *testing.T) {
			d := operatorUsage(t, schema.GroupKind{Group: test.group, Kind: test.kind}, test.object)
			assert.Equal(t, test.claim, d.Claim, "claim")
			assert.Equal(t, test.perPod, d.GPUs.PerPod, "GPUs of the largest pod")
			assert.Equal(t, test.pods, d.PeakPods, "pods")
			assert.Equal(t, test.asks, d.Asks())
			assert.Equal(t, test.claim, workload.Sum(d.Parts))
		})
	}
}

// Each kind's words for an object that has no pods now, and for one that is done with them.
func TestOperatorsKindsThatAreSuspendedOrHaveFinishedClaimNothing(t *testing.T) {
	ray := `headGroupSpec: {template: ` + oneGPU + `}`
	roles := func(list string) string { return list + `: {Worker: {replicas: 2, template: ` + oneGPU + `}}` }
	const suspended, run, done, failed = "suspend: true,", "runPolicy: {suspend: true},", `{conditions: [{type: Succeeded, status: "True"}]}`, `{conditions: [{type: Failed, status: "True"}]}`
	volcano := `tasks: [{template: ` + oneGPU + `}]`
	for kind, c := range map[schema.GroupKind]struct {
		spec string
		// suspends stand before the rest of the spec; statuses say that there are no pods any more.
		suspends, statuses []string
	}{
		{Group: "jobset.x-k8s.io", Kind: "JobSet"}:                         {`replicatedJobs: [{template: {spec: {template: ` + oneGPU + `}}}]`, []string{suspended}, []string{`{conditions: [{type: Completed, status: "True"}]}`, failed}},
		{Group: "ray.io", Kind: "RayCluster"}:                              {ray, []string{suspended}, nil},
		{Group: "ray.io", Kind: "RayJob"}:                                  {"rayClusterSpec: {" + ray + "}", []string{suspended}, []string{"{jobDeploymentStatus: Complete}", "{jobDeploymentStatus: Failed}"}},
		{Group: "ray.io", Kind: "RayService"}:                              {"rayClusterConfig: {" + ray + "}", []string{suspended}, nil},
		{Group: "kubeflow.org", Kind: "PyTorchJob"}:                        {roles("pytorchReplicaSpecs"), []string{run}, []string{done, failed}},
		{Group: "kubeflow.org", Kind: "TFJob"}:                             {roles("tfReplicaSpecs"), []string{run}, []string{done, failed}},
		{Group: "kubeflow.org", Kind: "XGBoostJob"}:                        {roles("xgbReplicaSpecs"), []string{run}, []string{done, failed}},
		{Group: "kubeflow.org", Kind: "PaddleJob"}:                         {roles("paddleReplicaSpecs"), []string{run}, []string{done, failed}},
		{Group: "kubeflow.org", Kind: "MXJob"}:                             {roles("mxReplicaSpecs"), []string{run}, []string{done, failed}},
		{Group: "kubeflow.org", Kind: "JAXJob"}:                            {roles("jaxReplicaSpecs"), []string{run}, []string{done, failed}},
		{Group: "kubeflow.org", Kind: "MPIJob"}:                            {roles("mpiReplicaSpecs"), []string{run}, []string{done, failed}},
		{Group: "sparkoperator.k8s.io", Kind: "SparkApplication"}:          {`executor: {instances: 1, gpu: {name: nvidia.com/gpu, quantity: 1}}`, []string{suspended}, nil},
		{Group: "sparkoperator.k8s.io", Kind: "ScheduledSparkApplication"}: {`template: {executor: {instances: 1, gpu: {name: nvidia.com/gpu, quantity: 1}}}`, []string{suspended}, nil},
		{Group: "argoproj.io", Kind: "Workflow"}:                           {`templates: [{container: {resources: {limits: {nvidia.com/gpu: 1}}}}]`, []string{suspended}, nil},
		{Group: "argoproj.io", Kind: "CronWorkflow"}:                       {`workflowSpec: {templates: [{container: {resources: {limits: {nvidia.com/gpu: 1}}}}]}`, []string{suspended}, nil},
		{Group: "batch.volcano.sh", Kind: "Job"}:                           {volcano, nil, []string{"{state: {phase: Completed}}", "{state: {phase: Failed}}", "{state: {phase: Terminated}}"}},
	} {
		t.Run(kind.Kind, func(t *testing.T) {
			claim := func(suspend, status string) int64 {
				return operatorUsage(t, kind, "{spec: {"+suspend+c.spec+"}, status: "+status+"}").Claim
			}
			require.Positive(t, claim("", "{}"))
			assert.Positive(t, claim("", `{conditions: [{type: Running, status: "True"}], jobDeploymentStatus: Running, state: {phase: Running}}`))
			for _, suspend := range c.suspends {
				assert.Zero(t, claim(suspend, "{}"), suspend)
			}
			for _, status := range c.statuses {
				assert.Zero(t, claim("", status), status)
			}
		})
	}
	assert.Zero(t, operatorUsage(t, schema.GroupKind{Group: "ray.io", Kind: "RayService"}, "{spec: {rayClusterConfig: {suspend: true, "+ray+"}}}").Claim)
}

func TestOperatorsKindsNameTheirPlaces(t *testing.T) {
	d := operatorUsage(t, schema.GroupKind{Group: "jobset.x-k8s.io", Kind: "JobSet"}, `{spec: {replicatedJobs: [{replicas: 2, template: {spec: {template: `+noGPU+`}}}, {replicas: 3, template: {spec: {template: `+unproper+`}}}]}}`)
	const at = "spec.replicatedJobs[1].template.spec.template.spec.containers[0].resources.limits"
	assert.Equal(t, []string{at + `[nvidia.com/gpu]: Invalid value: "500m": must be a whole number of GPUs from 0 to 2147483647`}, texts(d.GPUs.Malformed))
	require.Len(t, d.GPUs.Unknown, 1)
	assert.Equal(t, at+"[acme.com/gpu]", d.GPUs.Unknown[0].Field)
	require.Len(t, d.GPUs.Unlisted, 1)
	assert.Equal(t, at+"[google.com/tpu]", d.GPUs.Unlisted[0].Field)
	assert.Equal(t, "spec.replicatedJobs[1].replicas", d.PeakPath().String(), "the number of the pods with GPUs")
	swapped := operatorUsage(t, schema.GroupKind{Group: "jobset.x-k8s.io", Kind: "JobSet"}, `{spec: {replicatedJobs: [{replicas: 2, template: {spec: {template: `+unproper+`}}}]}}`)
	assert.False(t, d.GPUs.SameRequests(swapped.GPUs), "the same words elsewhere")
	assert.True(t, d.GPUs.SameRequests(d.GPUs))
	roles := operatorUsage(t, schema.GroupKind{Group: "kubeflow.org", Kind: "PyTorchJob"}, `{spec: {pytorchReplicaSpecs: {Worker: {template: `+unproper+`}}}}`)
	assert.Equal(t, "spec.pytorchReplicaSpecs[Worker].template.spec.containers[0].resources.limits[acme.com/gpu]", roles.GPUs.Unknown[0].Field)
}

func TestOperatorsKindsHaveTheTypesOfAllTheirPods(t *testing.T) {
	d := operatorUsage(t, schema.GroupKind{Group: "leaderworkerset.x-k8s.io", Kind: "LeaderWorkerSet"}, `{spec: {replicas: 2, leaderWorkerTemplate: {size: 3, leaderTemplate: `+oneL4+`, workerTemplate: `+oneH100+`}}}`)
	assert.Equal(t, []string{"NVIDIA-L4", "NVIDIA-H100-NVL"}, d.GPUTypes())
	assert.Equal(t, map[string]int64{"NVIDIA-L4": 2, "NVIDIA-H100-NVL": 4}, workload.SumsByType(d.Parts))
	open := operatorUsage(t, schema.GroupKind{Group: "ray.io", Kind: "RayCluster"}, `{spec: {headGroupSpec: {template: `+noGPU+`}, workerGroupSpecs: [{replicas: 1, template: `+oneL4+`}, {replicas: 1, template: `+oneGPU+`}]}}`)
	assert.Equal(t, []string{"NVIDIA-L4", ""}, open.GPUTypes(), "one group is pinned to none")
}

func TestTheTableOfOperators(t *testing.T) {
	table := workload.BuiltInOperators()
	job, _ := table.For(schema.GroupKind{Group: "jobset.x-k8s.io", Kind: "JobSet"})
	assert.True(t, job.Charged())
	assert.True(t, job.MadeBy("system:serviceaccount:jobset-system:jobset-controller-manager"))
	assert.False(t, job.MadeBy("system:serviceaccount:tenant:jobset-controller-manager"))
	assert.False(t, job.MadeBy("jobset-system/jobset-controller-manager"), "a user of that name")
	workflow, _ := table.For(schema.GroupKind{Group: "argoproj.io", Kind: "Workflow"})
	assert.False(t, workflow.Charged(), "its pods are")
	_, ok := table.For(schema.GroupKind{Group: "batch", Kind: "Job"})
	assert.False(t, ok, "Kubernetes' own kinds have a table of their own")

	more, errs := workload.ParseOperators([]byte(`kinds:
- {group: acme.com, kind: Fleet, resource: fleets, makers: [acme-system/fleet], pods: [{template: spec.template, counts: [{path: spec.size}]}]}
- {group: ray.io, kind: RayCluster, resource: rayclusters, makers: [ml-platform/kuberay], pods: [{each: "spec.workerGroupSpecs[*]", template: .template, counts: [{path: .replicas}]}]}
`))
	require.Empty(t, errs)
	merged := table.With(more)
	assert.Len(t, merged.Kinds, len(table.Kinds)+1)
	ray, _ := merged.For(schema.GroupKind{Group: "ray.io", Kind: "RayCluster"})
	assert.True(t, ray.MadeBy("system:serviceaccount:ml-platform:kuberay"))
	assert.False(t, ray.MadeBy("system:serviceaccount:ray-system:kuberay-operator"), "a row replaces the built-in one")
	assert.Equal(t, []string{"kuberay-operator/kuberay-operator", "kuberay-system/kuberay-operator", "ml-platform/kuberay", "ray-system/kuberay-operator"},
		merged.MakersIn(func(namespace string) bool { return strings.Contains(namespace, "ray") || namespace == "ml-platform" }),
		"the shipped configuration believes those of the built-in rows too")
	fleet, ok := merged.For(schema.GroupKind{Group: "acme.com", Kind: "Fleet"})
	require.True(t, ok)
	assert.EqualValues(t, 6, workload.OperatorUsage(read(`{spec: {size: 3, template: `+twoGPUs+`}}`), fleet, workload.BuiltInGPUResources).Claim)
}

func TestMistakesInATableOfOperators(t *testing.T) {
	for name, test := range map[string]struct {
		table string
		want  []string
	}{
		"a field that is not known": {`kinds: [{group: a.com, kind: A, resource: as, template: x}]`, []string{
			"kinds[0].template: Forbidden: is no field; allowed here: children, finished, group, kind, makers, managedBy, pods, replicas, resource, scale, suspend",
			"kinds[0].pods: Required value: say where the pods are described"}},
		"an end that nobody watches": {`kinds: [{group: ray.io, kind: A, resource: as, finished: {path: status.phase, values: [Done]}, pods: [{template: spec.template}]}, {group: ray.io, kind: B, resource: bs, finished: {path: status.state.phase, values: [Done]}, pods: [{template: spec.template}]}, {group: a.com, kind: C, resource: cs, finished: {path: status.phase, values: [Done]}, pods: [{template: spec.template}]}]`,
			[]string{`kinds[0].finished.path: Invalid value: "status.phase": of a kind in the group ray.io must be status.jobDeploymentStatus, status.state or a field of that: only changes of these, and of conditions, are sent to the webhook`}},
		"an end that is no status": {`kinds: [{group: a.com, kind: A, resource: as, finished: {path: spec.done, values: [Done]}, pods: [{template: spec.template}]}]`,
			[]string{`kinds[0].finished.path: Invalid value: "spec.done": must be below status: changes of nothing else are sent to the webhook`}},
		"an end of a Workflow": {`kinds: [{group: argoproj.io, kind: Workflow, resource: workflows, finished: {path: status.phase, values: [Succeeded]}, pods: [{template: spec.template}]}]`,
			[]string{`kinds[0].finished: Forbidden: the status of a Workflow is no subresource, and changes with each of its steps, so that it is not sent to the webhook; leave it out, and what is made of one is charged`}},
		"a manager without a name": {`kinds: [{group: a.com, kind: A, resource: as, managedBy: {path: "spec[0]"}, pods: [{template: spec.template}]}]`,
			[]string{`kinds[0].managedBy.own: Required value: say what names the operator itself`, `kinds[0].managedBy.path: Invalid value: "spec[0]": must be field names with dots between them, such as spec.template`}},
		"all at once": {`kinds:
- {kind: A, resource: as, makers: [nobody], suspend: ["spec[0]"], pods: [{}]}
- {group: apps, kind: Deployment, resource: deployments, pods: [{template: .template, spec: spec.pod}]}
- {group: b.com, kind: B, resource: bs, pods: [{each: spec.groups, gpu: {name: spec.gpu}, counts: [{absent: -1, upTo: {when: "spec..x"}}]}]}
- {group: b.com, kind: B, resource: bs}
`, []string{
			`kinds[0].group: Required value: say which kind it is`,
			`kinds[0].makers[0]: Invalid value: "nobody": must be the namespace/name of a service account`,
			`kinds[0].pods[0]: Required value: give one of template, spec, containers and gpu`,
			`kinds[0].suspend[0]: Invalid value: "spec[0]": must be field names with dots between them, such as spec.template`,
			`kinds[1].kind: Duplicate value: "Deployment.apps"`,
			`kinds[1].pods[0]: Required value: give one of template, spec, containers and gpu`,
			`kinds[1].pods[0].template: Invalid value: ".template": begins with a dot, so it needs each`,
			`kinds[2].pods[0].counts[0].absent: Invalid value: -1: must be at least 0`,
			`kinds[2].pods[0].counts[0].path: Required value: say where the number stands`,
			`kinds[2].pods[0].counts[0].upTo.path: Required value: say where the number stands`,
			`kinds[2].pods[0].counts[0].upTo.when: Invalid value: "spec..x": must be field names with dots between them, such as spec.template`,
			`kinds[2].pods[0].each: Invalid value: "spec.groups": must be the path of a list, such as spec.groups[*], or of an object, such as spec.roles{*}`,
			`kinds[2].pods[0].gpu: Required value: give the paths of name and quantity`,
			`kinds[3].kind: Duplicate value: "B.b.com"`,
			`kinds[3].pods: Required value: say where the pods are described`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := workload.ParseOperators([]byte(test.table))
			assert.Equal(t, test.want, texts(errs))
		})
	}
}

// TestTheSchemaHasTheFieldsOfTheTable: what the one knows, the other does, and asks for as much.
func TestTheSchemaHasTheFieldsOfTheTable(t *testing.T) {
	type object struct {
		Properties           map[string]json.RawMessage `json:"properties"`
		Required             []string                   `json:"required"`
		AdditionalProperties *bool                      `json:"additionalProperties"`
	}
	var schema struct {
		object
		Defs map[string]json.RawMessage `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(workload.OperatorsSchema(), &schema))
	read := func(raw json.RawMessage) (o object) {
		require.NoError(t, json.Unmarshal(raw, &o))
		return o
	}
	kind, pods, count := read(schema.Defs["kind"]), read(schema.Defs["pods"]), read(schema.Defs["count"])
	for name, test := range map[string]struct {
		schema object
		of     any
	}{
		"the file":      {schema.object, workload.Operators{}},
		"a kind":        {kind, workload.OperatorKind{}},
		"its manager":   {read(kind.Properties["managedBy"]), workload.OperatorManager{}},
		"its end":       {read(kind.Properties["finished"]), workload.OperatorFinish{}},
		"its pods":      {pods, workload.OperatorPods{}},
		"its GPUs":      {read(pods.Properties["gpu"]), workload.OperatorGPU{}},
		"its counts":    {count, workload.OperatorCount{}},
		"their maximum": {read(count.Properties["upTo"]), workload.OperatorMaximum{}},
	} {
		t.Run(name, func(t *testing.T) {
			var fields, required []string
			for _, f := range reflect.VisibleFields(reflect.TypeOf(test.of)) {
				field, optional := strings.CutSuffix(f.Tag.Get("json"), ",omitempty")
				if fields = append(fields, field); !optional {
					required = append(required, field)
				}
			}
			assert.ElementsMatch(t, fields, slices.Collect(maps.Keys(test.schema.Properties)))
			assert.ElementsMatch(t, required, test.schema.Required)
			require.NotNil(t, test.schema.AdditionalProperties)
			assert.False(t, *test.schema.AdditionalProperties)
		})
	}
	patterns := func(def string) *regexp.Regexp {
		var p struct {
			Pattern string `json:"pattern"`
		}
		require.NoError(t, json.Unmarshal(schema.Defs[def], &p))
		return regexp.MustCompile(p.Pattern)
	}
	for _, path := range []string{"spec.template", ".template", "a", "spec[0]", "spec..x", ".", "spec.a-b", ""} {
		_, errs := workload.ParseOperators([]byte(`kinds: [{group: a.com, kind: A, resource: as, pods: [{each: "spec.a[*]", template: "` + path + `"}]}]`))
		assert.Equal(t, len(errs) == 0, patterns("path").MatchString(path), "%q", path)
	}
}
