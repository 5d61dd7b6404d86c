package install

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// A request while no replica answers. It names the entry of the configurations that it is
// about, if there is one.
type request struct {
	entry string
	// refusedBy is the entry that refuses it; nothing does if it is empty.
	refusedBy string
	do        func(ctx context.Context) error
}

// while no replica answers, what docs/operations.md promises for each entry holds, and the
// documented way out works. Item 60 of the checklist.
func TestWhileTheWebhookIsDown(t *testing.T) {
	installed(t)
	// Knative's own service, to be woken before its webhook has to answer.
	require.NoError(t, create(t.Context(), services, seeds, service("warm", "", 0, 1)))

	for _, r := range hook.Replicas {
		require.NoError(t, r.Process().Signal(syscall.SIGSTOP))
	}
	resume := sync.OnceFunc(func() {
		for _, r := range hook.Replicas {
			assert.NoError(t, r.Process().Signal(syscall.SIGCONT))
		}
	})
	defer resume()

	all := entries(t)
	covered := map[string]bool{}
	t.Run("what is promised", func(t *testing.T) {
		for what, r := range requests() {
			if r.entry != "" {
				require.Contains(t, all, r.entry)
				covered[r.entry] = true
				want := map[bool]string{true: "Ignore", false: "Fail"}[r.refusedBy != r.entry]
				assert.Equal(t, want, all[r.entry].failurePolicy, r.entry)
			}
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				begun := time.Now()
				err := r.do(ctx)
				took := time.Since(begun)
				switch {
				case r.refusedBy != "":
					require.Error(t, err)
					assert.Contains(t, err.Error(), fmt.Sprintf("failed calling webhook %q", r.refusedBy))
					assert.Less(t, took, 4*hookTimeout, "each step of admission gives up after its timeout")
				case r.entry != "":
					require.NoError(t, err)
					assert.Less(t, took, 4*hookTimeout)
				default:
					require.NoError(t, err)
					assert.Less(t, took, hookTimeout, "nobody asked the webhook")
				}
			})
		}
	})
	for name := range all {
		assert.True(t, covered[name], "nothing is asked about %s", name)
	}

	for _, command := range documented(t, "To get past it in an emergency:") {
		execute(t, command)
	}
	for what, r := range requests() {
		// The API server takes a moment to forget the configurations.
		harness.Eventually(t, what, func() bool { return r.do(t.Context()) == nil })
	}
	resume()
	for _, command := range documented(t, "again. Afterwards, as it was installed, of the same version:") {
		if command[0] == "helm" {
			execute(t, command)
		}
	}
	require.NoError(t, hook.Redirect(t.Context()))
	assert.Len(t, entries(t), len(all))
	harness.Eventually(t, "the webhook is asked again", func() bool {
		err := create(t.Context(), deployments, seeds, deployment("again", `labels: {kubetorch.com/compute: missing}`))
		return err != nil && strings.Contains(err.Error(), "missing")
	})
}

// requests are all dry runs, but for the scale and the status, which have none of their own.
func requests() map[string]request {
	const policy = `{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: down}, spec: {bounds: {maxScale: {max: 5}}}}`
	dry := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}
	patchAs := func(user string, gvr schema.GroupVersionResource, name, body string, subresources ...string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := as(user).Resource(gvr).Namespace(seeds).Patch(ctx, name, types.MergePatchType, []byte(body), dry, subresources...)
			return err
		}
	}
	patch := func(name, body string, subresources ...string) func(context.Context) error {
		return patchAs("", deployments, name, body, subresources...)
	}
	make := func(what, namespace string) func(context.Context) error {
		return func(ctx context.Context) error { return create(ctx, deployments, namespace, what) }
	}
	seeded := func(gvr schema.GroupVersionResource, text string) func(context.Context) error {
		return func(ctx context.Context) error { return create(ctx, gvr, seeds, text) }
	}
	const autoscale = `labels: {kubetorch.com/autoscale: "true"}`
	found := map[string]request{
		"a labelled Knative Service":  {"expand.kubetorch.com", "expand.kubetorch.com", func(ctx context.Context) error { return create(ctx, services, seeds, service("a", autoscale, 0, 1)) }},
		"another Knative Service":     {"clamp.kubetorch.com", "validate.kubetorch.com", func(ctx context.Context) error { return create(ctx, services, seeds, service("b", "", 0, 1)) }},
		"a Knative Service with GPUs": {"validate.kubetorch.com", "validate.kubetorch.com", func(ctx context.Context) error { return create(ctx, services, seeds, service("c", "", 1, 1)) }},

		"a labelled Deployment":              {"expand-deployments.kubetorch.com", "expand-deployments.kubetorch.com", make(deployment("d", autoscale), seeds)},
		"a Deployment loses its label":       {"expand-deployments.kubetorch.com", "expand-deployments.kubetorch.com", patch("labelled", `{"metadata":{"labels":{"kubetorch.com/compute":null}}}`)},
		"a Deployment with GPUs":             {"validate-deployments.kubetorch.com", "validate-deployments.kubetorch.com", make(withGPU("e", ""), seeds)},
		"a Deployment without":               {do: make(deployment("f", ""), seeds)},
		"an update of a Deployment":          {do: patch("plain", `{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}`)},
		"a Deployment gets a label":          {"expand-deployments.kubetorch.com", "expand-deployments.kubetorch.com", patch("plain", `{"metadata":{"labels":{"kubetorch.com/compute":"true"}}}`)},
		"a Deployment is scaled up":          {"scale.kubetorch.com", "validate-scale.kubetorch.com", patch("plain", `{"spec":{"replicas":4}}`, "scale")},
		"a labelled one is scaled up":        {"validate-scale.kubetorch.com", "validate-scale.kubetorch.com", patch("labelled", `{"spec":{"replicas":4}}`, "scale")},
		"an autoscaler scales it up":         {"validate-autoscaled.kubetorch.com", "", patchAs(horizontalAutoscaler, deployments, "plain", `{"spec":{"replicas":4}}`, "scale")},
		"Knative scales one with GPUs":       {"validate-knatives-deployments.kubetorch.com", "", patchAs(knative, deployments, "gpus", `{"spec":{"replicas":4}}`)},
		"a Deployment is scaled down":        {do: patch("plain", `{"spec":{"replicas":0}}`, "scale")},
		"the status of a Deployment":         {do: patch("plain", `{"status":{"observedGeneration":9}}`, "status")},
		"annotations by status, with record": {"validate-status.kubetorch.com", "validate-status.kubetorch.com", patch("exempted", `{"metadata":{"annotations":{"a":"b"}}}`, "status")},
		"the status of one with a record":    {do: patch("exempted", `{"status":{"observedGeneration":9}}`, "status")},
		"a Configuration": {"validate-revisions.kubetorch.com", "validate-revisions.kubetorch.com", func(ctx context.Context) error {
			return create(ctx, configurations, seeds, strings.Replace(service("g", "", 0, 1), "kind: Service", "kind: Configuration", 1))
		}},
		"a Route that names a revision": {"validate-routes.kubetorch.com", "validate-routes.kubetorch.com", func(ctx context.Context) error { return create(ctx, routes, seeds, route("h", "revisionName: some")) }},
		"a Route that names none": {do: func(ctx context.Context) error {
			return create(ctx, routes, seeds, route("i", "configurationName: some"))
		}},
		"a PodAutoscaler":            {"validate-autoscalers.kubetorch.com", "validate-autoscalers.kubetorch.com", func(ctx context.Context) error { return create(ctx, autoscalers, seeds, podAutoscaler) }},
		"a StatefulSet with a label": {"kinds.kubetorch.com", "kinds.kubetorch.com", func(ctx context.Context) error { return create(ctx, statefulSets, seeds, statefulSet("j", autoscale)) }},
		"a StatefulSet without":      {do: func(ctx context.Context) error { return create(ctx, statefulSets, seeds, statefulSet("k", "")) }},
		"a Job with GPUs":            {"validate-workloads.kubetorch.com", "validate-workloads.kubetorch.com", seeded(jobs, job("m", 1))},
		"a Job without":              {do: seeded(jobs, job("t", 0))},
		"a CronJob with GPUs":        {"validate-cronjobs.kubetorch.com", "validate-cronjobs.kubetorch.com", seeded(cronJobs, cronJob)},
		"a Pod with GPUs":            {"validate-pods.kubetorch.com", "validate-pods.kubetorch.com", seeded(pods, pod("o", "", 1))},
		"a Pod without":              {do: seeded(pods, pod("p", "", 0))},
		"a Pod by its controller": {"validate-controlled-pods.kubetorch.com", "", func(ctx context.Context) error {
			_, err := as(replicaSetController).Resource(pods).Namespace(seeds).Create(ctx, parse(pod("q", controlled, 1)), metav1.CreateOptions{DryRun: dry.DryRun})
			return err
		}},
		"a DaemonSet's Pod by its controller": {"validate-pods.kubetorch.com", "validate-pods.kubetorch.com", func(ctx context.Context) error {
			owned := strings.Replace(controlled, "ReplicaSet", "DaemonSet", 1)
			_, err := as(daemonSetController).Resource(pods).Namespace(seeds).Create(ctx, parse(pod("ds", owned, 1)), metav1.CreateOptions{DryRun: dry.DryRun})
			return err
		}},
		"a Pod that claims a controller":  {"validate-pods.kubetorch.com", "validate-pods.kubetorch.com", seeded(pods, pod("r", controlled, 1))},
		"a Pod is taken from its owner":   {"validate-released-pods.kubetorch.com", "validate-released-pods.kubetorch.com", patchAs("", pods, "owned", `{"metadata":{"ownerReferences":null}}`)},
		"its controller lets go of a Pod": {"validate-released-pods.kubetorch.com", "validate-released-pods.kubetorch.com", patchAs(replicaSetController, pods, "owned", `{"metadata":{"ownerReferences":null}}`)},
		"a controller adopts a Pod": {"validate-adopted-pods.kubetorch.com", "", patchAs(replicaSetController, pods, "nobodys",
			`{"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"adopter","controller":true}]}}`)},
		"a Pod is taken by the collector":    {"validate-orphaned-pods.kubetorch.com", "", patchAs(collector, pods, "owned", `{"metadata":{"ownerReferences":null}}`)},
		"a Pod gets an annotation":           {do: patchAs("", pods, "owned", `{"metadata":{"annotations":{"a":"b"}}}`)},
		"somebody says that a Pod has ended": {"validate-pod-status.kubetorch.com", "validate-pod-status.kubetorch.com", patchAs("", pods, "owned", `{"status":{"phase":"Failed"}}`, "status")},
		"the collector of pods says so":      {do: patchAs(podCollector, pods, "owned", `{"status":{"phase":"Failed"}}`, "status")},
		"somebody says that a Job has ended": {"validate-job-status.kubetorch.com", "validate-job-status.kubetorch.com", patchAs("", jobs, "suspended", `{"status":{"succeeded":1}}`, "status")},
		"its controller says so":             {do: patchAs(jobController, jobs, "suspended", `{"status":{"succeeded":1}}`, "status")},
		"a HorizontalPodAutoscaler":          {"validate-horizontalpodautoscalers.kubetorch.com", "validate-horizontalpodautoscalers.kubetorch.com", seeded(horizontalAutoscalers, horizontalPodAutoscaler)},
		"a LimitRange that gives GPUs":       {"validate-limitranges.kubetorch.com", "validate-limitranges.kubetorch.com", seeded(limitRanges, limitRange("nvidia.com/gpu"))},
		"a LimitRange that gives memory":     {do: seeded(limitRanges, limitRange("memory"))},
		"a ResourceClaim":                    {"validate-resourceclaims.kubetorch.com", "validate-resourceclaims.kubetorch.com", seeded(resourceClaims, resourceClaim("ResourceClaim"))},
		"a ResourceClaim by its controller": {"validate-controlled-resourceclaims.kubetorch.com", "", func(ctx context.Context) error {
			_, err := as(claimController).Resource(resourceClaims).Namespace(seeds).Create(ctx, parse(resourceClaim("ResourceClaim")), metav1.CreateOptions{DryRun: dry.DryRun})
			return err
		}},
		"a ResourceClaimTemplate":                  {"validate-resourceclaimtemplates.kubetorch.com", "validate-resourceclaimtemplates.kubetorch.com", seeded(resourceClaimTemplates, resourceClaim("ResourceClaimTemplate"))},
		"a JobSet":                                 {"validate-operators.kubetorch.com", "validate-operators.kubetorch.com", seeded(jobSets, jobSet("s"))},
		"a JobSet's status":                        {do: patchAs("", jobSets, "stored", `{"status":{"restarts":1}}`, "status")},
		"somebody says that a JobSet has finished": {"validate-operator-status.kubetorch.com", "validate-operator-status.kubetorch.com", patchAs("", jobSets, "stored", `{"status":{"conditions":[{"type":"Completed","status":"True"}]}}`, "status")},
		"its operator says so":                     {do: patchAs(jobSetOperator, jobSets, "stored", `{"status":{"conditions":[{"type":"Completed","status":"True"}]}}`, "status")},
		"a policy":                                 {"policies.kubetorch.com", "policies.kubetorch.com", func(ctx context.Context) error { return create(ctx, policies, "", policy) }},
		"a Namespace": {do: func(ctx context.Context) error {
			return create(ctx, namespaces, "", `{apiVersion: v1, kind: Namespace, metadata: {name: some}}`)
		}},
		"a Secret": {do: func(ctx context.Context) error {
			return create(ctx, secrets, seeds, `{apiVersion: v1, kind: Secret, metadata: {name: some}}`)
		}},
		"a Deployment with a label is removed": {do: func(ctx context.Context) error {
			return client.Resource(deployments).Namespace(seeds).Delete(ctx, "labelled", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		}},
	}
	for _, outside := range []string{"kube-system", "kube-node-lease", namespace, "cert-manager", "knative-serving"} {
		found["a labelled Deployment with GPUs in "+outside] = request{do: make(withGPU("l", autoscale), outside)}
	}
	return found
}

// Who asks, where it is not the administrator.
const (
	knative              = "system:serviceaccount:knative-serving:controller"
	horizontalAutoscaler = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
	replicaSetController = "system:serviceaccount:kube-system:replicaset-controller"
	daemonSetController  = "system:serviceaccount:kube-system:daemon-set-controller"
	jobController        = "system:serviceaccount:kube-system:job-controller"
	jobSetOperator       = "system:serviceaccount:jobset-system:jobset-controller-manager"
	claimController      = "system:serviceaccount:kube-system:resource-claim-controller"
	// collector is the garbage collector of all else.
	collector = "system:serviceaccount:kube-system:generic-garbage-collector"
	// podCollector is the garbage collector of pods.
	podCollector = "system:serviceaccount:kube-system:pod-garbage-collector"
)

// as asks in the name of an account with every right, so that only admission decides.
func as(user string) dynamic.Interface {
	if user == "" {
		return client
	}
	config := cluster.RESTConfig()
	config.WarningHandler = rest.NoWarnings{}
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
	c, err := dynamic.NewForConfig(config)
	if err != nil {
		panic(err)
	}
	return c
}

// pod is a Pod that no node takes, with lines of metadata.
func pod(name, metadata string, gpus int) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata:
  name: %s
  %s
spec:
  schedulingGates: [{name: example.com/never}]
  containers: [{name: work, image: "ghcr.io/example/work:1"%s}]
`, name, metadata, limits(gpus))
}

// controlled is the metadata of a Pod that belongs to a ReplicaSet.
const controlled = `ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: some, uid: 5b4b9a5e-1c2c-4bd5-9f39-0d8a6e1f7c11, controller: true}]`

// job is a suspended Job.
func job(name string, gpus int) string {
	return fmt.Sprintf("{apiVersion: batch/v1, kind: Job, metadata: {name: %s}, spec: {suspend: true, completions: 2, template: %s}}", name, runOnce(gpus))
}

var cronJob = fmt.Sprintf(`{apiVersion: batch/v1, kind: CronJob, metadata: {name: some}, spec: {schedule: "0 0 1 1 *", suspend: true, jobTemplate: {spec: {template: %s}}}}`, runOnce(1))

func runOnce(gpus int) string {
	return `{spec: {restartPolicy: Never, containers: [{name: work, image: "ghcr.io/example/work:1"` + limits(gpus) + `}]}}`
}

func limits(gpus int) string {
	if gpus == 0 {
		return ""
	}
	return fmt.Sprintf(`, resources: {limits: {nvidia.com/gpu: "%d"}}`, gpus)
}

func limitRange(resource string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: LimitRange, metadata: {name: some}, spec: {limits: [{type: Container, default: {%[1]s: "1"}, defaultRequest: {%[1]s: "1"}}]}}`, resource)
}

var (
	resourceClaims         = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceclaims"}
	resourceClaimTemplates = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceclaimtemplates"}
)

// resourceClaim is a claim of one GPU, or a template of one.
func resourceClaim(kind string) string {
	spec := `{devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.nvidia.com}}]}}`
	if kind == "ResourceClaimTemplate" {
		spec = `{spec: ` + spec + `}`
	}
	return fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: %s, metadata: {name: some}, spec: %s}`, kind, spec)
}

// jobSet is a JobSet, as far as the cluster here knows them.
func jobSet(name string) string {
	return fmt.Sprintf("{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: %s}, spec: {replicatedJobs: [{name: work, replicas: 1, template: {spec: {template: %s}}}]}}", name, runOnce(1))
}

const horizontalPodAutoscaler = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: some}
spec:
  maxReplicas: 3
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: plain}
`

func route(name, target string) string {
	return fmt.Sprintf("{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: %s}, spec: {traffic: [{%s, percent: 100}]}}", name, target)
}

func statefulSet(name, metadata string) string {
	return strings.Replace(strings.Replace(deployment(name, metadata), "kind: Deployment", "kind: StatefulSet", 1), "spec:\n", "spec:\n  serviceName: "+name+"\n", 1)
}

const podAutoscaler = `
apiVersion: autoscaling.internal.knative.dev/v1alpha1
kind: PodAutoscaler
metadata: {name: some}
spec:
  protocolType: http1
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: plain}
`
