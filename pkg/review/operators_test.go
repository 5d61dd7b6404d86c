package review_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// jobSet has so many pods of eight GPUs.
func jobSet(metadata, suspend, pods string) string {
	return `{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: gang, namespace: ml` + metadata + `}, spec: {suspend: ` + suspend + `, replicatedJobs: [{name: a, replicas: ` + pods +
		`, template: {spec: {template: {spec: {containers: [{name: c, resources: {limits: {nvidia.com/gpu: 8}}}]}}}}}]}}`
}

func jobSetRequest(object, old string) *admissionv1.AdmissionRequest {
	r := request(object, old)
	r.Name, r.Kind = "gang", metav1.GroupVersionKind{Group: "jobset.x-k8s.io", Version: "v1alpha2", Kind: "JobSet"}
	return r
}

func TestOperatorsKindsAreBoundedAtTheManifest(t *testing.T) {
	bounded := world(`{metadata: {name: house}, spec: {bounds: {gpusPerPod: {max: 8}, gpusPerWorkload: {max: 64}, maxScale: {max: 500}, cpusPerPod: {max: 32}}}}`)
	const refused = `jobset.jobset.x-k8s.io "gang" is forbidden: spec.replicatedJobs[0].replicas: Forbidden: asks for 72 GPUs (8 x 9 pods); policy house allows at most 64 (bounds.gpusPerWorkload.max)`
	for name, test := range map[string]struct {
		object, old string
		want        string
		warnings    []string
	}{
		"what fits":                   {object: jobSet("", "false", "8")},
		"a gang that is too large":    {object: jobSet("", "false", "9"), want: refused},
		"one that waits":              {object: jobSet("", "true", "9")},
		"until it is unsuspended":     {object: jobSet("", "false", "9"), old: jobSet("", "true", "9"), want: refused},
		"one that grows":              {object: jobSet("", "false", "9"), old: jobSet("", "false", "8"), want: refused},
		"one that shrinks, beyond it": {object: jobSet("", "false", "9"), old: jobSet("", "false", "10")},
		"one that is being deleted":   {object: jobSet(`, deletionTimestamp: "2026-01-01T00:00:00Z"`, "false", "9"), old: jobSet("", "false", "8")},
		"a parameter on a pod template": {object: strings.Replace(jobSet("", "false", "1"), "{template: {spec: {cont", `{template: {metadata: {annotations: {autoscale.kubetorch.com/target: "8"}}, spec: {cont`, 1),
			warnings: []string{"spec.replicatedJobs[0].template.spec.template.metadata.annotations[autoscale.kubetorch.com/target] has no effect on a JobSet.jobset.x-k8s.io: its operator makes its pods"}},
		"a parameter that is taken away":  {object: jobSet("", "false", "1"), old: jobSet(`, annotations: {compute.kubetorch.com/gpus: "8"}`, "false", "1")},
		"a parameter that means nothing":  {object: jobSet(`, annotations: {compute.kubetorch.com/gpus: "8"}`, "false", "1"), warnings: []string{"metadata.annotations[compute.kubetorch.com/gpus] has no effect on a JobSet.jobset.x-k8s.io: its operator makes its pods"}},
		"one without GPUs, of many pods":  {object: strings.ReplaceAll(jobSet("", "false", "900"), "nvidia.com/gpu: 8", "cpu: 64")},
		"one that is there already":       {object: jobSet(`, annotations: {compute.kubetorch.com/gpus: "8"}`, "false", "2"), old: jobSet(`, annotations: {compute.kubetorch.com/gpus: "8"}`, "false", "1")},
		"the autoscale label":             {object: jobSet(`, labels: {kubetorch.com/autoscale: "true"}`, "false", "1"), want: `jobset.jobset.x-k8s.io "gang" is invalid: metadata.labels[kubetorch.com/autoscale]: Invalid value: "true": a JobSet.jobset.x-k8s.io cannot be expanded: autoscaling and distributed computing are mutually exclusive; remove the label, or serve requests with a Deployment or a Knative Service`},
		"the label beside a bound broken": {object: jobSet(`, labels: {kubetorch.com/autoscale: "false"}`, "false", "9"), want: refused},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := both(t, jobSetRequest(test.object, test.old), bounded)
			message := ""
			if got.Result != nil {
				message = got.Result.Message
			}
			assert.Equal(t, test.want, message)
			assert.Equal(t, test.want == "", got.Allowed)
			assert.Equal(t, test.warnings, got.Warnings)
		})
	}
}

// TestOperatorsKindsAreChargedAtTheirManifests: a gang is charged as a whole, before anything is made of it.
func TestOperatorsKindsAreChargedAtTheirManifests(t *testing.T) {
	parts := func(gpus int64) []workload.Part { return []workload.Part{{GPUs: gpus}} }
	finished := strings.Replace(jobSet("", "false", "8"), "{apiVersion", `{status: {conditions: [{type: Completed, status: "True"}]}, apiVersion`, 1)
	for name, test := range map[string]struct {
		object, old string
		want, was   []workload.Part
		grows       bool
	}{
		"a new one":             {object: jobSet("", "false", "8"), want: parts(64), grows: true},
		"one that grows":        {object: jobSet("", "false", "8"), old: jobSet("", "false", "6"), want: parts(64), was: parts(48), grows: true},
		"unsuspended":           {object: jobSet("", "false", "8"), old: jobSet("", "true", "8"), want: parts(64), grows: true},
		"as large as before":    {object: jobSet("", "false", "8"), old: jobSet(", labels: {a: b}", "false", "8"), want: parts(64), was: parts(64)},
		"smaller than before":   {object: jobSet("", "false", "1"), old: jobSet("", "false", "8"), want: parts(8), was: parts(64)},
		"one that is suspended": {object: jobSet("", "true", "8")},
		"one that has finished": {object: strings.Replace(finished, "metadata: {", "metadata: {labels: {a: b}, ", 1), old: finished},
	} {
		t.Run(name, func(t *testing.T) {
			r, answer := review.Read(jobSetRequest(test.object, test.old))
			require.Nil(t, answer)
			claims := claimsOf(r, world())
			require.Len(t, claims, 1)
			assert.Equal(t, test.want, claims[0].New)
			assert.Equal(t, test.was, claims[0].Old)
			assert.Equal(t, test.grows, review.Grows(claims))
		})
	}
	workflow := request(`{apiVersion: argoproj.io/v1alpha1, kind: Workflow, metadata: {name: w, namespace: ml}, spec: {templates: [{container: {resources: {limits: {nvidia.com/gpu: 8}}}}]}}`, "")
	workflow.Kind = metav1.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Workflow"}
	r, answer := review.Read(workflow)
	require.Nil(t, answer)
	assert.Empty(t, claimsOf(r, world()), "how many steps run at a time is for the workflow to say")
}

// TestWhoSaysThatAnOperatorsObjectHasFinished: whoever does frees what it claims, or claims it anew.
func TestWhoSaysThatAnOperatorsObjectHasFinished(t *testing.T) {
	const operator = "system:serviceaccount:jobset-system:jobset-controller-manager"
	const why = `status: Forbidden: only the operator of a JobSet.jobset.x-k8s.io with GPUs (jobset-system/jobset-controller-manager) may say whether it has finished; suspend or delete it, or ask the platform team to list your operator's account among the makers`
	with := func(object, status string) string {
		return strings.Replace(object, "{apiVersion", `{status: `+status+`, apiVersion`, 1)
	}
	gang, finished := jobSet("", "false", "8"), `{conditions: [{type: Completed, status: "True"}]}`
	without := strings.ReplaceAll(gang, "nvidia.com/gpu: 8", "cpu: 64")
	for name, test := range map[string]struct {
		object, old, user string
		resource          string // of the request; status if empty
		want              string
	}{
		"a tenant says so":                                      {object: with(gang, finished), old: gang, user: "eve", want: why},
		"another operator does":                                 {object: with(gang, finished), old: gang, user: "system:serviceaccount:kubeflow:training-operator", want: why},
		"its operator does":                                     {object: with(gang, finished), old: gang, user: operator},
		"a tenant says that it goes on":                         {object: with(gang, "{restarts: 1}"), old: with(gang, finished), user: "eve", want: why},
		"a tenant says something else":                          {object: with(gang, "{restarts: 1}"), old: gang, user: "eve"},
		"it has finished, and somebody adds something":          {object: with(gang, strings.Replace(finished, "{", "{restarts: 1, ", 1)), old: with(gang, finished), user: "eve"},
		"one that is suspended":                                 {object: with(jobSet("", "true", "8"), finished), old: jobSet("", "true", "8"), user: "eve", want: why},
		"one without GPUs":                                      {object: with(without, finished), old: without, user: "eve"},
		"when it is created, where its kind has no subresource": {object: with(gang, finished), user: "eve", resource: "object", want: why},
		"when its operator creates it":                          {object: with(gang, finished), user: operator, resource: "object"},
		"one of which another cluster has the pods": {object: with(strings.Replace(gang, "suspend: false", "managedBy: kueue.x-k8s.io/multikueue, suspend: false", 1), finished),
			old: strings.Replace(gang, "suspend: false", "managedBy: kueue.x-k8s.io/multikueue, suspend: false", 1), user: "system:serviceaccount:kueue-system:kueue-controller-manager"},
		"by an update of the object, where its kind has no subresource": {object: with(gang, finished), old: gang, user: "eve", resource: "object", want: why},
	} {
		t.Run(name, func(t *testing.T) {
			raw := jobSetRequest(test.object, test.old)
			raw.UserInfo.Username = test.user
			if test.resource == "" {
				raw.SubResource = "status"
			}
			r, answer := review.Read(raw)
			require.Nil(t, answer)
			verdict, err := r.Judge(t.Context(), world())
			require.NoError(t, err)
			assert.False(t, verdict.Refused(), "no bound is about it")
			var refused []string
			for _, c := range claimsOf(r, world()) {
				for _, e := range c.Unknown {
					refused = append(refused, e.Error())
				}
			}
			var want []string
			if test.want != "" {
				want = []string{test.want}
			}
			assert.Equal(t, want, refused)
		})
	}
	scaled := jobSetRequest(gang, gang)
	scaled.SubResource, scaled.Kind = "status", metav1.GroupVersionKind{Group: "ray.io", Version: "v1", Kind: "RayCluster"}
	_, answer := review.Read(scaled)
	require.NotNil(t, answer, "nobody looks at that status")
	assert.True(t, answer.Allowed)
}

// TestAParameterOrALabelBelowAnOperatorsObjectIsToldOf: whatever form the kind gives its pods in.
func TestAParameterOrALabelBelowAnOperatorsObjectIsToldOf(t *testing.T) {
	const stray = `{annotations: {autoscale.kubetorch.com/target: "8"}, labels: {kubetorch.com/autoscale: "true", app: x}}`
	for name, test := range map[string]struct {
		group, kind, spec string
		at                []string
	}{
		"a JobSet's Jobs":                 {"jobset.x-k8s.io", "JobSet", `replicatedJobs: [{name: a, template: {metadata: ` + stray + `, spec: {}}}]`, []string{"spec.replicatedJobs[0].template.metadata"}},
		"its pods":                        {"jobset.x-k8s.io", "JobSet", `replicatedJobs: [{name: a, template: {spec: {template: {metadata: ` + stray + `}}}}]`, []string{"spec.replicatedJobs[0].template.spec.template.metadata"}},
		"a LeaderWorkerSet's workers":     {"leaderworkerset.x-k8s.io", "LeaderWorkerSet", `leaderWorkerTemplate: {workerTemplate: {metadata: ` + stray + `}}`, []string{"spec.leaderWorkerTemplate.workerTemplate.metadata"}},
		"a role of a training":            {"kubeflow.org", "PyTorchJob", `pytorchReplicaSpecs: {Worker: {template: {metadata: ` + stray + `}}}`, []string{"spec.pytorchReplicaSpecs[Worker].template.metadata"}},
		"steps of a Workflow":             {"argoproj.io", "Workflow", `templates: [{}, {metadata: ` + stray + `}]`, []string{"spec.templates[1].metadata"}},
		"all steps of a Workflow, once":   {"argoproj.io", "Workflow", `templates: [{}, {}], podMetadata: ` + stray, []string{"spec.podMetadata"}},
		"a driver and executors":          {"sparkoperator.k8s.io", "SparkApplication", `driver: ` + stray + `, executor: ` + stray, []string{"spec.driver", "spec.executor"}},
		"a predictor and its transformer": {"serving.kserve.io", "InferenceService", `predictor: ` + stray + `, transformer: ` + stray, []string{"spec.predictor", "spec.transformer"}},
		"a Job of Volcano":                {"batch.volcano.sh", "Job", `tasks: [{template: {metadata: ` + stray + `}}]`, []string{"spec.tasks[0].template.metadata"}},
		"nothing of ours":                 {"batch.volcano.sh", "Job", `tasks: [{template: {metadata: {labels: {app: x}}}}]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			object := func(metadata string) string {
				return `{apiVersion: ` + test.group + `/v1, kind: ` + test.kind + `, metadata: {name: x, namespace: ml` + metadata + `}, spec: {` + test.spec + `}}`
			}
			raw := request(object(""), "")
			raw.Kind = metav1.GroupVersionKind{Group: test.group, Version: "v1", Kind: test.kind}
			r, answer := review.Read(raw)
			require.Nil(t, answer)
			got, err := r.Judge(t.Context(), world())
			require.NoError(t, err)
			var want []string
			for _, at := range test.at {
				for _, key := range []string{".labels[kubetorch.com/autoscale]", ".annotations[autoscale.kubetorch.com/target]"} {
					want = append(want, at+key+" has no effect on a "+test.kind+"."+test.group+": its operator makes its pods")
				}
			}
			assert.Equal(t, want, got.Warnings)
			again := request(object(", labels: {a: b}"), object(""))
			again.Kind = raw.Kind
			r, answer = review.Read(again)
			require.Nil(t, answer)
			got, err = r.Judge(t.Context(), world())
			require.NoError(t, err)
			assert.Empty(t, got.Warnings, "it was told of before")
		})
	}
}

func TestWhichKindsAreOperated(t *testing.T) {
	labelled := manifest.Object{"metadata": manifest.Object{"labels": manifest.Object{"kubetorch.com/autoscale": "true"}}}
	for _, kind := range []schema.GroupKind{{Group: "jobset.x-k8s.io", Kind: "JobSet"}, {Group: "ray.io", Kind: "RayService"}, {Group: "serving.kserve.io", Kind: "InferenceService"}, {Group: "batch.volcano.sh", Kind: "Job"}} {
		assert.True(t, review.Operated(kind), kind.String())
		assert.Len(t, review.RefuseKind(labelled, kind), 1, "the label is refused on a %s", kind)
	}
	for _, kind := range []schema.GroupKind{{Group: "batch", Kind: "Job"}, {Group: "trainer.kubeflow.org", Kind: "TrainJob"}, {Kind: "Pod"}} {
		assert.False(t, review.Operated(kind), kind.String())
	}
}
