package audit_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/cluster/clustertest"
	"github.com/kubetorch/webhook/pkg/manifest"
)

const two = `{metadata: {name: strict}, spec: {bounds: {gpusPerPod: {max: 2}}}}`

// ksvc is a Knative Service with GPUs per pod and a max-scale.
func ksvc(name string, gpus int, more string) string {
	return fmt.Sprintf(`{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {namespace: ml, name: %s, uid: uid-%s%s}, spec: {template: %s}}`, name, name, more, template(gpus))
}

func template(gpus int) string {
	return fmt.Sprintf(`{metadata: {annotations: {autoscaling.knative.dev/max-scale: "4"}}, spec: {containers: [{image: a, resources: {limits: {nvidia.com/gpu: %d}}}]}}`, gpus)
}

func deployment(name string, gpus, replicas int, more string) string {
	return fmt.Sprintf(`{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: ml, name: %s, uid: uid-%s%s}, spec: {replicas: %d, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "a/b:v1", resources: {limits: {nvidia.com/gpu: %d}}}]}}}}`, name, name, more, replicas, gpus)
}

// child is a Configuration, Revision, Route or PodAutoscaler whose controller has a UID.
func child(version, kind, name, owner, uid, rest string) string {
	group, _, _ := strings.Cut(owner, "/")
	api := "serving.knative.dev/v1"
	if group == "Deployment" {
		api = "apps/v1"
	}
	_, by, _ := strings.Cut(owner, "/")
	return fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {namespace: ml, name: %s, uid: uid-%s, generation: 1, annotations: {autoscaling.knative.dev/max-scale: "4"}, ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: %s, controller: true}]}, %s}`,
		version, kind, name, name, api, group, by, uid, rest)
}

const (
	serving     = "serving.knative.dev/v1"
	autoscaling = "autoscaling.internal.knative.dev/v1alpha1"
)

func pods(gpus int) string {
	return fmt.Sprintf(`spec: {containers: [{image: a, resources: {limits: {nvidia.com/gpu: %d}}}]}`, gpus)
}

func configuration(name, owner, uid string, gpus int) string {
	return child(serving, "Configuration", name, owner, uid, "spec: {template: "+template(gpus)+"}")
}

func revision(name, owner, uid string, gpus int, more string) string {
	return child(serving, "Revision", name, owner, uid, pods(gpus)+more)
}

func TestAuditFindsWhatBreaksABound(t *testing.T) {
	const labelled = `, labels: {kubetorch.com/autoscale: "true"}`
	ownedBy := func(kind, name, uid string) string {
		return fmt.Sprintf(`, ownerReferences: [{apiVersion: apps/v1, kind: %s, name: %s, uid: %s, controller: true}]`, kind, name, uid)
	}
	idle := `, status: {actualReplicas: 0, desiredReplicas: 0}`
	for name, c := range map[string]struct {
		policies, objects []string
		want              []string
		looked            int
	}{
		"a Service, whatever its labels": {[]string{two}, []string{ksvc("fits", 2, ""), ksvc("big", 3, ""), ksvc("labelled", 3, labelled)},
			[]string{"strict Deny gpusPerPod Service ml/big", "strict Deny gpusPerPod Service ml/labelled"}, 3},
		"bounds of every enforcement": {[]string{`{metadata: {name: all}, spec: {enforcement: Warn, bounds: {gpusPerPod: {max: 1, enforcement: Audit}, maxScale: {max: 3}, gpusPerWorkload: {max: 4, enforcement: Clamp}}}}`},
			[]string{ksvc("big", 2, "")},
			[]string{"all Audit gpusPerPod Service ml/big", "all Clamp gpusPerWorkload Service ml/big", "all Warn maxScale Service ml/big"}, 1},
		"each of several policies": {[]string{two, `{metadata: {name: lax}, spec: {bounds: {gpusPerPod: {max: 4}}}}`, `{metadata: {name: stricter}, spec: {enforcement: Warn, bounds: {gpusPerPod: {max: 1}}}}`},
			[]string{ksvc("big", 3, "")},
			[]string{"strict Deny gpusPerPod Service ml/big", "stricter Warn gpusPerPod Service ml/big"}, 1},
		"a bound of two parts once": {[]string{`{metadata: {name: both}, spec: {bounds: {gpusPerPod: {max: 2, allowed: [1, 2]}}}}`}, []string{ksvc("big", 3, "")},
			[]string{"both Deny gpusPerPod Service ml/big"}, 1},
		"an exempt namespace, but nobody's users": {
			[]string{`{metadata: {name: exempting}, spec: {bounds: {gpusPerPod: {max: 2}}, exempt: [{namespaces: [ml]}]}}`,
				`{metadata: {name: personal}, spec: {bounds: {gpusPerPod: {max: 2}}, exempt: [{users: [ada], groups: [admins], serviceAccounts: [ml/ci]}]}}`},
			[]string{ksvc("big", 3, "")}, []string{"personal Deny gpusPerPod Service ml/big"}, 1},
		"only what a policy selects": {
			[]string{`{metadata: {name: team}, spec: {namespaceSelector: {matchLabels: {team: research}}, bounds: {gpusPerPod: {max: 2}}}}`,
				`{metadata: {name: other}, spec: {namespaceSelector: {matchLabels: {team: web}}, bounds: {gpusPerPod: {max: 2}}}}`,
				`{metadata: {name: labels}, spec: {workloadSelector: {matchLabels: {tier: prod}}, bounds: {gpusPerPod: {max: 2}}}}`},
			[]string{ksvc("big", 3, ""), ksvc("prod", 3, ", labels: {tier: prod}")},
			[]string{"labels Deny gpusPerPod Service ml/prod", "team Deny gpusPerPod Service ml/big", "team Deny gpusPerPod Service ml/prod"}, 2},
		"a namespace of which only the name is known": {[]string{`{metadata: {name: team}, spec: {namespaceSelector: {matchLabels: {team: research}}, bounds: {gpusPerPod: {max: 2}}}}`},
			[]string{strings.Replace(ksvc("big", 3, ""), "namespace: ml", "namespace: new", 1)}, []string{"team Deny gpusPerPod Service new/big"}, 1},
		"nothing in a namespace that admission leaves alone": {[]string{two}, []string{strings.Replace(ksvc("big", 3, ""), "namespace: ml", "namespace: knative-serving", 1)}, nil, 0},
		"nothing of an invalid policy, whose bounds are not known": {[]string{two, `{metadata: {name: broken}, spec: {bounds: {gpusPerPod: {max: -1}}}}`}, []string{ksvc("big", 3, "")},
			[]string{"strict Deny gpusPerPod Service ml/big"}, 1},
		"GPUs that cannot be counted": {[]string{two}, []string{
			strings.Replace(ksvc("half", 3, ""), "nvidia.com/gpu: 3", "nvidia.com/gpu: 500m", 1), strings.Replace(ksvc("unknown", 3, ""), "nvidia.com/gpu: 3", "acme.com/gpu: 1", 1)},
			[]string{"strict Deny gpusPerPod Service ml/half", "strict Deny gpusPerPod Service ml/unknown"}, 2},

		"a Deployment that asks for GPUs, and no other": {[]string{two, `{metadata: {name: scale}, spec: {bounds: {maxScale: {max: 2}}}}`},
			[]string{deployment("gpu", 3, 1, ""), deployment("web", 0, 9, "")}, []string{"strict Deny gpusPerPod Deployment ml/gpu"}, 1},
		"a labelled Deployment that waits for its Service": {[]string{two}, []string{deployment("app", 3, 0, labelled)}, []string{"strict Deny gpusPerPod Deployment ml/app"}, 1},
		"the Service in place of its Deployment": {[]string{two}, []string{deployment("app", 3, 0, labelled), ksvc("app", 3, ownedBy("Deployment", "app", "uid-app"))},
			[]string{"strict Deny gpusPerPod Service ml/app"}, 2},
		"both while the Deployment still has pods": {[]string{two}, []string{deployment("app", 3, 1, labelled), ksvc("app", 3, ownedBy("Deployment", "app", "uid-app"))},
			[]string{"strict Deny gpusPerPod Deployment ml/app", "strict Deny gpusPerPod Service ml/app"}, 2},
		"a Service that another Deployment's UID is on": {[]string{two}, []string{deployment("app", 3, 0, labelled), ksvc("app", 1, ownedBy("Deployment", "app", "uid-old"))},
			[]string{"strict Deny gpusPerPod Deployment ml/app"}, 2},
		"what a labelled Deployment is to become, by its parameters": {[]string{`{metadata: {name: scale}, spec: {bounds: {maxScale: {max: 2}}}}`},
			[]string{deployment("app", 0, 1, labelled+`, annotations: {autoscale.kubetorch.com/max-scale: "5"}`)}, []string{"scale Deny maxScale Deployment ml/app"}, 1},
		"what a labelled Deployment is to become, by its defaults": {[]string{`{metadata: {name: scale}, spec: {bounds: {maxScale: {max: 2}}}}`},
			[]string{deployment("app", 0, 1, labelled)}, nil, 1},

		"one of a family": {[]string{two}, []string{
			ksvc("app", 3, ""), configuration("app", "Service/app", "uid-app", 3), revision("app-00001", "Configuration/app", "uid-app", 3, ""),
			child(serving, "Route", "app", "Service/app", "uid-app", "spec: {traffic: [{configurationName: app, latestRevision: true}]}"),
			child(autoscaling, "PodAutoscaler", "app-00001", "Revision/app-00001", "uid-app-00001", "spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app-00001-deployment}}"),
			strings.Replace(deployment("app-00001-deployment", 3, 9, ""), "uid: uid-app-00001-deployment", "uid: d, ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: Revision, name: app-00001, uid: uid-app-00001, controller: true}]", 1),
		}, []string{"strict Deny gpusPerPod Deployment ml/app-00001-deployment", "strict Deny gpusPerPod Service ml/app"}, 6}, // 9 pods are more than the Revision's 4
		"a revision that its owner has replaced": {[]string{two}, []string{
			ksvc("app", 3, ""), configuration("app", "Service/app", "uid-app", 3), revision("app-00000", "Configuration/app", "uid-app", 3, "")},
			[]string{"strict Deny gpusPerPod Revision ml/app-00000", "strict Deny gpusPerPod Service ml/app"}, 3},
		"a PodAutoscaler whose Deployment is not there yet": {[]string{two}, []string{revision("app-00001", "Configuration/app", "u", 2, ""),
			child(autoscaling, "PodAutoscaler", "app-00001", "Revision/app-00001", "uid-app-00001", "spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app-00001-deployment}}")}, nil, 2},
		"no child with an owner of another UID": {[]string{two}, []string{ksvc("app", 3, ""), configuration("app", "Service/app", "uid-forged", 3)},
			[]string{"strict Deny gpusPerPod Configuration ml/app", "strict Deny gpusPerPod Service ml/app"}, 2},
		"no child with an owner that is gone": {[]string{two}, []string{revision("app-1", "Configuration/app", "uid-app", 3, "")}, []string{"strict Deny gpusPerPod Revision ml/app-1"}, 1},
		"a child that asks for more than its owner": {[]string{two}, []string{configuration("app", "Service/app", "u", 2), revision("app-1", "Configuration/app", "uid-app", 3, "")},
			[]string{"strict Deny gpusPerPod Revision ml/app-1"}, 2},
		"no superseded revision without pods and traffic": {[]string{two}, []string{configuration("app", "Service/app", "u", 2), revision("app-1", "Configuration/app", "uid-app", 3, idle)}, nil, 2},
		"a superseded revision that traffic names": {[]string{two}, []string{
			strings.Replace(ksvc("app", 2, ""), "spec: {template", "spec: {traffic: [{revisionName: app-1, percent: 100}], template", 1),
			configuration("app", "Service/app", "uid-app", 2), revision("app-1", "Configuration/app", "uid-app", 3, idle)},
			[]string{"strict Deny gpusPerPod Revision ml/app-1"}, 3},
		"a Route that sums up revisions": {[]string{`{metadata: {name: total}, spec: {bounds: {gpusPerWorkload: {max: 10}}}}`}, []string{
			revision("a-1", "Configuration/a", "u", 2, ""), revision("b-1", "Configuration/b", "u", 2, ""),
			child(serving, "Route", "all", "Service/none", "u", "spec: {traffic: [{revisionName: a-1, percent: 50}, {revisionName: b-1, percent: 50}]}")},
			[]string{"total Deny gpusPerWorkload Route ml/all"}, 3},
		"a PodAutoscaler without a Revision": {[]string{`{metadata: {name: total}, spec: {bounds: {gpusPerWorkload: {max: 10}}}}`}, []string{
			deployment("target", 3, 0, ""), child(autoscaling, "PodAutoscaler", "pa", "Revision/none", "u", "spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: target}}")},
			[]string{"total Deny gpusPerWorkload PodAutoscaler ml/pa"}, 2},
		"nothing of other kinds": {[]string{two}, []string{
			`{apiVersion: v1, kind: Service, metadata: {namespace: ml, name: core}}`, `{apiVersion: apps/v1, kind: StatefulSet, metadata: {namespace: ml, name: s}}`}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(t, c.policies, c.objects...)
			for _, in.Objects = range [][]cluster.Item{in.Objects, kept(t, in.Objects)} {
				before := seen(t, in.Objects)
				r := audit.Run(in)
				assert.Equal(t, c.want, lines(r))
				assert.Equal(t, c.looked, r.Objects)
				assert.Equal(t, before, seen(t, in.Objects), "nothing is touched")
			}
		})
	}
}

// kept is what lists keep of objects.
func kept(t *testing.T, items []cluster.Item) []cluster.Item {
	t.Helper()
	var all []manifest.Object
	for i := range items {
		all = append(all, items[i].Object())
	}
	return clustertest.List(t, all...).All()
}

func seen(t *testing.T, items []cluster.Item) string {
	t.Helper()
	var text strings.Builder
	for i := range items {
		require.NoError(t, json.NewEncoder(&text).Encode(items[i].Object()))
	}
	return text.String()
}

func TestWithoutKnativeADeploymentIsWhatItIs(t *testing.T) {
	in := input(t, []string{`{metadata: {name: scale}, spec: {bounds: {maxScale: {max: 2}}}}`},
		deployment("app", 0, 1, `, labels: {kubetorch.com/autoscale: "true"}, annotations: {autoscale.kubetorch.com/max-scale: "5"}`))
	in.Served = false
	assert.Empty(t, audit.Run(in).Findings)
}

func TestAFindingSaysWhatIsWrongInFewWords(t *testing.T) {
	r := audit.Run(input(t, []string{two, `{metadata: {name: scale}, spec: {bounds: {maxScale: {max: 2}}}}`},
		strings.Replace(ksvc("app", 3, ""), `max-scale: "4"`, `max-scale: "`+strings.Repeat("é", 5000)+`"`, 1)))
	require.Len(t, r.Findings, 2)
	message := r.Findings[0].Message
	assert.LessOrEqual(t, len(message), 256)
	assert.Regexp(t, "^asks for a number of pods that cannot be read .*é\\.\\.\\.$", message)
	assert.Equal(t, audit.Finding{Policy: "strict", APIVersion: serving, Enforcement: v1alpha1.Deny, ObjectViolation: v1alpha1.ObjectViolation{
		Namespace: "ml", Kind: "Service", Name: "app", Bound: "gpusPerPod", Message: "asks for 3 GPUs per pod; policy strict allows at most 2 (bounds.gpusPerPod.max)",
	}}, r.Findings[1])
}

func TestAReportCountsWhatEachPolicySelects(t *testing.T) {
	policies := []string{two,
		`{metadata: {name: labels}, spec: {workloadSelector: {matchLabels: {tier: prod}}, bounds: {gpusPerPod: {max: 2}}}}`,
		`{metadata: {name: other}, spec: {namespaceSelector: {matchLabels: {team: web}}, bounds: {gpusPerPod: {max: 2}}}}`,
		`{metadata: {name: exempting}, spec: {bounds: {gpusPerPod: {max: 2}}, exempt: [{namespaces: [ml]}]}}`}
	in := input(t, policies, ksvc("big", 3, ""), ksvc("prod", 3, ", labels: {tier: prod}"), strings.Replace(ksvc("small", 1, ""), "namespace: ml", "namespace: web", 1), deployment("no-gpus", 0, 1, ""),
		deployment("d", 1, 1, ""), `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {namespace: ml, name: of-d}, spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}}}`,
		`{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {namespace: ml, name: of-nothing}, spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: gone}}}`)
	r := audit.Run(in)
	assert.Equal(t, map[string]int{"strict": 5, "labels": 1, "exempting": 1}, r.Selected)
}

func TestFindingsSayInWhichVersionAnObjectWasRead(t *testing.T) {
	const pod = `containers: [{name: c, image: a, resources: {limits: {nvidia.com/gpu: 3}}}]`
	const template = `template: {spec: {` + pod + `}}`
	kinds := map[string]string{
		"Pod": "v1", "ReplicationController": "v1", "ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Deployment": "apps/v1", "Job": "batch/v1", "CronJob": "batch/v1",
		"JobSet": "jobset.x-k8s.io/v1alpha2",
	}
	var objects []string
	for kind, version := range kinds {
		spec := map[string]string{"Pod": pod, "CronJob": "jobTemplate: {spec: {" + template + "}}", "JobSet": "replicatedJobs: [{name: a, template: {spec: {" + template + "}}}]"}[kind]
		if spec == "" {
			spec = "replicas: 1, " + template
		}
		objects = append(objects, fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {namespace: ml, name: x, uid: %s}, spec: {%s}}`, version, kind, kind, spec))
	}
	in := input(t, []string{two}, objects...)
	found := map[string]string{}
	for _, f := range audit.Run(in).Findings {
		found[f.Kind] = f.APIVersion
	}
	assert.Equal(t, kinds, found)

	endless := strings.Replace(ksvc("endless", 1, ""), `max-scale: "4"`, `max-scale: "0"`, 1)
	most := int64(2)
	exceeded, _ := audit.Budgets(input(t, nil, endless), []v1alpha1.GPUBudget{{ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: v1alpha1.GPUBudgetSpec{Max: &most, MaxPerNamespace: &most}}})
	found = map[string]string{}
	for _, f := range exceeded {
		found[f.Kind] = f.APIVersion
	}
	assert.Equal(t, map[string]string{"GPUBudget": "policy.kubetorch.com/v1alpha1", "Namespace": "v1", "Service": serving}, found)
}
