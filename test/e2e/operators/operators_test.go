package operators

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

var (
	jobSets      = schema.GroupVersionResource{Group: "jobset.x-k8s.io", Version: "v1alpha2", Resource: "jobsets"}
	groups       = schema.GroupVersionResource{Group: "leaderworkerset.x-k8s.io", Version: "v1", Resource: "leaderworkersets"}
	rayClusters  = schema.GroupVersionResource{Group: "ray.io", Version: "v1", Resource: "rayclusters"}
	trainings    = schema.GroupVersionResource{Group: "acme.example", Version: "v1", Resource: "trainings"}
	batches      = schema.GroupVersionResource{Group: "acme.example", Version: "v1", Resource: "batches"}
	jobs         = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	autoscalers  = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	statefulSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}
	pods         = harness.PodResource
)

// scene is a namespace with a budget.
type scene struct {
	*testing.T
	namespace, budget string
}

func newScene(t *testing.T, most int) *scene {
	t.Helper()
	t.Parallel()
	s := &scene{T: t, namespace: harness.NewNamespace(t, client)}
	s.budget = "budget-" + s.namespace
	harness.NewBudget(t, client, s.budget, harness.Named(s.namespace), fmt.Sprintf("  max: %d\n", most))
	return s
}

// as is a client of a service account, with the rights that its operator has.
func (s *scene) as(account string) dynamic.Interface {
	s.Helper()
	config := rest.CopyConfig(cluster.RESTConfig())
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + strings.Replace(account, "/", ":", 1), Groups: []string{"system:serviceaccounts", "system:masters"},
	}
	c, err := dynamic.NewForConfig(config)
	require.NoError(s, err)
	return c
}

// create makes an object of YAML, controlled by another one if there is one.
func (s *scene) create(c dynamic.Interface, resource schema.GroupVersionResource, text string, owner *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	s.Helper()
	u := harness.Object(s, text)
	if owner != nil {
		controls := true
		u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(), UID: owner.GetUID(), Controller: &controls}})
	}
	var made *unstructured.Unstructured
	err := harness.Answered(func() (err error) {
		made, err = c.Resource(resource).Namespace(s.namespace).Create(context.Background(), u, metav1.CreateOptions{})
		return err
	})
	return made, err
}

func (s *scene) must(c dynamic.Interface, resource schema.GroupVersionResource, text string, owner *unstructured.Unstructured) *unstructured.Unstructured {
	s.Helper()
	made, err := s.create(c, resource, text, owner)
	require.NoError(s, err)
	return made
}

func (s *scene) patch(resource schema.GroupVersionResource, name, merge string, subresources ...string) error {
	s.Helper()
	return harness.Answered(func() error {
		_, err := client.Resource(resource).Namespace(s.namespace).Patch(context.Background(), name, types.MergePatchType, []byte(merge), metav1.PatchOptions{}, subresources...)
		return err
	})
}

func (s *scene) remove(resource schema.GroupVersionResource, name string) {
	s.Helper()
	background := metav1.DeletePropagationBackground
	require.NoError(s, harness.Answered(func() error {
		return client.Resource(resource).Namespace(s.namespace).Delete(context.Background(), name, metav1.DeleteOptions{PropagationPolicy: &background})
	}))
}

// held is what the ledger holds at this moment, what is under way included.
func (s *scene) held() int64 {
	s.Helper()
	b := harness.Budget(s, client, s.budget)
	return b.Status.Used + b.Status.Reserved
}

func (s *scene) awaitUsed(gpus int64) {
	s.Helper()
	harness.AwaitUsed(s, client, s.budget, gpus)
}

// awaitPods waits until there are so many pods.
func (s *scene) awaitPods(n int) {
	s.Helper()
	harness.Await(s, fmt.Sprintf("%d pods", n), func() (bool, string) {
		list, err := client.Resource(pods).Namespace(s.namespace).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return false, err.Error()
		}
		return len(list.Items) == n, fmt.Sprintf("%d pods", len(list.Items))
	})
}

func containers(gpus int) string {
	return fmt.Sprintf(`{restartPolicy: Always, containers: [{name: c, image: "nginx:1", resources: {limits: {nvidia.com/gpu: "%d"}}}]}`, gpus)
}

func jobSet(name string, replicas, gpus int, more string) string {
	return fmt.Sprintf(`{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: %s}, spec: {%s replicatedJobs: [{name: w, replicas: %d, template: {spec: {parallelism: 1, completions: 1, template: {spec: %s}}}}]}}`,
		name, more, replicas, strings.Replace(containers(gpus), "Always", "Never", 1))
}

func job(name string, gpus int, more string) string {
	return fmt.Sprintf(`{apiVersion: batch/v1, kind: Job, metadata: {name: %s}, spec: {%s parallelism: 1, completions: 1, template: {spec: %s}}}`,
		name, more, strings.Replace(containers(gpus), "Always", "Never", 1))
}

func TestAGangIsChargedOnceEarlyAndLate(t *testing.T) {
	s := newScene(t, 63)
	operator := s.as("jobset-system/jobset-controller-manager")
	_, err := s.create(client, jobSets, jobSet("gang", 8, 8, ""), nil)
	require.ErrorContains(t, err, "asks for 64 GPUs (8 x 8 pods); 63 of 63 are free in budget "+s.budget)
	assert.Zero(t, s.held(), "nothing of a gang that does not fit as a whole")

	gang := s.must(client, jobSets, jobSet("gang", 7, 8, ""), nil)
	assert.EqualValues(t, 56, s.held(), "early: nothing is made of it yet")
	s.awaitUsed(56)
	for i := range 7 {
		s.must(operator, jobs, job(fmt.Sprintf("gang-w-%d", i), 8, ""), gang)
		assert.EqualValues(t, 56, s.held(), "Job %d is part of it", i)
	}
	s.awaitPods(7)
	assert.EqualValues(t, 56, s.held(), "and so are their pods")
	s.awaitUsed(56)
	assert.EqualValues(t, 1, harness.Budget(t, client, s.budget).Status.Workloads)

	_, err = s.create(operator, jobs, job("gang-w-7", 8, ""), gang)
	assert.ErrorContains(t, err, "7 of 63 are free", "one more than it was admitted with")
	_, err = s.create(client, jobs, job("mine", 8, ""), gang)
	assert.ErrorContains(t, err, "7 of 63 are free", "a tenant's Job that only says whose it is")
	s.must(client, jobs, job("mine", 4, ""), gang)
	assert.EqualValues(t, 60, s.held())
	assert.ErrorContains(t, s.patch(jobSets, "gang", `{"spec":{"replicatedJobs":[{"name":"w","replicas":8,"template":{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"nginx:1","resources":{"limits":{"nvidia.com/gpu":"8"}}}]}}}}}]}}`), "are free in budget")

	s.remove(jobSets, "gang")
	s.awaitPods(0)
	s.awaitUsed(0)
}

func TestASuspendedGangIsJudgedWhenItStarts(t *testing.T) {
	s := newScene(t, 16)
	queue, operator := s.as("kueue-system/kueue-controller-manager"), s.as("jobset-system/jobset-controller-manager")
	gang := s.must(client, jobSets, jobSet("gang", 3, 8, "suspend: true,"), nil)
	s.must(operator, jobs, job("gang-w-0", 8, "suspend: true,"), gang)
	assert.Zero(t, s.held())
	start := func(c dynamic.Interface, resource schema.GroupVersionResource, name string) error {
		return harness.Answered(func() error {
			_, err := c.Resource(resource).Namespace(s.namespace).Patch(t.Context(), name, types.MergePatchType, []byte(`{"spec":{"suspend":false}}`), metav1.PatchOptions{})
			return err
		})
	}
	assert.ErrorContains(t, start(queue, jobSets, "gang"), "asks for 24 GPUs (8 x 3 pods); 16 of 16 are free", "whoever starts it")
	require.NoError(t, s.patch(jobSets, "gang", `{"spec":{"replicatedJobs":[{"name":"w","replicas":2,"template":{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"nginx:1","resources":{"limits":{"nvidia.com/gpu":"8"}}}]}}}}}]}}`))
	require.NoError(t, start(queue, jobSets, "gang"))
	assert.EqualValues(t, 16, s.held())
	require.NoError(t, start(operator, jobs, "gang-w-0"))
	s.must(operator, jobs, job("gang-w-1", 8, ""), gang)
	s.awaitPods(2)
	assert.EqualValues(t, 16, s.held())
	s.awaitUsed(16)

	// Once it has finished it holds what its pods do.
	require.NoError(t, s.says(operator, jobSets, "gang", completed))
	s.remove(jobs, "gang-w-0")
	s.awaitUsed(8)
	s.remove(jobs, "gang-w-1")
	s.awaitUsed(0)
}

func TestALeaderWorkerSetIsChargedWithItsLeadersAndWorkers(t *testing.T) {
	s := newScene(t, 12)
	operator := s.as("lws-system/lws-controller-manager")
	group := s.must(client, groups, `{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, metadata: {name: llm}, spec: {replicas: 2, leaderWorkerTemplate: {size: 3, workerTemplate: {spec: `+containers(1)+`}}}}`, nil)
	assert.EqualValues(t, 6, s.held())
	set := func(name string, replicas int, more string) string {
		return fmt.Sprintf(`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: %s}, spec: {replicas: %d, serviceName: llm, podManagementPolicy: Parallel, %s selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s}}, spec: %s}}}`, name, replicas, more, name, name, containers(1))
	}
	s.must(operator, statefulSets, set("llm", 2, ""), group)
	s.awaitPods(2)
	assert.EqualValues(t, 6, s.held(), "the leaders are part of it")
	for i := range 2 {
		leader, err := harness.Read(func() (*unstructured.Unstructured, error) {
			return client.Resource(pods).Namespace(s.namespace).Get(t.Context(), fmt.Sprintf("llm-%d", i), metav1.GetOptions{})
		})
		require.NoError(t, err)
		leader.SetAPIVersion("v1")
		leader.SetKind("Pod")
		s.must(operator, statefulSets, set(leader.GetName(), 2, "ordinals: {start: 1},"), leader)
	}
	s.awaitPods(6)
	assert.EqualValues(t, 6, s.held(), "and so are the workers")
	s.awaitUsed(6)

	assert.ErrorContains(t, s.patch(groups, "llm", `{"spec":{"replicas":5}}`, "scale"), "asks for 15 GPUs (1 x 15 pods); 6 of 12 are free", "kubectl scale")
	autoscaler := func(most int) string {
		return fmt.Sprintf(`{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: llm}, spec: {minReplicas: 2, maxReplicas: %d, scaleTargetRef: {apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, name: llm}}}`, most)
	}
	_, err := s.create(client, autoscalers, autoscaler(5), nil)
	assert.ErrorContains(t, err, "spec.maxReplicas: Forbidden: asks for 15 GPUs (1 x 15 pods); 6 of 12 are free")
	s.must(client, autoscalers, autoscaler(4), nil)
	s.awaitUsed(12)
	require.NoError(t, s.patch(groups, "llm", `{"spec":{"replicas":4}}`, "scale"))
	assert.EqualValues(t, 12, s.held(), "it was charged with what its autoscaler may do")
	s.remove(groups, "llm")
	s.awaitUsed(0)
}

func TestARayClusterIsChargedWithItsPods(t *testing.T) {
	s := newScene(t, 20)
	operator := s.as("kuberay-operator/kuberay-operator")
	ray := s.must(client, rayClusters, `{apiVersion: ray.io/v1, kind: RayCluster, metadata: {name: ray}, spec: {headGroupSpec: {template: {spec: `+containers(1)+`}}, workerGroupSpecs: [{groupName: w, replicas: 2, minReplicas: 0, maxReplicas: 9, template: {spec: `+containers(8)+`}}]}}`, nil)
	assert.EqualValues(t, 17, s.held())
	pod := func(name string, gpus int) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: %s}`, name, containers(gpus))
	}
	s.must(operator, pods, pod("ray-head", 1), ray)
	s.must(operator, pods, pod("ray-w-1", 8), ray)
	s.must(operator, pods, pod("ray-w-2", 8), ray)
	assert.EqualValues(t, 17, s.held())
	s.awaitUsed(17)
	_, err := s.create(operator, pods, pod("ray-w-3", 8), ray)
	assert.ErrorContains(t, err, "3 of 20 are free")
	assert.ErrorContains(t, s.patch(rayClusters, "ray", `{"spec":{"enableInTreeAutoscaling":true}}`), "asks for 73 GPUs (1 x 1 pod + 8 x 9 pods)", "as far as its autoscaler may go")
	s.remove(pods, "ray-w-1")
	s.must(operator, pods, pod("ray-w-4", 8), ray)
	assert.EqualValues(t, 17, s.held(), "one in place of another")
	s.remove(rayClusters, "ray")
	s.awaitUsed(0)
}

func TestAPlatformTeamsOwnKindIsHeldLikeTheOthers(t *testing.T) {
	s := newScene(t, 16)
	operator := s.as("acme-system/acme-operator")
	training := func(nodes int, metadata string) string {
		return fmt.Sprintf(`{apiVersion: acme.example/v1, kind: Training, metadata: {name: t%s}, spec: {nodes: %d, perNode: 2, template: {spec: %s}}}`, metadata, nodes, containers(4))
	}
	_, err := s.create(client, trainings, training(3, ""), nil)
	require.ErrorContains(t, err, "asks for 24 GPUs (4 x 6 pods); 16 of 16 are free")
	_, err = s.create(client, trainings, training(1, `, labels: {kubetorch.com/autoscale: "true"}`), nil)
	require.ErrorContains(t, err, "metadata.labels[kubetorch.com/autoscale]")
	made := s.must(client, trainings, training(1, ""), nil)
	assert.EqualValues(t, 8, s.held())
	for i := range 2 {
		s.must(operator, pods, fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: t-%d}, spec: %s}`, i, containers(4)), made)
	}
	assert.EqualValues(t, 8, s.held())
	assert.ErrorContains(t, s.patch(trainings, "t", `{"spec":{"replicas":3}}`, "scale"), "asks for 24 GPUs (4 x 6 pods)")
	require.NoError(t, s.patch(trainings, "t", `{"spec":{"replicas":2}}`, "scale"))
	s.awaitUsed(16)
	s.remove(trainings, "t")
	s.awaitUsed(0)
}

// TestAParameterOnAnOperatorsKindIsToldOf: on a new object, and on one that is there.
func TestAParameterOnAnOperatorsKindIsToldOf(t *testing.T) {
	s := newScene(t, 8)
	warned := &harness.Warnings{}
	config := rest.CopyConfig(cluster.RESTConfig())
	config.WarningHandler = warned
	c, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	s.must(c, jobSets, jobSet("gang", 1, 1, ""), nil)
	warned.Taken()
	require.NoError(t, harness.Answered(func() error {
		_, err := c.Resource(jobSets).Namespace(s.namespace).Patch(t.Context(), "gang", types.MergePatchType, []byte(`{"metadata":{"annotations":{"compute.kubetorch.com/gpus":"8"}}}`), metav1.PatchOptions{})
		return err
	}))
	assert.Equal(t, []string{"metadata.annotations[compute.kubetorch.com/gpus] has no effect on a JobSet.jobset.x-k8s.io: its operator makes its pods"}, warned.Taken())
}

// The label, and our parameters, mean nothing on any of these kinds: the one is refused, the others are
// told of.
func TestOurLabelIsRefusedOnOperatorsKinds(t *testing.T) {
	s := newScene(t, 8)
	for resource, spec := range map[schema.GroupVersionResource]string{
		jobSets: "apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet", groups: "apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet", rayClusters: "apiVersion: ray.io/v1, kind: RayCluster",
	} {
		_, err := s.create(client, resource, `{`+spec+`, metadata: {name: x, labels: {kubetorch.com/autoscale: "true"}}, spec: {}}`, nil)
		assert.ErrorContains(t, err, "metadata.labels[kubetorch.com/autoscale]", resource.Resource)
		assert.ErrorContains(t, err, "cannot be expanded", resource.Resource)
	}
}

// A tenant may write what an operator made: the operator makes another in the place of what is taken from
// its object, or deleted without its pods, or with pods that take their time to end.
func TestWhatATenantTakesFromAnOperatorIsHeld(t *testing.T) {
	s := newScene(t, 16)
	ray, sets := s.as("kuberay-operator/kuberay-operator"), s.as("jobset-system/jobset-controller-manager")
	cluster := s.must(client, rayClusters, `{apiVersion: ray.io/v1, kind: RayCluster, metadata: {name: ray}, spec: {headGroupSpec: {template: {spec: {}}}, workerGroupSpecs: [{groupName: w, replicas: 1, maxReplicas: 1, template: {spec: `+containers(8)+`}}]}}`, nil)
	s.must(ray, pods, `{apiVersion: v1, kind: Pod, metadata: {name: ray-w-1}, spec: `+containers(8)+`}`, cluster)
	gang := s.must(client, jobSets, jobSet("gang", 1, 8, ""), nil)
	s.must(sets, jobs, job("gang-w-0", 8, ""), gang)
	s.awaitPods(2)
	const taken = `{"metadata":{"ownerReferences":null}}`
	assert.ErrorContains(t, s.patch(pods, "ray-w-1", taken), "0 of 16 are free in budget "+s.budget)
	assert.ErrorContains(t, s.patch(jobs, "gang-w-0", taken), "0 of 16 are free in budget "+s.budget)

	background := metav1.DeletePropagationBackground
	orphan := metav1.DeletePropagationOrphan
	list, err := client.Resource(pods).Namespace(s.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=gang-w-0"})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	pod := list.Items[0].GetName()
	require.NoError(t, s.patch(pods, pod, `{"metadata":{"finalizers":["e2e.kubetorch.com/stays"]}}`))
	require.NoError(t, client.Resource(jobs).Namespace(s.namespace).Delete(t.Context(), "gang-w-0", metav1.DeleteOptions{PropagationPolicy: &background}))
	harness.Await(t, "the Job to be gone", func() (bool, string) {
		_, err := client.Resource(jobs).Namespace(s.namespace).Get(t.Context(), "gang-w-0", metav1.GetOptions{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	_, err = s.create(sets, jobs, job("gang-w-0", 8, ""), gang)
	assert.ErrorContains(t, err, "are free in budget "+s.budget, "its pod is there still")
	require.NoError(t, s.patch(pods, pod, `{"metadata":{"finalizers":null}}`))
	s.awaitPods(1)
	harness.Await(t, "room for the Job again", func() (bool, string) {
		_, err := s.create(sets, jobs, job("gang-w-0", 8, ""), gang)
		return err == nil, fmt.Sprint(err)
	})
	s.awaitPods(2)

	require.NoError(t, client.Resource(jobs).Namespace(s.namespace).Delete(t.Context(), "gang-w-0", metav1.DeleteOptions{PropagationPolicy: &orphan}))
	_, err = s.create(sets, jobs, job("gang-w-1", 8, ""), gang)
	assert.ErrorContains(t, err, "are free in budget "+s.budget, "the orphan is there still")
	s.awaitPods(2)
}
