// Objects of any shape: a panic in an answer lets through what is asked with failurePolicy Ignore, and one in
// a count leaves a budget without counts.

package app

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/cluster/clustertest"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// every is of how many shapes one is tried, by chance: all of them take minutes.
var every = flag.Int("every", 150, "of how many misshapen objects one is tried")

const shapedPod = `{
  nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, runtimeClassName: gpu, overhead: {cpu: 1}, restartPolicy: Never, priorityClassName: high,
  tolerations: [{key: nvidia.com/gpu, operator: Exists}], terminationGracePeriodSeconds: 30, timeoutSeconds: 60, containerConcurrency: 3,
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: cloud.google.com/gke-accelerator, operator: In, values: [nvidia-l4]}],
    matchFields: [{key: metadata.name, operator: In, values: [node]}]}]}}},
  resources: {limits: {nvidia.com/gpu: 2}, requests: {cpu: 2}}, volumes: [{name: shm, emptyDir: {medium: Memory, sizeLimit: 1Gi}}],
  resourceClaims: [{name: gpu, resourceClaimTemplateName: template}, {name: own, resourceClaimName: claim}],
  initContainers: [{name: init, image: "a:1", restartPolicy: Always, resources: {limits: {nvidia.com/gpu: 1}, claims: [{name: gpu}]}}],
  containers: [{name: app, image: "a:1", env: [{name: PORT, value: "8080"}], envFrom: [{configMapRef: {name: a}}], ports: [{name: http1, containerPort: 8080}],
    volumeMounts: [{name: shm, mountPath: /dev/shm}], lifecycle: {postStart: {exec: {command: [a]}}},
    readinessProbe: {httpGet: {port: 8080, path: /}, initialDelaySeconds: 1}, livenessProbe: {tcpSocket: {port: 8080}}, startupProbe: {exec: {command: [a]}, failureThreshold: 3, periodSeconds: 10},
    resources: {limits: {nvidia.com/gpu: 1, memory: 1Gi, nvidia.com/mig-1g.10gb: 3}, requests: {cpu: 1, example.com/card: 1}, claims: [{name: gpu, request: one}]}}]}`

const shapedTemplate = `{metadata: {name: x-one, labels: {app: x}, annotations: {autoscaling.knative.dev/max-scale: "4", autoscaling.knative.dev/min-scale: "1",
  autoscaling.knative.dev/initial-scale: "2", autoscaling.knative.dev/class: kpa.autoscaling.knative.dev, autoscaling.knative.dev/target: "10", serving.knative.dev/progress-deadline: 600s}}, spec: ` + shapedPod + `}`

// shapedMetadata is that of every object; it names an owner of any kind.
const shapedMetadata = `name: x, namespace: team, uid: u-x, generation: 2, resourceVersion: "7", deletionTimestamp: null,
  labels: {app: x, kubetorch.com/autoscale: "true", kubetorch.com/compute: small, kueue.x-k8s.io/queue-name: q, job-name: x},
  annotations: {autoscale.kubetorch.com/max-scale: "3", autoscale.kubetorch.com/metric: concurrency, compute.kubetorch.com/gpus: "1", compute.kubetorch.com/memory: 1Gi,
    kubetorch.com/expansion: '{"version":1}', kubetorch.com/exempt-from: "a,b", kubetorch.com/replicas: "2", kubetorch.com/adopted-by: u-x, kubetorch.com/status: "{}", kubetorch.com/applied: "{}"},
  finalizers: [a], ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: x, uid: u-x, controller: true, blockOwnerDeletion: true}]`

// shapedSpecs are rich specs and statuses of every kind that the webhook is asked about.
var shapedSpecs = map[schema.GroupVersionKind]string{
	{Version: "v1", Kind: "Pod"}: `spec: ` + shapedPod + `, status: {phase: Running, conditions: [{type: Ready, status: "True"}], containerStatuses: [{name: app, state: {running: {}}}],
		resourceClaimStatuses: [{name: gpu, resourceClaimName: x}], extendedResourceClaimStatus: {resourceClaimName: x}, resize: Proposed}`,
	{Version: "v1", Kind: "ReplicationController"}:      `spec: {replicas: 3, selector: {app: x}, template: ` + shapedTemplate + `}, status: {replicas: 1}`,
	{Version: "v1", Kind: "Service"}:                    `spec: {selector: {app: x}, type: ClusterIP, ports: [{name: http, port: 80, targetPort: 8080, protocol: TCP}]}`,
	{Version: "v1", Kind: "LimitRange"}:                 `spec: {limits: [{type: Container, default: {nvidia.com/gpu: 1}, defaultRequest: {nvidia.com/gpu: 1}, max: {nvidia.com/gpu: 2}}]}`,
	{Group: "apps", Version: "v1", Kind: "ReplicaSet"}:  `spec: {replicas: 3, selector: {matchLabels: {app: x}, matchExpressions: [{key: app, operator: In, values: [x]}]}, template: ` + shapedTemplate + `}, status: {replicas: 1}`,
	{Group: "apps", Version: "v1", Kind: "Deployment"}:  `spec: {replicas: 3, paused: false, progressDeadlineSeconds: 600, strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 1}}, selector: {matchLabels: {app: x}}, template: ` + shapedTemplate + `}, status: {replicas: 1, conditions: [{type: Available, status: "True"}]}`,
	{Group: "apps", Version: "v1", Kind: "StatefulSet"}: `spec: {replicas: 3, serviceName: x, ordinals: {start: 1}, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1, maxUnavailable: 1}}, volumeClaimTemplates: [{metadata: {name: a}}], selector: {matchLabels: {app: x}}, template: ` + shapedTemplate + `}, status: {currentRevision: a, updateRevision: b, currentReplicas: 1}`,
	{Group: "apps", Version: "v1", Kind: "DaemonSet"}:   `spec: {updateStrategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}, selector: {matchLabels: {app: x}}, template: ` + shapedTemplate + `}, status: {desiredNumberScheduled: 2}`,
	{Group: "batch", Version: "v1", Kind: "Job"}:        `spec: {parallelism: 3, completions: 5, suspend: false, completionMode: Indexed, managedBy: kubernetes.io/job-controller, podReplacementPolicy: Failed, activeDeadlineSeconds: 5, selector: {matchLabels: {app: x}}, template: ` + shapedTemplate + `}, status: {succeeded: 1, active: 2, terminating: 1, conditions: [{type: Complete, status: "False"}]}`,
	{Group: "batch", Version: "v1", Kind: "CronJob"}:    `spec: {schedule: "* * * * *", suspend: false, concurrencyPolicy: Forbid, jobTemplate: {metadata: {labels: {app: x}}, spec: {parallelism: 3, completions: 5, template: ` + shapedTemplate + `}}}`,
	{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}: `spec: {template: ` + shapedTemplate + `, traffic: [{revisionName: x-one, percent: 50, tag: a}, {latestRevision: true, percent: 50}]},
		status: {observedGeneration: 2, latestCreatedRevisionName: x-one, latestReadyRevisionName: x-one, traffic: [{revisionName: x-two, tag: b}], conditions: [{type: Ready, status: "True"}]}`,
	{Group: "serving.knative.dev", Version: "v1", Kind: "Configuration"}: `spec: {template: ` + shapedTemplate + `}, status: {observedGeneration: 2, latestCreatedRevisionName: x-one, latestReadyRevisionName: x-one}`,
	{Group: "serving.knative.dev", Version: "v1", Kind: "Route"}:         `spec: {traffic: [{revisionName: x, percent: 50, tag: a}, {configurationName: x, percent: 50}]}, status: {traffic: [{revisionName: x, percent: 100}]}`,
	{Group: "serving.knative.dev", Version: "v1", Kind: "Revision"}:      `spec: ` + shapedPod + `, status: {desiredReplicas: 1, actualReplicas: 1, conditions: [{type: Active, status: "False", reason: NoTraffic}]}`,
	{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Kind: "PodAutoscaler"}: `spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: x}, reachability: Reachable, containerConcurrency: 3},
		status: {desiredScale: 1, actualScale: 1, conditions: [{type: Active, status: "False"}]}`,
	{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"}: `spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: x}, minReplicas: 1, maxReplicas: 5, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}`,
	{Group: "resource.k8s.io", Version: "v1", Kind: "ResourceClaim"}: `spec: {devices: {requests: [{name: one, exactly: {deviceClassName: gpu.nvidia.com, allocationMode: ExactCount, count: 2, selectors: [{cel: {expression: "true"}}]}},
		{name: any, firstAvailable: [{name: a, deviceClassName: gpu.nvidia.com, allocationMode: All}]}]}}, status: {allocation: {devices: {results: [{request: one, driver: gpu.nvidia.com, pool: a, device: b}]}}, reservedFor: [{resource: pods, name: x, uid: u-x}]}`,
	{Group: "resource.k8s.io", Version: "v1", Kind: "ResourceClaimTemplate"}:    `spec: {metadata: {labels: {a: b}}, spec: {devices: {requests: [{name: one, exactly: {deviceClassName: gpu.nvidia.com, allocationMode: ExactCount, count: 2}}]}}}`,
	{Group: "jobset.x-k8s.io", Version: "v1alpha2", Kind: "JobSet"}:             `spec: {suspend: false, replicatedJobs: [{name: a, replicas: 2, template: {spec: {parallelism: 2, completions: 2, template: ` + shapedTemplate + `}}}]}`,
	{Group: "leaderworkerset.x-k8s.io", Version: "v1", Kind: "LeaderWorkerSet"}: `spec: {replicas: 2, leaderWorkerTemplate: {size: 3, leaderTemplate: ` + shapedTemplate + `, workerTemplate: ` + shapedTemplate + `}}`,
	{Group: "ray.io", Version: "v1", Kind: "RayCluster"}: `spec: {suspend: false, enableInTreeAutoscaling: true, headGroupSpec: {template: ` + shapedTemplate + `},
		workerGroupSpecs: [{replicas: 1, minReplicas: 1, maxReplicas: 3, numOfHosts: 2, template: ` + shapedTemplate + `}]}`,
	{Group: "kubeflow.org", Version: "v1", Kind: "PyTorchJob"}: `spec: {runPolicy: {suspend: false}, pytorchReplicaSpecs: {Master: {replicas: 1, template: ` + shapedTemplate + `}, Worker: {replicas: 3, template: ` + shapedTemplate + `}}}`,
	{Group: "policy.kubetorch.com", Version: "v1alpha1", Kind: "ComputePolicy"}: `spec: {priority: 1, namespaceSelector: {matchLabels: {a: b}}, defaults: {autoscale: {maxScale: 7}, compute: {cpus: "1"}}, profiles: {compute: [{name: small, cpus: "1"}]},
		bounds: {maxScale: {max: 3, enforcement: Clamp}, gpuTypes: {allowed: ["L*"]}}, gpuResources: [nvidia.com/gpu, {name: a/b, gpus: 1/7}], exempt: [{users: [a], until: "2027-01-31T00:00:00Z", reason: x}]}`,
	{Group: "policy.kubetorch.com", Version: "v1alpha1", Kind: "GPUBudget"}: `spec: {max: 5, maxPerNamespace: 3, gpuTypes: [NVIDIA-L4], rollout: Strict, enforcement: Deny, namespaceSelector: {matchLabels: {a: b}}}, status: {used: 1, reserved: 2}`,
}

func shaped(t *testing.T, gvk schema.GroupVersionKind, spec string) manifest.Object {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {%s}, %s}", gvk.GroupVersion(), gvk.Kind, shapedMetadata, spec)))
	require.NoError(t, err, gvk.Kind)
	o, err := manifest.Decode(raw)
	require.NoError(t, err, gvk.Kind)
	return o
}

// wrong are values of every shape. Small numbers are right in places; so are large ones, and too large
// ones.
var wrong = []any{nil, "", "text", "-1", int64(-1), int64(1) << 40, 1.5, true, []any{}, []any{nil}, []any{"text"}, []any{[]any{}}, []any{manifest.Object{}}, manifest.Object{}, manifest.Object{"a": nil}, manifest.Object{"": []any{}}}

// misshapen goes through an object with each of its fields, and each entry of its lists, of each wrong
// shape, and with each of them left out.
func misshapen(o manifest.Object, see func(path string, o manifest.Object)) {
	var into func(path string, v any, set func(any))
	whole := runtime.DeepCopyJSON(o)
	into = func(path string, v any, set func(any)) {
		if path != "" && path != ".apiVersion" && path != ".kind" {
			for i, other := range wrong {
				set(runtime.DeepCopyJSONValue(other))
				see(fmt.Sprintf("%s = wrong[%d]", path, i), whole)
			}
			set(v)
		}
		switch v := v.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				value := v[key]
				into(path+"."+key, value, func(other any) { v[key] = other })
				delete(v, key)
				see(path+"."+key+" left out", whole)
				v[key] = value
			}
		case []any:
			for i, entry := range v {
				into(fmt.Sprintf("%s[%d]", path, i), entry, func(other any) { v[i] = other })
			}
		}
	}
	into("", whole, nil)
}

// shapes answers what is asked about objects, with others of the same name beside them.
type shapes struct {
	worlds  []review.World
	handler *requestHandler
	user    string
	// stored are what is read, by kind.
	stored map[schema.GroupKind]manifest.Object
}

func (s *shapes) Get(_ context.Context, kind schema.GroupKind, _, _ string) (manifest.Object, error) {
	return s.stored[kind], nil
}

func (s *shapes) List(_ context.Context, kind schema.GroupKind, _ string, _ labels.Selector) ([]manifest.Object, error) {
	if o := s.stored[kind]; o != nil {
		return []manifest.Object{o}, nil
	}
	return nil, nil
}

func newShapes(t *testing.T) *shapes {
	t.Helper()
	s := &shapes{stored: map[schema.GroupKind]manifest.Object{}}
	for gvk, spec := range shapedSpecs {
		s.stored[gvk.GroupKind()] = shaped(t, gvk, spec)
	}
	enforcements := []string{"Deny", "Clamp"}
	for _, enforcement := range enforcements {
		var p v1alpha1.ComputePolicy
		text := fmt.Sprintf(`{metadata: {name: p}, spec: {enforcement: %s, defaults: {autoscale: {maxScale: 9, target: "50"}, compute: {memory: 1Gi, gpuType: NVIDIA-L4}},
			profiles: {compute: [{name: small, cpus: "1"}]}, gpuResources: [nvidia.com/gpu, {name: nvidia.com/mig-1g.10gb, gpus: 1/7}],
			bounds: {maxScale: {max: 2}, minScale: {max: 1}, gpusPerPod: {max: 1}, gpusPerWorkload: {max: 3}, cpusPerPod: {max: "1"}, memoryPerPod: {max: 512Mi},
			scaleToZeroPodRetentionPeriod: {max: 1m}, scaleDownDelay: {max: 1m}, progressDeadline: {max: 1m}}, exempt: [{users: [eve]}]}}`, enforcement)
		require.NoError(t, yaml.UnmarshalStrict([]byte(text), &p))
		policies := []v1alpha1.ComputePolicy{p}
		if enforcement == "Deny" {
			p := *p.DeepCopy()
			require.NoError(t, yaml.UnmarshalStrict([]byte(`{metadata: {name: types}, spec: {bounds: {gpuTypes: {allowed: [NVIDIA-H100-80GB-HBM3]}, autoscalerClasses: {allowed: [kpa]}}}}`), &p))
			policies = append(policies, p)
		}
		s.worlds = append(s.worlds, review.World{Policies: policy.Compile(policies), Knative: knative.Default(), Budgets: policy.CompileBudgets([]v1alpha1.GPUBudget{{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: v1alpha1.GPUBudgetSpec{Max: new(int64(10))}}}), Self: account("self"),
			NamespaceLabels: func(string) (map[string]string, bool) { return nil, true },
			Reader:          s, Live: s, Cluster: &review.Cluster{Knative: enforcement == "Deny"}, Registered: "c"})
	}
	s.handler = simulate(t, 1, 1<<40, true).replicas[0].handler
	s.handler.reader = s
	return s
}

// review is the request about an object in one of the steps of its life.
func (s *shapes) review(operation admissionv1.Operation, subresource string, gvk schema.GroupVersionKind, o, old manifest.Object) *admissionv1.AdmissionRequest {
	r := &admissionv1.AdmissionRequest{UID: "u", Operation: operation, Namespace: "team", Name: "x", SubResource: subresource,
		Kind: metav1.GroupVersionKind(gvk), UserInfo: authenticationv1.UserInfo{Username: s.user}}
	if k, ok := workload.KindFor(gvk.GroupKind()); ok {
		r.Resource = metav1.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Resource}
	}
	r.Object.Raw, _ = json.Marshal(o)
	if old != nil {
		r.OldObject.Raw, _ = json.Marshal(old)
	}
	return r
}

// ask puts every question about an object to the webhook, and needs an answer to each.
func (s *shapes) ask(gvk schema.GroupVersionKind, o, valid manifest.Object) error {
	requests := []*admissionv1.AdmissionRequest{
		s.review(admissionv1.Create, "", gvk, o, nil), s.review(admissionv1.Update, "", gvk, o, valid), s.review(admissionv1.Update, "", gvk, valid, o),
		s.review(admissionv1.Update, "status", gvk, o, valid),
	}
	for _, request := range requests {
		for i := range s.worlds {
			for _, step := range []judge{(*review.Request).Mutate, (*review.Request).Validate} {
				w := s.worlds[i]
				r, answer := review.Read(request)
				if r != nil {
					known := *w.Cluster
					known.Service, known.CoreService, known.Deployment = s.stored[review.ServiceKind], s.stored[review.CoreServiceKind], s.stored[review.DeploymentKind]
					w.Cluster, w.Around = &known, []manifest.Object{s.stored[review.CoreServiceKind]}
					_ = r.NamedRevisions()
					_ = r.Lookups(w.Self)
					if err := r.Resolve(context.Background(), w); err != nil {
						return fmt.Errorf("%s: %w", request.Operation, err)
					}
					var err error
					if answer, err = step(r, context.Background(), w); err == nil {
						_, err = r.Claims(context.Background(), w)
					}
					if err != nil {
						return fmt.Errorf("%s: %w", request.Operation, err)
					}
				}
				if answer == nil || (!answer.Allowed && (answer.Result == nil || answer.Result.Message == "")) {
					return fmt.Errorf("%s: the answer is %v", request.Operation, answer)
				}
			}
		}
		for _, answer := range []*admissionv1.AdmissionResponse{s.handler.mutate(context.Background(), request), s.handler.validate(context.Background(), request)} {
			if answer == nil || (!answer.Allowed && (answer.Result == nil || answer.Result.Message == "")) {
				return fmt.Errorf("%s: the answer is %v", request.Operation, answer)
			}
		}
	}
	return nil
}

// count counts and audits what is stored.
func (s *shapes) count(t *testing.T) error {
	objects, err := cluster.List(context.Background(), clustertest.Of(slices.Collect(maps.Values(s.stored))...))
	if err != nil {
		return err
	}
	full := &cluster.Objects{Namespaces: map[string]map[string]string{"team": nil}}
	for kind, o := range s.stored {
		if list := full.Of(kind); list != nil {
			*list = append(*list, cluster.Of(o))
		}
	}
	for _, w := range s.worlds {
		for _, listed := range []*cluster.Objects{objects, full} {
			usage.All(w, listed)
			audit.Run(audit.Listing{Objects: listed.All(), Policies: w.Policies, Knative: w.Knative})
		}
		if _, _, err := review.Become(context.Background(), w, s.stored[review.DeploymentKind], s.stored[review.ServiceKind]); err != nil {
			return err
		}
	}
	return nil
}

// TestNoShapeOfAnObjectBreaksAnAnswerOrACount replaces every field of an object of every kind by values of
// other types: the API server has not looked at those of custom resources, nor at what is stored since
// before a version of it.
func TestNoShapeOfAnObjectBreaksAnAnswerOrACount(t *testing.T) {
	for gvk, spec := range shapedSpecs {
		t.Run(gvk.Kind+" of "+gvk.Group, func(t *testing.T) {
			t.Parallel()
			s := newShapes(t)
			valid := shaped(t, gvk, spec)
			users := []string{"tenant", "eve", account("replicaset-controller"), account("self"), "system:serviceaccount:knative-serving:controller"}
			asked, shapes := 0, 0
			check := func(path string, o manifest.Object) {
				if shapes++; shapes > 1 && rand.IntN(*every) > 0 { // of few there would be none otherwise
					return
				}
				defer func() {
					if p := recover(); p != nil {
						t.Errorf("%s: panic: %v\n%s", path, p, trimmed(debug.Stack()))
					}
				}()
				asked++
				s.user = users[asked%len(users)]
				o = runtime.DeepCopyJSON(o)
				if err := s.ask(gvk, o, valid); err != nil {
					t.Errorf("%s: %v", path, err)
				}
				s.stored[gvk.GroupKind()] = o
				if err := s.count(t); err != nil {
					t.Errorf("%s: counting: %v", path, err)
				}
			}
			misshapen(valid, check)
			assert.Positive(t, asked)
		})
	}
}

// trimmed is the part of a stack that says where this module's code was.
func trimmed(stack []byte) string {
	var lines []string
	for line := range strings.SplitSeq(string(stack), "\n") {
		if strings.Contains(line, "/pkg/") && strings.Contains(line, ".go:") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines[:min(len(lines), 8)], "\n")
}
