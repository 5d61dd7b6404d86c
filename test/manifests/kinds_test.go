package manifests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/workload"
)

// yamlObject reads an object; nil for nothing.
func yamlObject(t *testing.T, text string) any {
	t.Helper()
	if text == "" {
		return nil
	}
	var o map[string]any
	require.NoError(t, sigsyaml.Unmarshal([]byte(text), &o))
	return o
}

// TestWhichRequestsAboutPodsCome goes through requests about what has pods: none is to be asked about
// that has no devices, none by two entries, and none that deletes.
func TestWhichRequestsAboutPodsCome(t *testing.T) {
	const (
		gpu      = `{containers: [{name: c, resources: {limits: {nvidia.com/gpu: "1"}}}]}`
		plain    = `{containers: [{name: c, resources: {limits: {cpu: "1"}}}, {name: d}]}`
		account  = "system:serviceaccount:kube-system:"
		shared   = "system:kube-controller-manager"
		ofSet    = `ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: r, uid: u, controller: true}]`
		ofOthers = `ownerReferences: [{apiVersion: example.com/v1, kind: ReplicaSet, name: r, uid: u, controller: true}]`
		ofDaemon = `ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: r, uid: u, controller: true}]`
		ofWeb    = `ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: r, uid: u, controller: true}]`
	)
	pod := func(metadata, spec string) string {
		return `{metadata: {name: x, ` + metadata + `}, spec: ` + spec + `}`
	}
	set := func(metadata, spec string) string {
		return `{metadata: {name: x, ` + metadata + `}, spec: {replicas: 1, template: {spec: ` + spec + `}}}`
	}
	// many is a container without devices that states so many resources.
	many := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("hugepages-%dKi: \"0\"", i)
		}
		return `{containers: [{name: c, resources: {limits: {` + strings.Join(all, ", ") + `}}}]}`
	}
	cron := func(spec string) string {
		return `{metadata: {name: x}, spec: {jobTemplate: {spec: {template: {spec: ` + spec + `}}}}}`
	}
	status := func(status, spec string) string {
		return `{metadata: {name: x}, status: {` + status + `}, spec: ` + spec + `}`
	}
	jobStatus := func(status, more string) string {
		return `{metadata: {name: x}, status: {` + status + `}, spec: {` + more + ` template: {spec: ` + gpu + `}}}`
	}
	const done = `conditions: [{type: Complete, status: "True"}]`
	for name, test := range map[string]struct {
		among       []string // entries that the API server would look at
		user        string
		resource    string
		object, old string
		want        string
	}{
		"a Pod":                                        {pods, "eve", "pods", pod("", gpu), "", "pods"},
		"a Pod of the node's own device":               {pods, "eve", "pods", pod("", `{containers: [{name: c}], initContainers: [{name: i, resources: {requests: {amd.com/gpu: "1"}}}]}`), "", "pods"},
		"a Pod with a resource claim":                  {pods, "eve", "pods", pod("", `{containers: [{name: c}], resourceClaims: [{name: g}]}`), "", "pods"},
		"a Pod without devices":                        {pods, "eve", "pods", pod("", plain), "", ""},
		"a Pod that is being deleted":                  {pods, "eve", "pods", pod("deletionTimestamp: x", gpu), "", ""},
		"a Pod of a ReplicaSet":                        {pods, account + "replicaset-controller", "pods", pod(ofSet, gpu), "", "controlled-pods"},
		"a Pod of a ReplicaSet, without devices":       {pods, account + "replicaset-controller", "pods", pod(ofSet, plain), "", ""},
		"a Pod of a ReplicaSet, by the shared user":    {pods, shared, "pods", pod(ofSet, gpu), "", "controlled-pods"},
		"a Pod of a ReplicaSet, by a tenant":           {pods, "eve", "pods", pod(ofSet, gpu), "", "pods"},
		"a Pod of a ReplicaSet, by another controller": {pods, account + "job-controller", "pods", pod(ofSet, gpu), "", "pods"},
		"a Pod of another group's ReplicaSet":          {pods, account + "replicaset-controller", "pods", pod(ofOthers, gpu), "", "pods"},
		"a Pod of a DaemonSet":                         {pods, account + "daemon-set-controller", "pods", pod(ofDaemon, gpu), "", "pods"},
		"a Pod of a DaemonSet, by the shared user":     {pods, shared, "pods", pod(ofDaemon, gpu), "", "pods"},
		"a Pod of a DaemonSet, without devices":        {pods, account + "daemon-set-controller", "pods", pod(ofDaemon, plain), "", ""},
		"a Pod with 64 resources, none of a device":    {pods, "eve", "pods", pod("", many(64)), "", ""},
		"a Pod with too many resources to look at":     {pods, "eve", "pods", pod("", many(65)), "", "pods"},
		"a Pod without an owner, by the shared user":   {pods, shared, "pods", pod("", gpu), "", "pods"},
		"a Pod of an account of that name elsewhere":   {pods, "system:serviceaccount:team:replicaset-controller", "pods", pod(ofSet, gpu), "", "pods"},
		"a resize": {pods, "eve", "pods", pod("", gpu), pod("", plain), "pods"},

		"other labels of a Pod":               {released, "eve", "pods", pod(ofSet+", labels: {a: b}", gpu), pod(ofSet, gpu), "released-pods"},
		"no owner of a Pod":                   {released, "eve", "pods", pod("", gpu), pod(ofSet, gpu), "released-pods"},
		"other labels of a Pod of nobody":     {released, "eve", "pods", pod("labels: {a: b}", gpu), pod("", gpu), "released-pods"},
		"other labels of one without devices": {released, "eve", "pods", pod(ofSet+", labels: {a: b}", plain), pod(ofSet, plain), ""},
		"annotations of a Pod":                {released, "eve", "pods", pod(ofSet+", annotations: {a: b}", gpu), pod(ofSet, gpu), ""},
		"a controller adopts a Pod":           {released, account + "replicaset-controller", "pods", pod(ofSet, gpu), pod("", gpu), "adopted-pods"},
		"the shared user adopts a Pod":        {released, shared, "pods", pod(ofSet, gpu), pod("", gpu), "adopted-pods"},
		"somebody else adopts a Pod":          {released, "eve", "pods", pod(ofSet, gpu), pod("", gpu), "released-pods"},
		"a controller adopts another Pod":     {released, account + "replicaset-controller", "pods", pod(ofSet, plain), pod("", plain), ""},
		"a controller labels a Pod":           {released, account + "replicaset-controller", "pods", pod(ofSet+", labels: {a: b}", gpu), pod(ofSet, gpu), ""},
		"its controller lets a Pod go":        {released, account + "replicaset-controller", "pods", pod("", gpu), pod(ofSet, gpu), "released-pods"},
		"its owner is deleted without it":     {released, account + "generic-garbage-collector", "pods", pod("", gpu), pod(ofSet, gpu), "orphaned-pods"},
		"the same by the shared user":         {released, shared, "pods", pod("", gpu), pod(ofSet, gpu), "orphaned-pods"},
		"of one without devices":              {released, shared, "pods", pod("", plain), pod(ofSet, plain), ""},
		"a controller marks a Pod":            {released, shared, "pods", pod(ofSet+", labels: {a: b}", gpu), pod(ofSet, gpu), ""},

		"a StatefulSet":                                           {workloads, "eve", "statefulsets", set("", gpu), "", "workloads"},
		"a StatefulSet without devices":                           {workloads, "eve", "statefulsets", set("", plain), "", ""},
		"one that loses its devices":                              {workloads, "eve", "statefulsets", set("", plain), set("", gpu), "workloads"},
		"one that stays the same":                                 {workloads, "eve", "statefulsets", set("annotations: {a: b}", gpu), set("", gpu), ""},
		"one that gets other labels":                              {workloads, "eve", "replicasets", set("labels: {a: b}", gpu), set("", gpu), "workloads"},
		"one that loses its owner":                                {workloads, "eve", "replicasets", set("", gpu), set(ofWeb, gpu), "workloads"},
		"one without devices that is relabelled, of a Deployment": {workloads, "eve", "replicasets", set(ofWeb+", labels: {a: b}", plain), set(ofWeb, plain), "workloads"},
		"one without devices that loses its owner":                {workloads, "eve", "replicasets", set("", plain), set(ofWeb, plain), "workloads"},
		"a Job without devices that loses its owner":              {workloads, "eve", "jobs", set("", plain), set(ofWeb, plain), "workloads"},
		"the collector takes it":                                  {workloads, account + "generic-garbage-collector", "replicasets", set("", plain), set(ofWeb, plain), ""},
		"the deployment controller relabels one without devices":  {workloads, account + "deployment-controller", "replicasets", set(ofWeb+", labels: {a: b}", plain), set(ofWeb, plain), ""},
		"one without devices and without an owner is relabelled":  {workloads, "eve", "replicasets", set("labels: {a: b}", plain), set("", plain), ""},
		"one without devices gets an annotation":                  {workloads, "eve", "replicasets", set(ofWeb+", annotations: {a: b}", plain), set(ofWeb, plain), ""},
		"one that ends and loses its owner":                       {workloads, "eve", "replicasets", set("deletionTimestamp: x", gpu), set("deletionTimestamp: x, "+ofWeb, gpu), "workloads"},
		"one that ends and gets other labels":                     {workloads, "eve", "replicasets", set("deletionTimestamp: x, labels: {a: b}", gpu), set("deletionTimestamp: x", gpu), "workloads"},
		"one whose finalizers go":                                 {workloads, "eve", "jobs", set("deletionTimestamp: x", gpu), set("finalizers: [a], deletionTimestamp: x", gpu), ""},
		"the deployment controller's":                             {workloads, account + "deployment-controller", "replicasets", set(ofWeb, gpu), "", ""},
		"the deployment controller's, without":                    {workloads, account + "deployment-controller", "replicasets", set("", gpu), "", "workloads"},
		"the shared user's of a Deployment":                       {workloads, shared, "replicasets", set(ofWeb, gpu), "", ""},
		"the shared user's of another kind":                       {workloads, shared, "jobs", set(ofWeb, gpu), "", "workloads"},
		"a tenant's of a Deployment":                              {workloads, "eve", "replicasets", set(ofWeb, gpu), "", "workloads"},
		"a ReplicationController without pods":                    {workloads, "eve", "replicationcontrollers", `{metadata: {name: x}, spec: {replicas: 1}}`, "", ""},
		"a CronJob":                                               {[]string{"cronjobs"}, "eve", "cronjobs", cron(gpu), "", "cronjobs"},
		"a CronJob without devices":                               {[]string{"cronjobs"}, "eve", "cronjobs", cron(plain), "", ""},

		"kubectl scale":                     {scales, "eve", "deployments", `{spec: {replicas: 2}}`, `{spec: {replicas: 1}}`, "scale"},
		"kubectl scale to less":             {scales, "eve", "deployments", `{spec: {replicas: 1}}`, `{spec: {replicas: 2}}`, ""},
		"from nothing":                      {scales, "eve", "deployments", `{spec: {replicas: 1}}`, `{spec: {}}`, "scale"},
		"a HorizontalPodAutoscaler scales":  {scales, account + "horizontal-pod-autoscaler", "deployments", `{spec: {replicas: 2}}`, `{spec: {replicas: 1}}`, "autoscaled"},
		"Knative scales":                    {scales, "system:serviceaccount:knative-serving:autoscaler", "deployments", `{spec: {replicas: 2}}`, `{spec: {replicas: 1}}`, "autoscaled"},
		"somebody else's autoscaler scales": {scales, "system:serviceaccount:keda:keda-operator", "deployments", `{spec: {replicas: 2}}`, `{spec: {replicas: 1}}`, "scale"},

		"a JobSet":                                           {[]string{"operators"}, "eve", jobSets, `{metadata: {name: x}, spec: {replicatedJobs: []}}`, "", "operators"},
		"one that its operator has finished":                 {[]string{"operators"}, "system:serviceaccount:jobset-system:jobset-controller-manager", jobSets, `{metadata: {name: x, annotations: {a: b}, finalizers: [f]}, spec: {suspend: true}, status: {restarts: 1}}`, `{metadata: {name: x}, spec: {suspend: true}}`, ""},
		"one that is unsuspended, by its queue":              {[]string{"operators"}, "system:serviceaccount:kueue-system:kueue-controller-manager", jobSets, `{metadata: {name: x}, spec: {suspend: false}}`, `{metadata: {name: x}, spec: {suspend: true}}`, "operators"},
		"one that gets a label":                              {[]string{"operators"}, "eve", jobSets, `{metadata: {name: x, labels: {kubetorch.com/autoscale: "true"}}, spec: {}}`, `{metadata: {name: x}, spec: {}}`, "operators"},
		"one that loses its spec":                            {[]string{"operators"}, "eve", jobSets, `{metadata: {name: x}}`, `{metadata: {name: x}, spec: {}}`, "operators"},
		"one that gets a parameter":                          {[]string{"operators"}, "eve", jobSets, `{metadata: {name: x, annotations: {compute.kubetorch.com/gpus: "8"}}, spec: {}}`, `{metadata: {name: x}, spec: {}}`, "operators"},
		"another parameter":                                  {[]string{"operators"}, "eve", jobSets, `{metadata: {name: x, annotations: {autoscale.kubetorch.com/target: "8"}}, spec: {}}`, `{metadata: {name: x, annotations: {autoscale.kubetorch.com/target: "9"}}, spec: {}}`, "operators"},
		"the same parameter":                                 {[]string{"operators"}, "eve", jobSets, `{metadata: {name: x, annotations: {a: b, compute.kubetorch.com/gpus: "8"}}, spec: {}}`, `{metadata: {name: x, annotations: {compute.kubetorch.com/gpus: "8"}}, spec: {}}`, ""},
		"the phase of a Workflow, which has no subresource":  {[]string{"operators"}, "eve", "workflows.argoproj.io", `{metadata: {name: x}, spec: {}, status: {phase: Succeeded}}`, `{metadata: {name: x}, spec: {}}`, ""},
		"the status of a platform team's kind that has none": {[]string{"operators"}, "eve", "trainings.acme.example", `{metadata: {name: x}, spec: {}, status: {phase: Done}}`, `{metadata: {name: x}, spec: {}}`, "operators"},
		"that status stays as it is":                         {[]string{"operators"}, "eve", "trainings.acme.example", `{metadata: {name: x}, spec: {}, status: {phase: Done}}`, `{metadata: {name: x}, spec: {}, status: {phase: Done}}`, ""},

		"a tenant finishes a JobSet":                      {operatorStatus, "eve", jobSets, withStatus("conditions: [{type: Completed, status: \"True\"}]"), withStatus("restarts: 1"), "operator-status"},
		"a tenant says that one goes on":                  {operatorStatus, "eve", jobSets, withStatus("restarts: 1"), withStatus("conditions: [{type: Completed, status: \"True\"}]"), "operator-status"},
		"its operator finishes a JobSet":                  {operatorStatus, "system:serviceaccount:jobset-system:jobset-controller-manager", jobSets, withStatus("conditions: [{type: Completed, status: \"True\"}]"), withStatus("restarts: 1"), ""},
		"another's operator finishes a JobSet":            {operatorStatus, "system:serviceaccount:kubeflow:training-operator", jobSets, withStatus("conditions: [{type: Completed, status: \"True\"}]"), withStatus("restarts: 1"), "operator-status"},
		"a JobSet restarts":                               {operatorStatus, "eve", jobSets, withStatus("restarts: 1, conditions: [{type: Completed, status: \"False\"}, {}]"), withStatus("restarts: 0"), ""},
		"a first status without an end":                   {operatorStatus, "eve", jobSets, withStatus("restarts: 1"), `{metadata: {name: x}, spec: {}}`, ""},
		"a first status with one":                         {operatorStatus, "eve", jobSets, withStatus("conditions: [{type: Failed, status: \"True\"}]"), `{metadata: {name: x}, spec: {}}`, "operator-status"},
		"a status that is taken away":                     {operatorStatus, "eve", jobSets, `{metadata: {name: x}, spec: {}}`, withStatus("conditions: [{type: Failed, status: \"True\"}]"), "operator-status"},
		"a tenant finishes a RayJob":                      {operatorStatus, "eve", "rayjobs.ray.io", withStatus("jobDeploymentStatus: Complete"), withStatus("jobDeploymentStatus: Running"), "operator-status"},
		"its operator finishes a RayJob":                  {operatorStatus, "system:serviceaccount:ray-system:kuberay-operator", "rayjobs.ray.io", withStatus("jobDeploymentStatus: Complete"), withStatus("jobDeploymentStatus: Running"), ""},
		"a tenant finishes a Job of Volcano":              {operatorStatus, "eve", "jobs.batch.volcano.sh", withStatus("state: {phase: Completed}"), withStatus("state: {phase: Running}"), "operator-status"},
		"its controllers finish a Job of Volcano":         {operatorStatus, "system:serviceaccount:volcano-system:volcano-controllers", "jobs.batch.volcano.sh", withStatus("state: {phase: Completed}"), withStatus("state: {phase: Running}"), ""},
		"the MPI operator finishes an MPIJob":             {operatorStatus, "system:serviceaccount:mpi-operator:mpi-operator", "mpijobs.kubeflow.org", withStatus("conditions: [{type: Succeeded, status: \"True\"}]"), withStatus("a: b"), ""},
		"the MPI operator finishes a PyTorchJob":          {operatorStatus, "system:serviceaccount:mpi-operator:mpi-operator", "pytorchjobs.kubeflow.org", withStatus("conditions: [{type: Succeeded, status: \"True\"}]"), withStatus("a: b"), "operator-status"},
		"the training operator finishes a PyTorchJob":     {operatorStatus, "system:serviceaccount:kubeflow:training-operator", "pytorchjobs.kubeflow.org", withStatus("conditions: [{type: Succeeded, status: \"True\"}]"), withStatus("a: b"), ""},
		"any status of a kind that a platform team added": {operatorStatus, "system:serviceaccount:acme:operator", "trainings.acme.example", withStatus("a: c"), withStatus("a: b"), "operator-status"},

		"one that is being deleted": {[]string{"operators"}, "eve", jobSets, `{metadata: {name: x, deletionTimestamp: x}, spec: {a: 1}}`, `{metadata: {name: x}, spec: {}}`, ""},

		"an autoscaler":     {[]string{"horizontalpodautoscalers"}, "eve", "", `{metadata: {name: x}, spec: {maxReplicas: 2}}`, "", "horizontalpodautoscalers"},
		"the status of one": {[]string{"horizontalpodautoscalers"}, "eve", "", `{metadata: {name: x}, spec: {maxReplicas: 2}}`, `{metadata: {name: x}, spec: {maxReplicas: 2}}`, ""},
		"one that waits for a finalizer, and is raised":             {[]string{"horizontalpodautoscalers"}, "eve", "", `{metadata: {name: x, deletionTimestamp: x}, spec: {maxReplicas: 9}}`, `{metadata: {name: x, deletionTimestamp: x}, spec: {maxReplicas: 2}}`, "horizontalpodautoscalers"},
		"one that is rid of its finalizer":                          {[]string{"horizontalpodautoscalers"}, "eve", "", `{metadata: {name: x, deletionTimestamp: x}, spec: {maxReplicas: 2}}`, `{metadata: {name: x, deletionTimestamp: x, finalizers: [a]}, spec: {maxReplicas: 2}}`, ""},
		"a LimitRange that waits for a finalizer, and gets devices": {[]string{"limitranges"}, "eve", "", `{metadata: {name: x, deletionTimestamp: x}, spec: {limits: [{type: Container, max: {nvidia.com/gpu: 1}}]}}`, `{metadata: {name: x, deletionTimestamp: x}, spec: {limits: []}}`, "limitranges"},
		"a LimitRange of devices":                                   {[]string{"limitranges"}, "eve", "", `{metadata: {name: x}, spec: {limits: [{type: Container, max: {nvidia.com/gpu: 1}}]}}`, "", "limitranges"},
		"a LimitRange of CPUs":                                      {[]string{"limitranges"}, "eve", "", `{metadata: {name: x}, spec: {limits: [{type: Container, default: {cpu: 1}}]}}`, "", ""},
		"a tenant ends a Pod":                                       {[]string{"pod-status"}, "eve", "", status("phase: Failed", gpu), status("phase: Running", gpu), "pod-status"},
		"its node ends a Pod":                                       {[]string{"pod-status"}, "system:node:n", "", status("phase: Failed", gpu), status("phase: Running", gpu), ""},
		"a tenant ends a Pod without devices":                       {[]string{"pod-status"}, "eve", "", status("phase: Failed", plain), status("phase: Running", plain), ""},
		"a Pod begins":                                              {[]string{"pod-status"}, "eve", "", status("phase: Running", gpu), status("", gpu), ""},
		"a tenant finishes a Job":                                   {[]string{"job-status"}, "eve", "", jobStatus(done, ""), jobStatus("", ""), "job-status"},
		"more of a Job":                                             {[]string{"job-status"}, "eve", "", jobStatus("succeeded: 2", ""), jobStatus("succeeded: 1", ""), "job-status"},
		"a finished Job":                                            {[]string{"job-status"}, "eve", "", jobStatus(done, ""), jobStatus(done, ""), ""},
		"the job controller":                                        {[]string{"job-status"}, account + "job-controller", "", jobStatus(done, ""), jobStatus("", ""), ""},
		"another controller manages it":                             {[]string{"job-status"}, "eve", "", jobStatus(done, "managedBy: kueue.x-k8s.io/multikueue,"), jobStatus("", "managedBy: kueue.x-k8s.io/multikueue,"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var sent string
			for _, entry := range test.among {
				if matchesOf(t, entries(t)["validate-"+entry+".kubetorch.com"], test.user, test.resource, yamlObject(t, test.object), yamlObject(t, test.old)) {
					assert.Empty(t, sent, "by one entry only")
					sent = entry
				}
			}
			assert.Equal(t, test.want, sent)
		})
	}
}

// TestOperatorsAreToldByTheTable holds the accounts and groups that conditions name against the table of kinds.
func TestOperatorsAreToldByTheTable(t *testing.T) {
	var accounts []string
	table := workload.BuiltInOperators().Kinds
	for _, row := range table {
		for _, maker := range row.Makers {
			accounts = append(accounts, "system:serviceaccount:"+strings.Replace(maker, "/", ":", 1))
		}
	}
	require.NotEmpty(t, accounts)
	all := entries(t)
	// Where only some changes of a status are sent, the table's reader takes no row that others finish.
	phase, none := yamlObject(t, withStatus("phase: Done")), yamlObject(t, withStatus(""))
	for _, group := range append(groupsOf(table), "acme.example") {
		_, errs := workload.ParseOperators([]byte(`kinds: [{group: ` + group + `, kind: Thing, resource: things, finished: {path: status.phase, values: [Done]}, pods: [{template: spec.template}]}]`))
		sent := matchesOf(t, all["validate-operator-status.kubetorch.com"], "eve", "things."+group, phase, none)
		assert.True(t, sent || len(errs) > 0, "nobody would be asked about the end of a kind in %s", group)
	}
	done := yamlObject(t, withStatus("jobDeploymentStatus: Failed, state: {phase: Failed}, conditions: [{type: Failed, status: \"True\"}]"))
	running := yamlObject(t, withStatus(""))
	for _, row := range table {
		resource := row.Resource + "." + row.Group
		assert.False(t, matchesOf(t, all["validate-operators.kubetorch.com"], "eve", resource, done, running), "an update of the object says nothing of the status of a %s", row.Kind)
		if row.Finished == nil {
			continue
		}
		for _, account := range append(accounts, "eve", "system:serviceaccount:ml:operator") {
			assert.Equal(t, !row.MadeBy(account), matchesOf(t, all["validate-operator-status.kubetorch.com"], account, resource, done, running), "%s of a %s", account, row.Kind)
		}
	}
}

func groupsOf(rows []workload.OperatorKind) (groups []string) {
	for _, row := range rows {
		groups = append(groups, row.Group)
	}
	return groups
}

const jobSets = "jobsets.jobset.x-k8s.io"

var operatorStatus = []string{"operator-status"}

// withStatus is an object of an operator's kind with a status.
func withStatus(status string) string {
	return `{metadata: {name: x}, spec: {}, status: {` + status + `}}`
}

// The entries that the API server looks at for a resource.
var (
	pods      = []string{"pods", "controlled-pods"}
	released  = []string{"released-pods", "adopted-pods", "orphaned-pods"}
	workloads = []string{"workloads"}
	scales    = []string{"scale", "autoscaled"}
)
