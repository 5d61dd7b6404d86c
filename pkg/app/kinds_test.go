package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/charge"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// step is a request, and what becomes of it: the refusal's words and what is used afterwards.
type step struct {
	what        string // for people to read
	user        string
	object, old string
	subresource string
	deleted     bool
	refused     string
	used        int64
}

// account is a controller of Kubernetes with an account of its own.
func account(name string) string { return "system:serviceaccount:kube-system:" + name }

func jsonOf(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err, text)
	return raw
}

// requestOf is the request of a step. What is scaled is told by the subresource, "statefulsets/scale".
func requestOf(t *testing.T, s step) *admissionv1.AdmissionRequest {
	t.Helper()
	stated := s.object
	if stated == "" {
		stated = s.old
	}
	o, err := manifest.Decode(jsonOf(t, stated))
	require.NoError(t, err)
	kind := workload.KindOf(o)
	r := &admissionv1.AdmissionRequest{UID: "u", Operation: admissionv1.Create, Namespace: "team", Name: manifest.Text(o, "metadata", "name"),
		Kind:     metav1.GroupVersionKind{Group: kind.Group, Version: "v1", Kind: kind.Kind},
		UserInfo: authenticationv1.UserInfo{Username: s.user}}
	if strings.HasPrefix(s.user, "system:node:") {
		r.UserInfo.Groups = []string{"system:nodes"}
	}
	if k, ok := workload.KindFor(kind); ok {
		r.Resource = metav1.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Resource}
	}
	if resource, scale, ok := strings.Cut(s.subresource, "/"); ok {
		r.SubResource = scale
		for _, k := range workload.Kinds() {
			if k.Resource == resource {
				r.Resource = metav1.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Resource}
			}
		}
		for _, k := range workload.BuiltInOperators().Kinds {
			if k.Resource == resource {
				r.Resource = metav1.GroupVersionResource{Group: k.Group, Version: "v1", Resource: k.Resource}
			}
		}
	}
	if s.object != "" {
		r.Object.Raw = jsonOf(t, s.object)
	}
	if s.old != "" {
		r.Operation, r.OldObject.Raw = admissionv1.Update, jsonOf(t, s.old)
	}
	if s.deleted {
		r.Operation = admissionv1.Delete
	}
	return r
}

func podSpecOf(gpus int) string {
	return fmt.Sprintf(`{containers: [{name: c, image: a, resources: {limits: {nvidia.com/gpu: %d}}}]}`, gpus)
}

// of is an object of a kind with a pod template, selecting app: its name.
func of(apiVersion, kind, name, spec string, gpus int) string {
	return fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: team, uid: %s-uid, labels: {app: %s}}, spec: {%s, selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s}}, spec: %s}}}`,
		apiVersion, kind, name, name, name, spec, name, name, podSpecOf(gpus))
}

func podOf(name, app, owner string, gpus int) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: team, uid: %s-uid, labels: {app: %s}, ownerReferences: [%s]}, spec: %s}`, name, name, app, owner, podSpecOf(gpus))
}

func ownerOf(apiVersion, kind, name string) string {
	return fmt.Sprintf(`{apiVersion: %s, kind: %s, name: %s, uid: %s-uid, controller: true}`, apiVersion, kind, name, name)
}

func scaleTo(name string, replicas int) string {
	return fmt.Sprintf(`{apiVersion: autoscaling/v1, kind: Scale, metadata: {name: %s, namespace: team, uid: %s-uid}, spec: {replicas: %d}}`, name, name, replicas)
}

func hpa(name, target string, most int) string {
	return fmt.Sprintf(`{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: %s, namespace: team, uid: %s-uid}, spec: {scaleTargetRef: %s, maxReplicas: %d}}`, name, name, target, most)
}

// TestEveryKindThatMakesPodsIsChargedToTheBudget goes through requests one after the other, with a budget
// of 10 GPUs.
func TestEveryKindThatMakesPodsIsChargedToTheBudget(t *testing.T) {
	set := func(replicas, gpus int) string {
		return of("apps/v1", "StatefulSet", "set", fmt.Sprintf("replicas: %d", replicas), gpus)
	}
	job := func(spec string, gpus int) string { return of("batch/v1", "Job", "job", spec, gpus) }
	rs := func(replicas, gpus int) string {
		return of("apps/v1", "ReplicaSet", "rs", fmt.Sprintf("replicas: %d", replicas), gpus)
	}
	deployment := func(replicas, gpus int) string {
		return of("apps/v1", "Deployment", "web", fmt.Sprintf("replicas: %d", replicas), gpus)
	}
	// A ReplicaSet that the deployment controller makes.
	made := func(replicas, gpus int) string {
		return strings.Replace(of("apps/v1", "ReplicaSet", "web", fmt.Sprintf("replicas: %d", replicas), gpus),
			"metadata: {name: web, namespace: team, uid: web-uid,", "metadata: {name: web-1, namespace: team, uid: web-1-uid, ownerReferences: ["+ownerOf("apps/v1", "Deployment", "web")+"],", 1)
	}
	orphaned := func(replicas, gpus int) string {
		return strings.Replace(made(replicas, gpus), ", ownerReferences: ["+ownerOf("apps/v1", "Deployment", "web")+"]", "", 1)
	}
	const deleting = `uid: web-uid, deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [orphan],`
	// One that selects the pods of the Deployment, and that the Deployment does not select.
	thief := func(kind string, gpus int) string {
		return strings.ReplaceAll(strings.Replace(of("apps/v1", kind, "thief", "replicas: 1", gpus), "labels: {app: thief}", "labels: {app: other}", 1), "app: thief", "app: web")
	}
	const free = "%d of 10 are free in budget b"
	for name, steps := range map[string][]step{
		"a StatefulSet that fits, and grows beyond": {
			{what: "4 pods of 2", object: set(4, 2), used: 8},
			{what: "6 pods", object: set(6, 2), old: set(4, 2), refused: "asks for 12 GPUs (2 x 6 pods); 2 of 10 are free in budget b", used: 8},
			{what: "kubectl scale", subresource: "statefulsets/scale", object: scaleTo("set", 6), old: scaleTo("set", 4), refused: "asks for 12 GPUs (2 x 6 pods)", used: 8},
			{what: "scaled to what fits", subresource: "statefulsets/scale", object: scaleTo("set", 5), old: scaleTo("set", 4), used: 10},
			{what: "deleted", old: set(5, 2), deleted: true},
		},
		"a Job by its parallelism and completions": {
			{what: "beyond the budget", object: job("parallelism: 100, completions: 100", 8), refused: "asks for 800 GPUs (8 x 100 pods); " + fmt.Sprintf(free, 10)},
			{what: "two at a time", object: job("parallelism: 2, completions: 100", 4), used: 8},
			{what: "suspended", object: job("parallelism: 2, completions: 100, suspend: true", 4), old: job("parallelism: 2, completions: 100", 4)},
		},
		"a CronJob is charged by its Jobs": {
			{what: "the CronJob", object: `{apiVersion: batch/v1, kind: CronJob, metadata: {name: c, namespace: team, uid: c}, spec: {jobTemplate: {spec: {parallelism: 4, template: {spec: ` + podSpecOf(8) + `}}}}}`},
			{what: "a Job of it", user: account("cronjob-controller"), object: strings.Replace(job("parallelism: 1", 8), "uid: job-uid", "uid: job-uid, ownerReferences: ["+ownerOf("batch/v1", "CronJob", "c")+"]", 1), used: 8},
			{what: "the next one", user: account("cronjob-controller"), object: strings.ReplaceAll(job("parallelism: 1", 8), "job", "next"), refused: "asks for 8 GPUs", used: 8},
		},
		"bare Pods": {
			{what: "one", object: podOf("a", "x", "", 8), used: 8},
			{what: "another", object: podOf("b", "x", "", 8), refused: "asks for 8 GPUs (8 x 1 pod); 2 of 10 are free", used: 8},
			{what: "without a name", object: `{apiVersion: v1, kind: Pod, metadata: {generateName: x-}, spec: ` + podSpecOf(1) + `}`, used: 9},
			{what: "without GPUs", object: `{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: a}]}}`, used: 9},
			{what: "the node shows what it runs", user: "system:node:n", object: strings.Replace(podOf("m", "x", "", 8), "uid: m-uid", `uid: m-uid, annotations: {kubernetes.io/config.mirror: "1"}`, 1), used: 9},
			{what: "a tenant that says so", object: strings.Replace(podOf("m", "x", "", 8), "uid: m-uid", `uid: m-uid, annotations: {kubernetes.io/config.mirror: "1"}`, 1), refused: "asks for 8 GPUs", used: 9},
			{what: "deleted", old: podOf("a", "x", "", 8), deleted: true, used: 1},
		},
		"the pods of a ReplicaSet are its own claim": {
			{what: "the ReplicaSet", object: rs(2, 4), used: 8},
			{what: "a pod", user: account("replicaset-controller"), object: podOf("rs-a", "rs", ownerOf("apps/v1", "ReplicaSet", "rs"), 4), used: 8},
			{what: "by the shared user", user: "system:kube-controller-manager", object: podOf("rs-b", "rs", ownerOf("apps/v1", "ReplicaSet", "rs"), 4), used: 8},
			{what: "one too many", user: account("replicaset-controller"), object: podOf("rs-c", "rs", ownerOf("apps/v1", "ReplicaSet", "rs"), 4), refused: "2 of 10 are free in budget b", used: 8},
			{what: "one of a tenant with the true owner", user: "eve", object: podOf("rs-d", "rs", ownerOf("apps/v1", "ReplicaSet", "rs"), 2), used: 10},
			{what: "one that the selector does not take", user: account("replicaset-controller"), object: podOf("rs-e", "other", ownerOf("apps/v1", "ReplicaSet", "rs"), 4), refused: "asks for 4 GPUs", used: 10},
			{what: "one with the maker of another kind", user: account("job-controller"), object: podOf("rs-f", "rs", ownerOf("apps/v1", "ReplicaSet", "rs"), 4), refused: "asks for 4 GPUs", used: 10},
		},
		"a Pod that is taken from its ReplicaSet": {
			{what: "the ReplicaSet", object: rs(2, 4), used: 8},
			{what: "a pod", user: account("replicaset-controller"), object: podOf("rs-a", "rs", ownerOf("apps/v1", "ReplicaSet", "rs"), 4), used: 8},
			{what: "other labels, in its selector", object: strings.Replace(podOf("rs-a", "rs", ownerOf("apps/v1", "ReplicaSet", "rs"), 4), "app: rs", "app: rs, a: b", 1), old: podOf("rs-a", "rs", ownerOf("apps/v1", "ReplicaSet", "rs"), 4), used: 8},
			{what: "labels that its selector does not take", object: podOf("rs-a", "mine", ownerOf("apps/v1", "ReplicaSet", "rs"), 4), old: podOf("rs-a", "rs", ownerOf("apps/v1", "ReplicaSet", "rs"), 4), refused: "asks for 4 GPUs (4 x 1 pod); 2 of 10 are free", used: 8},
			{what: "no owner", object: podOf("rs-a", "rs", "", 4), old: podOf("rs-a", "rs", ownerOf("apps/v1", "ReplicaSet", "rs"), 4), refused: "asks for 4 GPUs", used: 8},
		},
		"a Deployment, its ReplicaSet and its pods are one claim": {
			{what: "the Deployment", object: deployment(2, 4), used: 8},
			{what: "its ReplicaSet", user: account("deployment-controller"), object: made(2, 4), used: 8},
			{what: "a pod", user: account("replicaset-controller"), object: podOf("web-a", "web", ownerOf("apps/v1", "ReplicaSet", "web-1"), 4), used: 8},
			{what: "a tenant scales the ReplicaSet", subresource: "replicasets/scale", object: scaleTo("web-1", 4), old: scaleTo("web-1", 2), refused: "2 of 10 are free in budget b, and it would take 8 more than it has", used: 8},
			{what: "a tenant writes it with more GPUs", object: made(2, 6), old: made(2, 4), refused: "asks for 12 GPUs", used: 8},
			{what: "the template loses its GPUs", object: deployment(2, 0), old: deployment(2, 4), used: 8},
			{what: "and gets pods that the ReplicaSet may make", object: strings.Replace(deployment(3, 0), "spec: {replicas", "spec: {paused: true, replicas", 1), old: deployment(2, 0), refused: "asks for 12 GPUs", used: 8},
			{what: "by scale", subresource: "deployments/scale", object: scaleTo("web", 3), old: scaleTo("web", 2), refused: "asks for 12 GPUs", used: 8},
		},
		"a ReplicaSet that waits to be adopted": {
			{what: "a Deployment without GPUs", object: strings.Replace(deployment(4, 0), "spec: {replicas", "spec: {paused: true, replicas", 1)},
			{what: "at 0, with its labels", object: strings.ReplaceAll(strings.Replace(rs(0, 4), "name: rs", "name: evil", 1), "app: rs", "app: web"), refused: "asks for 16 GPUs"},
		},
		"a Pod that a Deployment waits for is adopted by another": {
			{what: "the Deployment", object: deployment(1, 4), used: 4},
			{what: "a Pod of nobody that it selects", object: podOf("loose", "web", "", 4), used: 8},
			{what: "a ReplicaSet without GPUs that selects it too", object: thief("ReplicaSet", 0), used: 8},
			{what: "it adopts the Pod", user: account("replicaset-controller"), object: podOf("loose", "web", ownerOf("apps/v1", "ReplicaSet", "thief"), 4), old: podOf("loose", "web", "", 4), refused: "asks for 4 GPUs (4 x 1 pod); 2 of 10 are free", used: 8},
			{what: "a tenant has it adopted", user: "eve", object: podOf("loose", "web", ownerOf("apps/v1", "ReplicaSet", "thief"), 4), old: podOf("loose", "web", "", 4), used: 8},
			{what: "the Deployment's ReplicaSet", user: account("deployment-controller"), object: made(1, 4), used: 8},
			{what: "another Pod of nobody", object: podOf("spare", "web", "", 2), used: 10},
			{what: "its own ReplicaSet adopts what makes it have too many", user: account("replicaset-controller"), object: podOf("spare", "web", ownerOf("apps/v1", "ReplicaSet", "web-1"), 2), old: podOf("spare", "web", "", 2), used: 10},
		},
		"a ReplicaSet is taken with pods that its template does not describe any more": {
			{what: "the Deployment", object: deployment(1, 6), used: 6},
			{what: "its ReplicaSet", user: account("deployment-controller"), object: made(1, 6), used: 6},
			{what: "its Pod", user: account("replicaset-controller"), object: podOf("web-1-a", "web", ownerOf("apps/v1", "ReplicaSet", "web-1"), 6), used: 6},
			{what: "its template loses its GPUs", user: "eve", object: made(1, 0), old: made(1, 6), used: 6},
			{what: "it gets other labels", user: "eve", object: strings.Replace(made(1, 0), "labels: {app: web}", "labels: {app: other}", 1), old: made(1, 0), refused: "4 of 10 are free in budget b", used: 6},
			{what: "it loses its owner", user: "eve", object: orphaned(1, 0), old: made(1, 0), refused: "4 of 10 are free in budget b", used: 6},
			{what: "it gets an annotation", user: "eve", object: strings.Replace(made(1, 0), "labels: {app: web}", "annotations: {a: b}, labels: {app: web}", 1), old: made(1, 0), used: 6},
		},
		"a ReplicaSet is orphaned before it has its pods": {
			{what: "the Deployment", object: deployment(2, 4), used: 8},
			{what: "its ReplicaSet", user: account("deployment-controller"), object: made(2, 4), used: 8},
			{what: "the Deployment is being deleted", object: strings.Replace(deployment(2, 4), "uid: web-uid,", deleting, 1), old: deployment(2, 4), used: 8},
			{what: "its ReplicaSet is let go", user: account("generic-garbage-collector"), object: orphaned(2, 4), old: made(2, 4), refused: "asks for 8 GPUs (4 x 2 pods); 2 of 10 are free", used: 8},
		},
		"a DaemonSet is charged by its pods": {
			{what: "the DaemonSet", object: of("apps/v1", "DaemonSet", "ds", "minReadySeconds: 0", 8)},
			{what: "a pod", user: account("daemon-set-controller"), object: podOf("ds-a", "ds", ownerOf("apps/v1", "DaemonSet", "ds"), 8), used: 8},
			{what: "another", user: account("daemon-set-controller"), object: podOf("ds-b", "ds", ownerOf("apps/v1", "DaemonSet", "ds"), 8), refused: "asks for 8 GPUs", used: 8},
		},
		"a HorizontalPodAutoscaler after its target": {
			{what: "the StatefulSet", object: set(2, 2), used: 4},
			{what: "to 6", object: hpa("h", "{apiVersion: apps/v1, kind: StatefulSet, name: set}", 6), refused: "spec.maxReplicas: Forbidden: asks for 12 GPUs (2 x 6 pods)", used: 4},
			{what: "to 5", object: hpa("h", "{apiVersion: apps/v1, kind: StatefulSet, name: set}", 5), used: 10},
			{what: "of what there is not", object: hpa("i", "{apiVersion: apps/v1, kind: Deployment, name: none}", 50), used: 10},
			{what: "of what no table knows", object: hpa("j", "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: set}", 50), used: 10},
		},
		"a HorizontalPodAutoscaler before its target": {
			{what: "to 6", object: hpa("h", "{apiVersion: apps/v1, kind: Deployment, name: web}", 6)},
			{what: "the Deployment", object: deployment(1, 2), refused: "asks for 12 GPUs (2 x 6 pods)"},
			{what: "with fewer GPUs", object: deployment(1, 1), used: 6},
		},
		"a LimitRange that gives devices": {
			{what: "as a default", object: `{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [{type: Container, default: {nvidia.com/gpu: 8}}]}}`, refused: "spec.limits[0].default[nvidia.com/gpu]: Forbidden: gives devices to every container that does not ask for any; budget b counts GPUs"},
			{what: "as max alone", object: `{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [{type: Container, max: {nvidia.com/gpu: 8}}]}}`, refused: "spec.limits[0].max[nvidia.com/gpu]"},
			{what: "of CPUs", object: `{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [{type: Container, max: {cpu: 8}}]}}`},
		},
		"a status that a tenant writes": {
			{what: "a pod", object: podOf("a", "x", "", 8), used: 8},
			{what: "that it has ended", user: "eve", subresource: "pods/status", object: strings.Replace(podOf("a", "x", "", 8), "spec: {", "status: {phase: Succeeded}, spec: {", 1), old: podOf("a", "x", "", 8), refused: "status.phase: Forbidden: only the node", used: 8},
			{what: "the node says so", user: "system:node:n", subresource: "pods/status", object: strings.Replace(podOf("a", "x", "", 8), "spec: {", "status: {phase: Succeeded}, spec: {", 1), old: podOf("a", "x", "", 8), used: 8},
			{what: "that a Job has finished", user: "eve", subresource: "jobs/status", object: strings.Replace(job("parallelism: 1", 8), "spec: {", "status: {conditions: [{type: Complete, status: 'True'}]}, spec: {", 1), old: job("parallelism: 1", 8), refused: "status: Forbidden: only the controller of a Job", used: 8},
			{what: "that more of it has succeeded", user: "eve", subresource: "jobs/status", object: strings.Replace(job("parallelism: 4, completions: 4", 8), "spec: {", "status: {succeeded: 3}, spec: {", 1), old: job("parallelism: 4, completions: 4", 8), refused: "status: Forbidden", used: 8},
			{what: "that does not lower it yet", user: "eve", subresource: "jobs/status", object: strings.Replace(job("parallelism: 1, completions: 4", 8), "spec: {", "status: {succeeded: 3}, spec: {", 1), old: job("parallelism: 1, completions: 4", 8), refused: "status: Forbidden", used: 8},
			{what: "of what another controller manages", user: "eve", subresource: "jobs/status", object: strings.Replace(job("managedBy: a/b, completions: 4", 8), "spec: {", "status: {succeeded: 3}, spec: {", 1), old: job("managedBy: a/b, completions: 4", 8), used: 8},
			{what: "its controller says so", user: account("job-controller"), subresource: "jobs/status", object: strings.Replace(job("parallelism: 4, completions: 4", 8), "spec: {", "status: {succeeded: 3}, spec: {", 1), old: job("parallelism: 4, completions: 4", 8), used: 8},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, ledgers := standalone()
			play(t, e, ledgers, steps)
		})
	}
}

// play sends requests one after the other.
func play(t *testing.T, e *requestHandler, ledgers *charge.Memory, steps []step) {
	t.Helper()
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
}

// TestARolloutOfADeploymentMustFitAStrictBudget: surge pods, and those that terminate, are beside its claim.
func TestARolloutOfADeploymentMustFitAStrictBudget(t *testing.T) {
	deployment := func(image, strategy string, replicas, gpus int) string {
		return strings.Replace(of("apps/v1", "Deployment", "chat", fmt.Sprintf("replicas: %d, %s", replicas, strategy), gpus), "image: a", "image: "+image, 1)
	}
	const (
		surging  = "strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 100%, maxUnavailable: 0}}"
		inPlace  = "strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}"
		ordinary = "minReadySeconds: 0" // 25% and 25%
		recreate = "strategy: {type: Recreate}"
	)
	for name, test := range map[string]struct {
		rollout  v1alpha1.RolloutPolicy
		old, now string
		refused  string
	}{
		"all pods surge": {v1alpha1.RolloutStrict, deployment("a", surging, 4, 1), deployment("b", surging, 4, 1),
			"with the 4 that the pods of the earlier version hold until they are gone it does not fit, which the budget demands (rollout: Strict)"},
		"as Kubernetes does by itself": {v1alpha1.RolloutStrict, deployment("a", ordinary, 4, 1), deployment("b", ordinary, 4, 1), "with the 2 that"},
		"one that terminates":          {v1alpha1.RolloutStrict, deployment("a", inPlace, 4, 1), deployment("b", inPlace, 4, 1), "with the 1 that"},
		"never two versions at once":   {v1alpha1.RolloutStrict, deployment("a", recreate, 4, 1), deployment("b", recreate, 4, 1), ""},
		"room for it":                  {v1alpha1.RolloutStrict, deployment("a", surging, 2, 1), deployment("b", surging, 2, 1), ""},
		"fewer pods make room":         {v1alpha1.RolloutStrict, deployment("a", ordinary, 4, 1), deployment("b", ordinary, 2, 1), ""},
		"not a new template":           {v1alpha1.RolloutStrict, deployment("a", surging, 4, 1), strings.Replace(deployment("a", surging, 4, 1), "minReady", "maxReady", 1), ""},
		"pods that had no GPUs":        {v1alpha1.RolloutStrict, deployment("a", surging, 4, 0), deployment("b", surging, 4, 1), ""},
		"where rollouts are allowed":   {v1alpha1.RolloutAllow, deployment("a", surging, 4, 1), deployment("b", surging, 4, 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := standaloneWith(v1alpha1.GPUBudgetSpec{Max: new(int64(4)), Rollout: test.rollout})
			require.True(t, e.validate(t.Context(), requestOf(t, step{object: test.old})).Allowed)
			answer := e.validate(t.Context(), requestOf(t, step{object: test.now, old: test.old}))
			require.Equal(t, test.refused == "", answer.Allowed, "%+v", answer.Result)
			if test.refused != "" {
				assert.Contains(t, answer.Result.Message, test.refused)
			}
		})
	}
}

// TestEveryBoundHoldsForEveryKindThatMakesPods of which an object asks for a GPU.
func TestEveryBoundHoldsForEveryKindThatMakesPods(t *testing.T) {
	var p v1alpha1.ComputePolicy
	require.NoError(t, yaml.Unmarshal([]byte(`{metadata: {name: p}, spec: {bounds: {gpusPerPod: {max: 4}, gpusPerWorkload: {max: 8}, gpuTypes: {allowed: [NVIDIA-L4]}}}}`), &p))
	e := working()
	e.current.Store(&snapshot{policies: policy.Compile([]v1alpha1.ComputePolicy{p}), budgets: policy.CompileBudgets(nil), knative: knative.Default()})
	e.charging = &charging{}
	e.reader = newMemory()
	const anyType = "nodeSelector: Forbidden: asks for GPUs of no particular type"
	for name, test := range map[string]struct {
		object  string
		refused []string
	}{
		"a StatefulSet": {of("apps/v1", "StatefulSet", "x", "replicas: 2", 8), []string{
			"spec.template.spec.containers: Forbidden: asks for 8 GPUs per pod; policy p allows", "spec.replicas: Forbidden: asks for 16 GPUs (8 x 2 pods)", "spec.template.spec." + anyType}},
		"a ReplicaSet": {of("apps/v1", "ReplicaSet", "x", "replicas: 2", 8), []string{"asks for 8 GPUs per pod", "spec.replicas: Forbidden: asks for 16 GPUs", anyType}},
		"a Job":        {of("batch/v1", "Job", "x", "parallelism: 2", 8), []string{"asks for 8 GPUs per pod", "spec.parallelism: Forbidden: asks for 16 GPUs", anyType}},
		"a DaemonSet":  {of("apps/v1", "DaemonSet", "x", "minReadySeconds: 0", 16), []string{"asks for 16 GPUs per pod", "spec.template.spec: Forbidden: asks for 16 GPUs", anyType}},
		"a CronJob": {`{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}, spec: {jobTemplate: {spec: {parallelism: 2, template: {spec: ` + podSpecOf(8) + `}}}}}`, []string{
			"spec.jobTemplate.spec.template.spec.containers: Forbidden: asks for 8 GPUs per pod", "spec.jobTemplate.spec.parallelism: Forbidden: asks for 16 GPUs"}},
		"a Pod":                   {podOf("x", "x", "", 16), []string{"spec.containers: Forbidden: asks for 16 GPUs per pod", "spec: Forbidden: asks for 16 GPUs", "spec.nodeSelector"}},
		"a LimitRange of devices": {`{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [{type: Container, default: {nvidia.com/gpu: 1}}]}}`, []string{"spec.limits[0].default[nvidia.com/gpu]: Forbidden", "policy p bounds GPUs"}},
		"what has no GPUs":        {of("apps/v1", "StatefulSet", "x", "replicas: 200", 0), nil},
	} {
		t.Run(name, func(t *testing.T) {
			answer := e.validate(t.Context(), requestOf(t, step{object: test.object, user: "eve"}))
			require.Equal(t, len(test.refused) == 0, answer.Allowed)
			for _, words := range test.refused {
				assert.Contains(t, answer.Result.Message, words)
			}
		})
	}
}
