// Devices are claimed where nobody counts them: by a template that is swapped, a claim that many share, or one
// that only says whose it is; and under what names a template it is made anew with more.

package app

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

const (
	claimController = "system:serviceaccount:kube-system:resource-claim-controller"
	kubeScheduler   = "system:kube-scheduler"
)

// gpuRequests are requests for a number of GPUs.
func gpuRequests(gpus int) string {
	return fmt.Sprintf("[{name: gpu, exactly: {deviceClassName: gpu.nvidia.com, count: %d}}]", gpus)
}

func claimTemplate(name, requests string) string {
	return fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: %s, namespace: team, uid: %s-uid}, spec: {spec: {devices: {requests: %s}}}}`, name, name, requests)
}

// resourceClaim is a claim with further metadata.
func resourceClaim(name, metadata, requests string) string {
	return fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: %s, namespace: team, uid: %s-uid%s}, spec: {devices: {requests: %s}}}`, name, name, metadata, requests)
}

// madeFor is the metadata of a claim that the claim controller makes for a pod, or somebody who says so.
func madeFor(pod, entry string) string {
	return fmt.Sprintf(`, annotations: {resource.kubernetes.io/pod-claim-name: %s}, ownerReferences: [%s]`, entry, ownerOf("v1", "Pod", pod))
}

// Metadata of claims that Kubernetes holds, and that are to go.
const (
	protected = ", finalizers: [resource.kubernetes.io/delete-protection]"
	deleting  = `, deletionTimestamp: "2026-11-30T00:00:00Z"`
)

// reserved is a claim that a pod uses.
func reserved(claim string) string {
	return strings.Replace(claim, "spec: {", "status: {allocation: {}, reservedFor: [{resource: pods, name: p, uid: p}]}, spec: {", 1)
}

func extendedFor(pod string) string {
	return fmt.Sprintf(`, annotations: {resource.kubernetes.io/extended-resource-claim: "true"}, ownerReferences: [%s]`, ownerOf("v1", "Pod", pod))
}

// claiming has the pods of an object have resource claims in place of a resource.
func claiming(object, claims string) string {
	return strings.Replace(object, podSpecOf(0), fmt.Sprintf(`{resourceClaims: [%s], containers: [{name: c, image: a}]}`, claims), 1)
}

// TestDevicesAreChargedHoweverTheyAreClaimed goes through requests one after the other, with a budget of 10
// GPUs.
func TestDevicesAreChargedHoweverTheyAreClaimed(t *testing.T) {
	const (
		four   = "{name: g, resourceClaimTemplateName: four}"
		shared = "{name: g, resourceClaimName: mine}"
	)
	set := func(replicas int, claims string) string {
		return claiming(of("apps/v1", "StatefulSet", "set", fmt.Sprintf("replicas: %d", replicas), 0), claims)
	}
	pod := func(name, app, owner, claims string) string { return claiming(podOf(name, app, owner, 0), claims) }
	setPod := func(name string) string { return pod(name, "set", ownerOf("apps/v1", "StatefulSet", "set"), four) }
	for name, steps := range map[string][]step{
		"templates in every kind": {
			{what: "the template", object: claimTemplate("four", gpuRequests(4))},
			{what: "a StatefulSet", object: set(2, four), used: 8},
			{what: "scaled", subresource: "statefulsets/scale", object: scaleTo("set", 3), old: scaleTo("set", 2), refused: "asks for 12 GPUs (4 x 3 pods); 2 of 10 are free in budget b", used: 8},
			{what: "a pod of it", user: account("statefulset-controller"), object: setPod("set-0"), used: 8},
			{what: "its claim", user: claimController, object: resourceClaim("set-0-g", madeFor("set-0", "g"), gpuRequests(4)), used: 8},
			{what: "a Job", object: claiming(of("batch/v1", "Job", "job", "parallelism: 1", 0), four), refused: "asks for 4 GPUs (4 x 1 pod)", used: 8},
			{what: "a Deployment", object: claiming(of("apps/v1", "Deployment", "web", "replicas: 1", 0), four), refused: "asks for 4 GPUs (4 x 1 pod)", used: 8},
			{what: "a ReplicaSet", object: claiming(of("apps/v1", "ReplicaSet", "rs", "replicas: 1", 0), four), refused: "asks for 4 GPUs (4 x 1 pod)", used: 8},
			{what: "a ReplicationController", object: `{apiVersion: v1, kind: ReplicationController, metadata: {name: rc, namespace: team, uid: rc}, spec: {replicas: 1, selector: {app: rc}, template: {spec: {resourceClaims: [` + four + `]}}}}`, refused: "asks for 4 GPUs (4 x 1 pod)", used: 8},
			{what: "a Pod", object: pod("p", "x", "", four), refused: "asks for 4 GPUs (4 x 1 pod)", used: 8},
			{what: "a CronJob, which is charged by its Jobs", object: `{apiVersion: batch/v1, kind: CronJob, metadata: {name: c, namespace: team, uid: c}, spec: {jobTemplate: {spec: {template: {spec: {resourceClaims: [` + four + `]}}}}}}`, used: 8},
			{what: "its Job", user: account("cronjob-controller"), object: strings.Replace(claiming(of("batch/v1", "Job", "job", "parallelism: 1", 0), four), "uid: job-uid", "uid: job-uid, ownerReferences: ["+ownerOf("batch/v1", "CronJob", "c")+"]", 1), refused: "asks for 4 GPUs", used: 8},
			{what: "a DaemonSet, which is charged by its pods", object: claiming(of("apps/v1", "DaemonSet", "ds", "minReadySeconds: 0", 0), four), used: 8},
			{what: "a pod of it", user: account("daemon-set-controller"), object: pod("ds-a", "ds", ownerOf("apps/v1", "DaemonSet", "ds"), four), refused: "asks for 4 GPUs", used: 8},
			{what: "deleted", old: set(2, four), deleted: true},
		},
		"a template that is swapped under its users": {
			{what: "a template", object: claimTemplate("four", gpuRequests(1))},
			{what: "what names it", object: set(3, four), used: 3},
			{what: "a pod of it", user: account("statefulset-controller"), object: setPod("set-0"), used: 3},
			{what: "the template goes", old: claimTemplate("four", gpuRequests(1)), deleted: true, used: 3},
			{what: "one with more", object: claimTemplate("four", gpuRequests(4)), refused: "spec.spec.devices.requests: Forbidden: asks for 12 GPUs (StatefulSet set, which names this template); 7 of 10 are free in budget b, and it would take 9 more than it has", used: 3},
			{what: "of everything", object: claimTemplate("four", "[{name: a, exactly: {deviceClassName: gpu.nvidia.com, allocationMode: All}}]"), refused: "asks for 96 GPUs", used: 3},
			{what: "of what nobody can count", object: claimTemplate("four", "[{name: a, exactly: {deviceClassName: secret}}]"), refused: "spec.spec.devices.requests[0].exactly.deviceClassName: Forbidden: devices of DeviceClass secret, which no policy lists", used: 3},
			{what: "as much as fits", object: claimTemplate("four", gpuRequests(3)), used: 9},
			{what: "that nobody names", object: claimTemplate("other", gpuRequests(300)), used: 9},
		},
		"a pod whose template was swapped before its claim was made": {
			{what: "a template", object: claimTemplate("four", gpuRequests(4))},
			{what: "a pod", object: pod("p", "x", "", four), used: 4},
			{what: "a claim with more than it was admitted with", user: claimController, object: resourceClaim("p-g", madeFor("p", "g"), gpuRequests(12)), refused: "asks for 12 GPUs", used: 4},
			{what: "a claim as admitted", user: claimController, object: resourceClaim("p-g", madeFor("p", "g"), gpuRequests(4)), used: 4},
			{what: "a second one for the same", user: claimController, object: resourceClaim("p-g2", madeFor("p", "g"), gpuRequests(4)), used: 8},
			{what: "a third", user: claimController, object: resourceClaim("p-g3", madeFor("p", "g"), gpuRequests(4)), refused: "spec.devices.requests: Forbidden: asks for 4 GPUs (devices of one ResourceClaim); 2 of 10 are free in budget b", used: 8},
			{what: "the first is taken from the pod, which may get another", object: resourceClaim("p-g", "", gpuRequests(4)), old: resourceClaim("p-g", madeFor("p", "g"), gpuRequests(4)), refused: "asks for 4 GPUs (devices of one ResourceClaim)", used: 8},
			{what: "a label of it changes", object: resourceClaim("p-g", ", labels: {a: b}"+madeFor("p", "g"), gpuRequests(4)), old: resourceClaim("p-g", madeFor("p", "g"), gpuRequests(4)), used: 8},
		},
		"one claim for many pods": {
			{what: "made by hand", object: resourceClaim("mine", "", gpuRequests(6)), used: 6},
			{what: "many pods", object: set(50, shared), used: 6},
			{what: "another claim", object: resourceClaim("yours", "", gpuRequests(6)), refused: "spec.devices.requests: Forbidden: asks for 6 GPUs (devices of one ResourceClaim); 4 of 10 are free in budget b", used: 6},
			{what: "of anything but GPUs", object: resourceClaim("channel", "", "[{name: a, exactly: {deviceClassName: compute-domain-default-channel.nvidia.com}}]"), used: 6},
			{what: "deleted", old: resourceClaim("mine", "", gpuRequests(6)), deleted: true},
		},
		"a claim that is to go while a pod has its devices": {
			{what: "made by hand", object: resourceClaim("mine", "", gpuRequests(6)), used: 6},
			{what: "its protection is taken", object: reserved(resourceClaim("mine", "", gpuRequests(6))), old: reserved(resourceClaim("mine", protected, gpuRequests(6))), refused: "metadata.finalizers: Forbidden: resource.kubernetes.io/delete-protection stays while devices are allocated, or pods use the claim", used: 6},
			{what: "while it is being deleted", object: reserved(resourceClaim("mine", deleting, gpuRequests(6))), old: reserved(resourceClaim("mine", deleting+protected, gpuRequests(6))), refused: "metadata.finalizers: Forbidden", used: 6},
			{what: "by the controller of claims", user: claimController, object: reserved(resourceClaim("mine", deleting, gpuRequests(6))), old: reserved(resourceClaim("mine", deleting+protected, gpuRequests(6))), used: 6},
			{what: "that nobody uses", object: resourceClaim("mine", "", gpuRequests(6)), old: resourceClaim("mine", protected, gpuRequests(6)), used: 6},
			{what: "its other finalizers", object: reserved(resourceClaim("mine", protected, gpuRequests(6))), old: reserved(resourceClaim("mine", strings.Replace(protected, "]", ", a.b/c]", 1), gpuRequests(6))), used: 6},
		},
		"claims of other shapes": {
			{what: "all that there are", object: resourceClaim("a", "", "[{name: a, exactly: {deviceClassName: gpu.nvidia.com, allocationMode: All}}]"), refused: "asks for 32 GPUs"},
			{what: "the largest alternative", object: resourceClaim("a", "", "[{name: a, firstAvailable: [{name: x, deviceClassName: mig.nvidia.com, count: 2}, {name: y, deviceClassName: gpu.nvidia.com, count: 20}]}]"), refused: "asks for 20 GPUs"},
			{what: "admin access without the namespace's label", object: resourceClaim("a", "", "[{name: a, exactly: {deviceClassName: gpu.nvidia.com, count: 11, adminAccess: true}}]"), refused: "asks for 11 GPUs"},
			{what: "of a class that nobody lists", object: resourceClaim("a", "", "[{name: a, exactly: {deviceClassName: secret}}]"), refused: "spec.devices.requests[0].exactly.deviceClassName: Forbidden: devices of DeviceClass secret, which no policy lists, cannot be counted as GPUs; the platform team lists it in gpuDeviceClasses"},
			{what: "of a pod group", object: resourceClaim("a", ", ownerReferences: [{apiVersion: scheduling.k8s.io/v1alpha2, kind: PodGroup, name: g, uid: g, controller: true}]", gpuRequests(1)), refused: "is a claim of a pod group"},
			{what: "shares of devices, by their capacity", object: resourceClaim("a", "", "[{name: a, exactly: {deviceClassName: gpu.nvidia.com, count: 11, capacity: {requests: {memory: 1Gi}}}}]"), refused: "asks for 11 GPUs"},
			{what: "two requests", object: resourceClaim("a", "", "[{name: a, exactly: {deviceClassName: gpu.nvidia.com, count: 4}}, {name: b, exactly: {deviceClassName: gpu.amd.com, count: 5}}]"), used: 9},
		},
		"a claim that only says whose it is": {
			{what: "the template", object: claimTemplate("four", gpuRequests(4))},
			{what: "a pod", object: pod("p", "x", "", four), used: 4},
			{what: "by a tenant", user: "eve", object: resourceClaim("e", madeFor("p", "g"), gpuRequests(7)), refused: "asks for 7 GPUs (devices of one ResourceClaim)", used: 4},
			{what: "for a pod of another UID", user: claimController, object: strings.Replace(resourceClaim("e", madeFor("p", "g"), gpuRequests(7)), "uid: p-uid", "uid: other", 1), refused: "asks for 7 GPUs (devices", used: 4},
			{what: "for a claim that the pod has not", user: claimController, object: resourceClaim("e", madeFor("p", "h"), gpuRequests(7)), refused: "asks for 7 GPUs (devices", used: 4},
			{what: "for extended resources, by a tenant", user: "eve", object: resourceClaim("e", extendedFor("p"), gpuRequests(7)), refused: "asks for 7 GPUs (devices", used: 4},
			{what: "for extended resources, by the controller of claims", user: claimController, object: resourceClaim("e", extendedFor("p"), gpuRequests(7)), refused: "asks for 7 GPUs (devices", used: 4},
		},
		"the scheduler's claim for extended resources": {
			{what: "a pod", object: podOf("p", "x", "", 6), used: 6},
			{what: "its devices", user: kubeScheduler, object: resourceClaim("p-ext", extendedFor("p"), gpuRequests(6)), used: 6},
			{what: "more than it asked for", user: kubeScheduler, object: resourceClaim("p-ext2", extendedFor("p"), gpuRequests(11)), refused: "asks for 11 GPUs", used: 6},
			{what: "a tenant says which it is", user: "eve", subresource: "pods/status", object: strings.Replace(podOf("p", "x", "", 6), "spec: {", "status: {extendedResourceClaimStatus: {resourceClaimName: mine}}, spec: {", 1), old: podOf("p", "x", "", 6), refused: "status.extendedResourceClaimStatus: Forbidden: only the scheduler", used: 6},
			{what: "the scheduler says so", user: kubeScheduler, subresource: "pods/status", object: strings.Replace(podOf("p", "x", "", 6), "spec: {", "status: {extendedResourceClaimStatus: {resourceClaimName: p-ext}}, spec: {", 1), old: podOf("p", "x", "", 6), used: 6},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, ledgers := standalone()
			for _, s := range steps {
				answer := e.validate(t.Context(), requestOf(t, s))
				if s.refused == "" {
					require.True(t, answer.Allowed, "%s: %+v", s.what, answer.Result)
				} else {
					require.False(t, answer.Allowed, s.what)
					assert.Contains(t, answer.Result.Message, s.refused, s.what)
					assert.EqualValues(t, 403, answer.Result.Code, s.what)
				}
				assert.Equal(t, s.used, ledgers.Status("b").Used, s.what)
			}
		})
	}
}

// TestATemplateThatIsMadeAnewHasToBeWithinTheBoundsOfWhatNamesIt, of whatever kind that is: bounds of 2 GPUs in
// each pod, and 4 in each workload.
func TestATemplateThatIsMadeAnewHasToBeWithinTheBoundsOfWhatNamesIt(t *testing.T) {
	var p v1alpha1.ComputePolicy
	require.NoError(t, yaml.Unmarshal([]byte(`{metadata: {name: p}, spec: {bounds: {gpusPerPod: {max: 2}, gpusPerWorkload: {max: 4}}}}`), &p))
	const entry = "{name: g, resourceClaimTemplateName: one}"
	spec := fmt.Sprintf("{resourceClaims: [%s], containers: [{name: c, image: a}]}", entry)
	ray := fmt.Sprintf(`{apiVersion: %s, kind: RayCluster, metadata: {name: ray, namespace: team, uid: ray-uid}, spec: {headGroupSpec: {template: {spec: {}}}, workerGroupSpecs: [{replicas: 3, maxReplicas: 3, template: {spec: %s}}]}}`, rayAPI, spec)
	gang := fmt.Sprintf(`{apiVersion: %s, kind: JobSet, metadata: {name: gang, namespace: team, uid: gang-uid}, spec: {replicatedJobs: [{name: w, template: {spec: {template: {spec: %s}}}}]}}`, jobSetAPI, spec)
	rollout := fmt.Sprintf(`{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: roll, namespace: team, uid: roll-uid}, spec: {replicas: 3, template: {spec: %s}}}`, spec)
	deployment := claiming(of("apps/v1", "Deployment", "web", "replicas: 1", 0), entry)
	set := func(replicas int) string {
		return owned(claiming(of("apps/v1", "ReplicaSet", "web", fmt.Sprintf("replicas: %d", replicas), 0), entry), "apps/v1", "Deployment", "web")
	}
	job := claiming(of("batch/v1", "Job", "run", "parallelism: 1", 0), entry)
	greedy := claiming(podOf("run-a", "run", ownerOf("batch/v1", "Job", "run"), 0), entry+", {name: h, resourceClaimTemplateName: one}")
	for name, c := range map[string]struct {
		stored  []string
		gpus    int
		refused string
	}{
		"a RayCluster":               {[]string{ray}, 2, "spec.spec.devices.requests: Forbidden: with it RayCluster ray asks for 6 GPUs"},
		"within them":                {[]string{ray}, 1, ""},
		"a JobSet":                   {[]string{gang}, 3, "with it JobSet gang asks for 3 GPUs per pod"},
		"a Rollout":                  {[]string{rollout}, 2, "with it Rollout roll asks for 6 GPUs"},
		"a Deployment":               {[]string{deployment}, 3, "with it Deployment web asks for 3 GPUs per pod"},
		"its ReplicaSet":             {[]string{set(1)}, 3, "with it ReplicaSet web asks for 3 GPUs per pod"},
		"an earlier one":             {[]string{set(0)}, 3, ""},
		"a pod of more than its Job": {[]string{job, greedy}, 2, "with it Pod run-a asks for 4 GPUs per pod"},
		"one that has ended":         {[]string{job, ended(greedy)}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := working()
			e.current.Store(&snapshot{policies: policy.Compile([]v1alpha1.ComputePolicy{p}), budgets: policy.CompileBudgets(nil), knative: knative.Default()})
			e.charging = &charging{}
			m := newMemory()
			e.reader = m
			remember(t, m, c.stored...)
			answer := e.validate(t.Context(), requestOf(t, step{object: claimTemplate("one", gpuRequests(c.gpus)), user: "eve"}))
			require.Equal(t, c.refused == "", answer.Allowed, "%+v", answer.Result)
			if c.refused != "" {
				assert.Contains(t, answer.Result.Message, c.refused)
			}
		})
	}
}

// TestAdministratorsClaimsTakeNoneWhereTheirNamespaceAllowsThem: claims that look at devices in use take none of
// them, where the namespace's label says "true".
func TestAdministratorsClaimsTakeNoneWhereTheirNamespaceAllowsThem(t *testing.T) {
	const looking = "[{name: a, exactly: {deviceClassName: gpu.nvidia.com, count: 4, adminAccess: true}}]"
	const entry = "{name: g, resourceClaimTemplateName: look}"
	web := claiming(of("apps/v1", "Deployment", "web", "replicas: 2", 0), entry)
	for name, test := range map[string]struct {
		objects           []string
		allowed, withheld int64
		refused           string // without the label
	}{
		"a ResourceClaim":              {[]string{resourceClaim("a", "", looking)}, 0, 4, ""},
		"beside devices of its own":    {[]string{resourceClaim("a", "", "[{name: b, exactly: {deviceClassName: gpu.nvidia.com, count: 2}}, "+looking[1:])}, 2, 6, ""},
		"all devices that there are":   {[]string{resourceClaim("a", "", strings.Replace(looking, "count: 4", "allocationMode: All", 1))}, 0, 0, "asks for 32 GPUs"},
		"of a class that nobody lists": {[]string{resourceClaim("a", "", strings.Replace(looking, "gpu.nvidia.com", "secret", 1))}, 0, 0, "which no policy lists"},
		"a Deployment with a template": {[]string{claimTemplate("look", looking), web}, 0, 8, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for label, want := range map[string]int64{"true": test.allowed, "false": test.withheld, "": test.withheld} {
				e, ledgers := standalone()
				e.namespaceLabels = func(context.Context, string) (map[string]string, bool, error) {
					return map[string]string{workload.AdminAccessLabel: label}, true, nil
				}
				for _, object := range test.objects {
					answer := e.validate(t.Context(), requestOf(t, step{object: object, user: "eve"}))
					if label == "true" || test.refused == "" {
						require.True(t, answer.Allowed, "%q: %+v", label, answer.Result)
						continue
					}
					require.False(t, answer.Allowed, label)
					assert.Contains(t, answer.Result.Message, test.refused, label)
				}
				assert.Equal(t, want, ledgers.Status("b").Used, "%q", label)
			}
		})
	}
}

// TestClaimedDevicesAreOfNoNodesProduct: a pod of nodes of one product may be given devices of another, those of a
// ResourceSlice for all nodes or of a node that has both.
func TestClaimedDevicesAreOfNoNodesProduct(t *testing.T) {
	const entry = "{name: g, resourceClaimTemplateName: some}"
	onL4 := strings.Replace(claiming(of("apps/v1", "Deployment", "web", "replicas: 3", 0), entry), "{resourceClaims", "{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, resourceClaims", 1)
	selecting := func(product string) string {
		return strings.Replace(gpuRequests(4), "count", `selectors: [{cel: {expression: "device.attributes['gpu.nvidia.com'].productName == '`+product+`'"}}], count`, 1)
	}
	for name, test := range map[string]struct {
		requests, refused string
		used              int64
	}{
		"of any product":          {gpuRequests(4), "asks for 12 GPUs (4 x 3 pods); 10 of 10 are free in budget b", 0},
		"as many as fit":          {gpuRequests(3), "", 9},
		"of the budget's product": {selecting("NVIDIA H100 NVL"), "asks for 12 GPUs (4 x 3 pods); 10 of 10 are free in budget b", 0},
		"of the node's product":   {selecting("NVIDIA L4"), "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			e, ledgers := standaloneWith(v1alpha1.GPUBudgetSpec{Max: new(int64(10)), GPUTypes: []string{"NVIDIA-H100-NVL"}})
			require.True(t, e.validate(t.Context(), requestOf(t, step{object: claimTemplate("some", test.requests), user: "eve"})).Allowed)
			answer := e.validate(t.Context(), requestOf(t, step{object: onL4, user: "eve"}))
			assert.Equal(t, test.refused == "", answer.Allowed, "%+v", answer.Result)
			if test.refused != "" {
				assert.Contains(t, answer.Result.Message, test.refused)
			}
			assert.Equal(t, test.used, ledgers.Status("b").Used)
		})
	}
}

// TestABoundOfTypesIsForClaimedDevices: a pin of the pod to nodes of an allowed product allows none of them.
func TestABoundOfTypesIsForClaimedDevices(t *testing.T) {
	var p v1alpha1.ComputePolicy
	require.NoError(t, yaml.Unmarshal([]byte(`{metadata: {name: p}, spec: {bounds: {gpuTypes: {allowed: [NVIDIA-L4]}}}}`), &p))
	onL4 := strings.Replace(claiming(podOf("p", "x", "", 0), "{name: g, resourceClaimTemplateName: some}"), "{resourceClaims", "{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, resourceClaims", 1)
	for selectors, refused := range map[string]string{
		``: "spec.nodeSelector: Forbidden: asks for GPUs of no particular type (no selector of their claims or DeviceClasses says which); policy p allows only NVIDIA-L4",
		`, selectors: [{cel: {expression: "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA H200'"}}]`: "spec.nodeSelector: Forbidden: asks for GPU type NVIDIA-H200; policy p allows only NVIDIA-L4",
		`, selectors: [{cel: {expression: "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA L4'"}}]`:   "",
	} {
		e := working()
		e.current.Store(&snapshot{policies: policy.Compile([]v1alpha1.ComputePolicy{p}), budgets: policy.CompileBudgets(nil), knative: knative.Default()})
		e.charging = &charging{}
		m := newMemory()
		e.reader = m
		remember(t, m, claimTemplate("some", strings.Replace(gpuRequests(1), ", count: 1", selectors, 1)))
		answer := e.validate(t.Context(), requestOf(t, step{object: onL4, user: "eve"}))
		assert.Equal(t, refused == "", answer.Allowed, "%q: %+v", selectors, answer.Result)
		if refused != "" {
			assert.Contains(t, answer.Result.Message, refused)
		}
	}
}
