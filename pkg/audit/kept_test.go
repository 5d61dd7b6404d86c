package audit_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/cluster/clustertest"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Objects with all that counts and audits read, and more.
const (
	metadata = `creationTimestamp: "2026-01-01T00:00:00Z", generation: 2, resourceVersion: "7", managedFields: [{manager: m, fieldsV1: {"f:spec": {}}}],
  labels: {tier: prod, app: x, serving.knative.dev/service: app}`
	scale   = `autoscaling.knative.dev/max-scale: "4", autoscaling.knative.dev/minScale: "1", autoscaling.knative.dev/window: 60s, serving.knative.dev/creator: ada, other: x, queue.sidecar.serving.knative.dev/cpu-resource-limit: "1"`
	podText = `initContainers: [{name: i, restartPolicy: Always, resources: {requests: {nvidia.com/gpu: 1, cpu: 100m}}}, {name: j, resources: {limits: {nvidia.com/gpu: 3}}}],
  containers: [{name: c, image: "a:v1", command: [serve], env: [{name: A, value: b}], ports: [{containerPort: 8080}], readinessProbe: {httpGet: {path: /}}, resources: {limits: {nvidia.com/gpu: "2", cpu: "2", memory: 4Gi}, requests: {cpu: "1"}}}, {name: d, resources: {limits: {acme.com/gpu: 1}}}],
  nodeSelector: {zone: z, nvidia.com/gpu.product: NVIDIA-L4}, affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: gpu, operator: In, values: [A100]}]}]}, preferredDuringSchedulingIgnoredDuringExecution: []}},
  resources: {requests: {cpu: "3"}}, resourceClaims: [{name: r}], volumes: [{name: v, emptyDir: {}}], timeoutSeconds: 300, containerConcurrency: 0, enableServiceLinks: false`
	ready = `conditions: [{type: Ready, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}, {type: Active, status: "False", reason: NoTraffic}]`
)

func family() []string {
	owned := func(version, kind, name, uid string) string {
		return fmt.Sprintf(`ownerReferences: [{apiVersion: x/v1, kind: Other, name: o, uid: o}, {apiVersion: %s, kind: %s, name: %s, uid: %s, controller: true, blockOwnerDeletion: true}]`, version, kind, name, uid)
	}
	// A template of which one revision is known to be made, by all that stands in it or by its name.
	made := `{metadata: {labels: {a: b}, annotations: {` + scale + `}}, spec: {` + podText + `}}`
	return []string{
		`{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: app, namespace: ml, uid: 00000000-0000-4000-8000-000000000001, annotations: {` + scale + `}, ` + metadata + `},
  spec: {template: ` + made + `, traffic: [{latestRevision: true, percent: 90}, {revisionName: app-00001, tag: old, percent: 10}, {revisionName: app-00002, tag: now}]},
  status: {observedGeneration: 2, latestCreatedRevisionName: app-00002, latestReadyRevisionName: app-00001, url: "http://app", traffic: [{revisionName: app-00000, latestRevision: false, percent: 1}], ` + ready + `}}`,
		`{apiVersion: serving.knative.dev/v1, kind: Configuration, metadata: {name: app, namespace: ml, uid: c, ` + owned(serving, "Service", "app", "00000000-0000-4000-8000-000000000001") + `, ` + metadata + `},
  spec: {template: ` + strings.Replace(made, "metadata: {", "metadata: {name: app-00002, ", 1) + `}, status: {observedGeneration: 2, latestCreatedRevisionName: app-00002, latestReadyRevisionName: app-00001, ` + ready + `}}`,
		`{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: app, namespace: ml, uid: t, ` + owned(serving, "Service", "app", "00000000-0000-4000-8000-000000000001") + `, ` + metadata + `},
  spec: {traffic: [{configurationName: app, latestRevision: true, percent: 90}, {revisionName: app-00002, percent: 10}, {revisionName: app-00000}]}, status: {traffic: [{revisionName: app-00001, latestRevision: true, percent: 100}], ` + ready + `}}`,
		`{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {name: app-00002, namespace: ml, uid: r2, annotations: {` + scale + `}, ` + owned(serving, "Configuration", "app", "c") + `, ` + metadata + `},
  spec: {` + podText + `}, status: {observedGeneration: 1, actualReplicas: 2, desiredReplicas: 2, containerStatuses: [{name: c, imageDigest: x}]}}`,
		`{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {name: app-00001, namespace: ml, uid: r1, annotations: {` + scale + `}, ` + owned(serving, "Configuration", "app", "c") + `, ` + metadata + `},
  spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}, status: {actualReplicas: 0, desiredReplicas: 0, ` + ready + `}}`,
		`{apiVersion: serving.knative.dev/v1, kind: Revision, metadata: {name: app-00000, namespace: ml, uid: r0, annotations: {` + scale + `}, ` + owned(serving, "Configuration", "app", "c") + `, ` + metadata + `},
  spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}, status: {actualReplicas: 0, desiredReplicas: 0, ` + ready + `}}`,
		`{apiVersion: autoscaling.internal.knative.dev/v1alpha1, kind: PodAutoscaler, metadata: {name: app-00002, namespace: ml, uid: p2, annotations: {` + scale + `}, ` + owned(serving, "Revision", "app-00002", "r2") + `, ` + metadata + `},
  spec: {protocolType: http1, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app-00002-deployment}}, status: {desiredScale: 1}}`,
		`{apiVersion: autoscaling.internal.knative.dev/v1alpha1, kind: PodAutoscaler, metadata: {name: mine, namespace: ml, uid: p9, annotations: {` + scale + `}, ` + metadata + `}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: none}}}`,
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: app-00002-deployment, namespace: ml, uid: d2, annotations: {deployment.kubernetes.io/revision: "1"}, ` + owned(serving, "Revision", "app-00002", "r2") + `, ` + metadata + `},
  spec: {replicas: 2, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{resources: {limits: {nvidia.com/gpu: 2}}}]}}}, status: {replicas: 2}}`,
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: trainer, namespace: ml, uid: d3, annotations: {compute.kubetorch.com/gpus: "1"}, ` + metadata + `},
  spec: {replicas: 3, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {` + podText + `}}}}`,
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: plan, namespace: ml, uid: d4, labels: {kubetorch.com/autoscale: "true", tier: prod}, annotations: {autoscale.kubetorch.com/max-scale: "5", kubetorch.com/replicas: "2", kubetorch.com/exempt-from: pods}},
  spec: {replicas: 2, strategy: {type: RollingUpdate}, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}, annotations: {autoscaling.knative.dev/target: "5"}}, spec: {containers: [{name: c, image: "nginx:1", env: [{name: X, value: "1"}], ports: [{containerPort: 8080}], livenessProbe: {httpGet: {path: /, port: 8080}}, resources: {limits: {nvidia.com/gpu: 2, cpu: "1"}}, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, emptyDir: {sizeLimit: 1Gi}}], nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}}}}}`,
	}
}

var strictest = []string{
	`{metadata: {name: pods}, spec: {bounds: {gpusPerPod: {max: 0}, cpusPerPod: {max: 1m}, memoryPerPod: {max: 1Mi}, gpusPerWorkload: {max: 0, enforcement: Warn}, maxScale: {max: 0}, minScale: {max: 0}}}}`,
	`{metadata: {name: prod}, spec: {workloadSelector: {matchLabels: {tier: prod}}, enforcement: Audit, bounds: {gpuTypes: {allowed: [T4]}, scaleDownDelay: {max: 0s}, scaleToZeroPodRetentionPeriod: {max: 0s}, progressDeadline: {max: 1s}, autoscalerClasses: {allowed: [hpa]}}}}`,
	`{metadata: {name: most}, spec: {bounds: {gpusPerWorkload: {max: 20}}}}`,
}

// verdicts are all that counts and audits say of objects, listed or as they are.
func verdicts(in audit.Listing) string {
	o := &cluster.Objects{Namespaces: in.Namespaces, Knative: true}
	for i := range in.Objects {
		items := o.Of(workload.KindOf(in.Objects[i].Object()))
		*items = append(*items, in.Objects[i])
	}
	w := review.World{Policies: in.Policies, Knative: in.Knative, Cluster: &review.Cluster{Knative: true},
		NamespaceLabels: func(name string) (map[string]string, bool) { l, ok := in.Namespaces[name]; return l, ok }}
	slices.SortFunc(in.Objects, func(a, b cluster.Item) int { return strings.Compare(a.UID, b.UID) })
	report := audit.Run(in)
	return fmt.Sprintf("%d %+v\n%+v", report.Objects, report.Findings, usage.All(w, o))
}

// Whatever stands in any one field, or is missing there, what is kept of objects gives the
// same verdicts as the objects.
func TestWhatIsKeptGivesTheSameVerdicts(t *testing.T) {
	in := input(t, strictest, family()...)
	require.Empty(t, in.Policies.Invalid(), "bounds of an invalid policy are not looked at")
	full := verdicts(in)
	for _, kind := range []string{"Service ml/app", "Revision", "PodAutoscaler", "Deployment ml/plan", "Deployment ml/trainer"} {
		assert.Contains(t, fmt.Sprint(lines(audit.Run(in))), kind)
	}
	in.Objects = kept(t, in.Objects)
	assert.Equal(t, full, verdicts(in))
	originals := objects(t, family()...)
	converted := len(originals) - 1 // takes a hundred times as long as the others
	for at, original := range originals {
		originals, at := originals[:converted], at
		if at == converted {
			originals, at = []manifest.Object{original}, 0
		}
		in := input(t, strictest)
		in.Objects = cluster.AllOf(originals)
		full := verdicts(in)
		t.Run(fmt.Sprint(manifest.Text(original, "kind"), " ", manifest.Text(original, "metadata", "name")), func(t *testing.T) {
			t.Parallel()
			differ := false
			for _, change := range changes(original) {
				all := slices.Clone(originals)
				all[at] = runtime.DeepCopyJSON(original)
				path := change(all[at])
				in := in
				in.Objects = cluster.AllOf(all)
				want := verdicts(in)
				in.Objects = clustertest.List(t, all...).All()
				require.Equal(t, want, verdicts(in), path)
				differ = differ || want != full
			}
			// What the Route of a Service names counts with that Service, whoever names it.
			assert.True(t, differ || manifest.Text(original, "kind") == "Route", "changes that matter are among them")
		})
	}
}

// Objects of Kubernetes' own kinds with pods, and what decides how many there are.
func makers() []string {
	const template = `template: {metadata: {labels: {a: b}, annotations: {x: y}}, spec: {` + podText + `, restartPolicy: Never}}`
	owned := func(version, kind, name, uid string) string {
		return fmt.Sprintf(`ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: %s, controller: true, blockOwnerDeletion: true}], %s`, version, kind, name, uid, metadata)
	}
	labelled := strings.Replace(metadata, "labels: {", "labels: {a: b, ", 1)
	return []string{
		`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: ml, uid: s1, ` + metadata + `}, spec: {replicas: 2, serviceName: db, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}, selector: {matchLabels: {a: b}}, ` + template + `}, status: {replicas: 2, currentRevision: x}}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: db-0, namespace: ml, uid: s2, ` + strings.Replace(owned("apps/v1", "StatefulSet", "db", "s1"), "labels: {", "labels: {a: b, ", 1) + `}, spec: {` + podText + `, nodeName: n}, status: {phase: Running, podIP: 10.0.0.1, ` + ready + `}}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: alone, namespace: ml, uid: s3, ` + labelled + `, deletionTimestamp: "2026-01-01T00:00:00Z"}, spec: {` + podText + `}, status: {phase: Pending}}`,
		`{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly, namespace: ml, uid: b1, ` + metadata + `}, spec: {schedule: "0 0 * * *", jobTemplate: {metadata: {labels: {a: b}}, spec: {parallelism: 2, completions: 3, suspend: false, ` + template + `}}}, status: {lastScheduleTime: "2026-01-01T00:00:00Z"}}`,
		`{apiVersion: batch/v1, kind: Job, metadata: {name: nightly-1, namespace: ml, uid: b2, ` + owned("batch/v1", "CronJob", "nightly", "b1") + `}, spec: {parallelism: 4, completions: 5, suspend: false, backoffLimit: 3, managedBy: kubernetes.io/job-controller, podReplacementPolicy: Failed, completionMode: Indexed, selector: {matchLabels: {a: b}}, ` + template + `}, status: {active: 1, succeeded: 3, conditions: [{type: Suspended, status: "False", reason: x}]}}`,
		`{apiVersion: v1, kind: Pod, metadata: {name: nightly-1-x, namespace: ml, uid: b3, ` + strings.Replace(owned("batch/v1", "Job", "nightly-1", "b2"), "labels: {", "labels: {a: b, ", 1) + `}, spec: {` + podText + `}, status: {phase: Running}}`,
		`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: each, namespace: ml, uid: e1, ` + metadata + `}, spec: {selector: {matchLabels: {a: b}}, ` + template + `}, status: {desiredNumberScheduled: 4, currentNumberScheduled: 2}}`,
		`{apiVersion: v1, kind: ReplicationController, metadata: {name: old, namespace: ml, uid: c1, ` + metadata + `}, spec: {replicas: 3, selector: {a: b}, ` + template + `}}`,
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: app, namespace: ml, uid: d1, ` + metadata + `}, spec: {replicas: 1, paused: true, strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}, selector: {matchLabels: {a: b}}, ` + template + `}}`,
		`{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: app-1, namespace: ml, uid: d2, ` + strings.Replace(owned("apps/v1", "Deployment", "app", "d1"), "labels: {", "labels: {a: b, ", 1) + `}, spec: {replicas: 2, selector: {matchLabels: {a: b}}, ` + template + `}}`,
		`{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: scaled, namespace: ml, uid: h0, ` + metadata + `}, spec: {replicas: 2, selector: {matchLabels: {c: d}}, template: {metadata: {labels: {c: d}}, spec: {containers: [{name: c, resources: {limits: {nvidia.com/gpu: 2}}}]}}}}`,
		`{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: far, namespace: ml, uid: h1, ` + metadata + `}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: ReplicaSet, name: scaled}, minReplicas: 1, maxReplicas: 11, metrics: []}}`,
		`{apiVersion: v1, kind: LimitRange, metadata: {name: gives, namespace: ml, uid: l1, ` + metadata + `}, spec: {limits: [{type: Container, default: {nvidia.com/gpu: 1, cpu: "1"}, max: {cpu: "4"}}]}}`,
	}
}

func TestWhatIsKeptOfKindsWithPodsGivesTheSameVerdicts(t *testing.T) {
	originals := objects(t, makers()...)
	in := input(t, strictest)
	in.Objects = cluster.AllOf(originals)
	full := verdicts(in)
	for _, kind := range []string{"StatefulSet ml/db", "Pod ml/alone", "CronJob", "Job ml/nightly-1", "DaemonSet", "ReplicationController", "Deployment ml/app", "HorizontalPodAutoscaler ml/far", "LimitRange"} {
		assert.Contains(t, fmt.Sprint(lines(audit.Run(in))), kind)
	}
	for at, original := range originals {
		t.Run(fmt.Sprint(manifest.Text(original, "kind"), " ", manifest.Text(original, "metadata", "name")), func(t *testing.T) {
			t.Parallel()
			differ := false
			for _, change := range changes(original) {
				all := slices.Clone(originals)
				all[at] = runtime.DeepCopyJSON(original)
				path := change(all[at])
				in := in
				in.Objects = cluster.AllOf(all)
				want := verdicts(in)
				in.Objects = clustertest.List(t, all...).All()
				require.Equal(t, want, verdicts(in), path)
				differ = differ || want != full
			}
			assert.True(t, differ, "changes that matter are among them")
		})
	}
}

// changes take each value out of an object, or put another in its place.
func changes(o manifest.Object) (all []func(manifest.Object) string) {
	others := []any{"7", int64(7), manifest.Object{}, []any{}, true}
	for i, path := range paths(o) {
		if slices.Contains([]any{"apiVersion", "kind"}, path[0]) {
			continue // it would be of another list
		}
		for _, value := range []any{nil, others[i%len(others)]} {
			all = append(all, func(o manifest.Object) string {
				set(o, path, value)
				return fmt.Sprintf("%v = %v", path, value)
			})
		}
	}
	return all
}

func paths(v any) (all [][]any) {
	below := func(key, value any) {
		all = append(all, []any{key})
		for _, path := range paths(value) {
			all = append(all, slices.Concat([]any{key}, path))
		}
	}
	switch v := v.(type) {
	case manifest.Object:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			below(key, v[key])
		}
	case []any:
		for i, value := range v {
			below(i, value)
		}
	}
	return all
}

// set puts a value at a path; nil takes it out.
func set(v any, path []any, value any) {
	for _, key := range path[:len(path)-1] {
		switch at := key.(type) {
		case string:
			v = v.(manifest.Object)[at]
		case int:
			v = v.([]any)[at]
		}
	}
	switch at := path[len(path)-1].(type) {
	case string:
		if v.(manifest.Object)[at] = value; value == nil {
			delete(v.(manifest.Object), at)
		}
	case int:
		v.([]any)[at] = value
	}
}
