package offline_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
	"github.com/kubetorch/webhook/pkg/review"
)

// run is one call of expand.
type run struct {
	in        string
	policy    string // a ComputePolicy
	knative   string // Knative's ConfigMaps
	noKnative bool
}

func (r run) inputs(t *testing.T) offline.Inputs {
	t.Helper()
	dir := t.TempDir()
	var policies, configs []string
	write := func(name, text string) []string {
		if text == "" {
			return nil
		}
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return []string{path}
	}
	policies, configs = write("policy.yaml", r.policy), write("knative.yaml", r.knative)
	inputs, err := offline.Load(policies, configs, nil)
	require.NoError(t, err)
	inputs.NoKnative = r.noKnative
	return inputs
}

// admit gives the outcomes, the text that is printed and the report.
func (r run) admit(t *testing.T) (outcomes []offline.Preview, stdout, report string) {
	t.Helper()
	inputs := r.inputs(t)
	docs, err := offline.Parse("in.yaml", []byte(r.in))
	require.NoError(t, err)
	outcomes = offline.Expand(docs, inputs)
	var out, errOut bytes.Buffer
	offline.Report(&errOut, outcomes)
	require.NoError(t, offline.WriteYAML(&out, docs, outcomes))
	return outcomes, out.String(), errOut.String()
}

// policyWith is a ComputePolicy with a spec in flow style.
func policyWith(spec string) string {
	return "apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: platform}\nspec: {" + spec + "}\n"
}

const allFlags = `apiVersion: v1
kind: ConfigMap
metadata: {name: config-features}
data: {kubernetes.podspec-nodeselector: enabled, kubernetes.podspec-tolerations: enabled, kubernetes.podspec-priorityclassname: enabled}
`

// deployment is one with metadata and fields of its spec in flow style.
func deployment(metadata, spec string) string {
	if spec != "" {
		spec += ", "
	}
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, " + metadata + "}\nspec: {" + spec +
		"selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}]}]}}}\n"
}

const autoscaledLabel = `labels: {kubetorch.com/autoscale: "true"}`

func TestALabelledDeploymentIsReplacedWhereItStands(t *testing.T) {
	before := "# first, with   odd spacing\napiVersion: v1\nkind: ConfigMap\nmetadata:   {name: a}\n"
	after := "apiVersion: v1 # last\nkind: Service\nmetadata: {name: other}"
	_, out, report := run{in: before + "---\n" + deployment(autoscaledLabel+`, annotations: {autoscale.kubetorch.com/max-scale: "3"}`, "replicas: 1") + "---\n" + after}.admit(t)
	assert.Empty(t, report)
	assert.Equal(t, before+`---
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  annotations:
    autoscale.kubetorch.com/max-scale: "3"
    kubetorch.com/expansion: '{"autoscaling.knative.dev/class":{"value":"kpa.autoscaling.knative.dev","from":"built-in"},"autoscaling.knative.dev/initial-scale":{"value":"1","from":"built-in"},"autoscaling.knative.dev/max-scale":{"value":"3","from":"annotation
      autoscale.kubetorch.com/max-scale: 3"},"autoscaling.knative.dev/metric":{"value":"concurrency","from":"built-in"},"autoscaling.knative.dev/min-scale":{"value":"0","from":"built-in"},"autoscaling.knative.dev/scale-down-delay":{"value":"1m","from":"built-in"},"autoscaling.knative.dev/scale-to-zero-pod-retention-period":{"value":"10m","from":"built-in"},"autoscaling.knative.dev/target":{"value":"100","from":"built-in,
      for concurrency"},"autoscaling.knative.dev/target-utilization-percentage":{"value":"70","from":"built-in"},"autoscaling.knative.dev/window":{"value":"60s","from":"built-in"},"serving.knative.dev/progress-deadline":{"value":"10m","from":"built-in"}}'
  labels:
    kubetorch.com/autoscale: "true"
  name: web
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/class: kpa.autoscaling.knative.dev
        autoscaling.knative.dev/initial-scale: "1"
        autoscaling.knative.dev/max-scale: "3"
        autoscaling.knative.dev/metric: concurrency
        autoscaling.knative.dev/min-scale: "0"
        autoscaling.knative.dev/scale-down-delay: 1m
        autoscaling.knative.dev/scale-to-zero-pod-retention-period: 10m
        autoscaling.knative.dev/target: "100"
        autoscaling.knative.dev/target-utilization-percentage: "70"
        autoscaling.knative.dev/window: 60s
        serving.knative.dev/progress-deadline: 10m
      labels:
        app: web
    spec:
      containers:
      - image: acme/web:1
        name: web
        ports:
        - containerPort: 8080
---
`+after+"\n", out)
}

func TestADeploymentInAListIsReplacedToo(t *testing.T) {
	outcomes, out, report := run{in: `{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Secret, metadata: {name: s}}, {apiVersion: apps/v1, kind: Deployment, metadata: {name: web, ` + autoscaledLabel +
		`}, spec: {template: {spec: {containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}]}]}}}}]}`}.admit(t)
	assert.Empty(t, report)
	require.Len(t, outcomes, 2)
	docs, err := offline.Parse("out", []byte(out))
	require.NoError(t, err)
	items := manifest.Objects(docs[0].Object, "items")
	require.Len(t, items, 2)
	assert.Equal(t, "Secret", manifest.Text(items[0], "kind"))
	assert.Equal(t, "serving.knative.dev/v1 Service", manifest.Text(items[1], "apiVersion")+" "+manifest.Text(items[1], "kind"))
}

func parsed(t *testing.T, text string) manifest.Object {
	t.Helper()
	docs, err := offline.Parse("text", []byte("{apiVersion: v1, kind: K, o: "+text+"}"))
	require.NoError(t, err)
	return manifest.Map(docs[0].Object, "o")
}

func TestRefusalsOfAutoscaledDeployments(t *testing.T) {
	const refused = "Refused: Deployment default/web (in.yaml)\n  * "
	const taken = "so the Knative Service would never get ready; rename one of them, or set autoscale.kubetorch.com/service-name to another name\n"
	gpus := `annotations: {compute.kubetorch.com/gpus: "2", autoscale.kubetorch.com/max-scale: "4"}`
	other := func(text string) string { return deployment(autoscaledLabel, "") + "---\n" + text }
	for name, c := range map[string]struct {
		in     run
		report string
	}{
		"bounds name the parameter": {run{in: deployment(autoscaledLabel+", "+gpus, ""), policy: policyWith(`bounds: {maxScale: {max: 3}, gpusPerPod: {max: 1}, gpusPerWorkload: {max: 4}}`), knative: allFlags},
			refused + "metadata.annotations[autoscale.kubetorch.com/max-scale]: Forbidden: asks for up to 4 pods; policy platform allows at most 3 (bounds.maxScale.max)\n" +
				"  * spec.template.spec.containers: Forbidden: asks for 2 GPUs per pod; policy platform allows at most 1 (bounds.gpusPerPod.max)\n" +
				"  * metadata.annotations[autoscale.kubetorch.com/max-scale]: Forbidden: asks for 8 GPUs (2 x 4 pods); policy platform allows at most 4 (bounds.gpusPerWorkload.max)\n"},
		"what the cluster forbids is refused by flag": {run{in: deployment(autoscaledLabel+`, annotations: {compute.kubetorch.com/gpu-type: NVIDIA-L4}`, "")},
			refused + "metadata.annotations[compute.kubetorch.com/gpu-type]: Invalid value: \"NVIDIA-L4\": the cluster's Knative has kubernetes.podspec-nodeselector disabled; a cluster administrator can enable it in ConfigMap config-features of namespace knative-serving\n"},
		"Recreate is warned of": {run{in: deployment(autoscaledLabel, "strategy: {type: Recreate}")},
			"Warning: Deployment default/web: spec.strategy.type Recreate has no effect: Knative starts the pods of a new version beside those of the old one, so that a rollout needs the resources of both, and a volume that one node at a time can mount holds it up\n"},
		"a parameter that contradicts the Deployment's deadline names both": {run{in: deployment(autoscaledLabel+`, annotations: {autoscale.kubetorch.com/progress-deadline: 5m}`, "progressDeadlineSeconds: 900")},
			refused + "metadata.annotations[autoscale.kubetorch.com/progress-deadline]: Invalid value: \"5m\": differs from spec.progressDeadlineSeconds: 900s; state it once\n"},
		"a parameter that says the same is stated twice": {run{in: deployment(autoscaledLabel+`, annotations: {autoscale.kubetorch.com/progress-deadline: 15m}`, "progressDeadlineSeconds: 900")}, ""},
		"fields, parameters and bounds are refused at once": {run{in: deployment(autoscaledLabel+`, annotations: {autoscale.kubetorch.com/window: 1s}`, "paused: true")},
			refused + "spec.paused: Forbidden: a Knative Service cannot be paused; remove it, or keep the label off until the rollout may go on\n" +
				"  * metadata.annotations[autoscale.kubetorch.com/window]: Invalid value: \"1s\": expected 6s <= 1s <= 1h0m0s\n"},
		"what cannot be expressed does not hide bounds": {run{in: deployment(autoscaledLabel, "paused: true"), policy: policyWith(`bounds: {scaleToZeroPodRetentionPeriod: {max: 1m}, autoscalerClasses: {allowed: [hpa]}}`)},
			refused + "spec.paused: Forbidden: a Knative Service cannot be paused; remove it, or keep the label off until the rollout may go on\n" +
				"  * spec.template.metadata.annotations[autoscaling.knative.dev/class]: Forbidden: asks for autoscaler class kpa.autoscaling.knative.dev; policy platform allows only hpa.autoscaling.knative.dev (bounds.autoscalerClasses.allowed)\n"},
		"a core Service of the name is in the way": {run{in: other("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\n")},
			strings.Replace(refused, "in.yaml", "in.yaml, line 1", 1) + `metadata.name: Invalid value: "web": is the name of the core Service default/web, ` + taken},
		"one in another namespace is not": {run{in: other("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n")}, ""},
		"a Knative Service of the name is in the way": {run{in: other("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{image: acme/web:1}]}}}\n")},
			strings.Replace(refused, "in.yaml", "in.yaml, line 1", 1) + `metadata.name: Invalid value: "web": is the name of the Knative Service default/web, ` + taken},
		"the name that service-name chooses is free": {run{in: strings.Replace(other("apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"), autoscaledLabel, autoscaledLabel+`, annotations: {autoscale.kubetorch.com/service-name: web-knative}`, 1)}, ""},
		"two Deployments cannot have one Knative Service": {run{in: other(strings.Replace(deployment(autoscaledLabel+`, annotations: {autoscale.kubetorch.com/service-name: web}`, ""), "name: web, labels", "name: shop, labels", 1))},
			"Refused: Deployment default/shop (in.yaml, line 6)\n  * metadata.annotations[autoscale.kubetorch.com/service-name]: Invalid value: \"web\": is the name of the Knative Service default/web of Deployment web, " + taken},
		"a Deployment of an old API is refused": {run{in: strings.Replace(deployment(autoscaledLabel, ""), "apps/v1", "apps/v1beta1", 1)},
			refused + "metadata.labels[kubetorch.com/autoscale]: Invalid value: \"true\": a Deployment.apps cannot be expanded: no API server has this version any more; write it for apps/v1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, report := c.in.admit(t)
			assert.Equal(t, c.report, report)
		})
	}
}

func TestTheDeploymentOfARevisionIsLeftAlone(t *testing.T) {
	in := deployment(autoscaledLabel+", ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: Revision, name: web-00001, uid: u, controller: true}]", "paused: true")
	_, out, report := run{in: in, noKnative: false}.admit(t)
	assert.Empty(t, report)
	assert.Equal(t, in, out)
}

func TestKindsThatCannotBeAutoscaled(t *testing.T) {
	const distributed = "autoscaling and distributed computing are mutually exclusive; remove the label, or serve requests with a Deployment or a Knative Service"
	for kind, why := range map[string]string{
		"batch/v1 Job":                           "a Job.batch cannot be expanded: " + distributed,
		"batch/v1 CronJob":                       "a CronJob.batch cannot be expanded: " + distributed,
		"ray.io/v1 RayCluster":                   "a RayCluster.ray.io cannot be expanded: " + distributed,
		"ray.io/v1 RayJob":                       "a RayJob.ray.io cannot be expanded: " + distributed,
		"jobset.x-k8s.io/v1alpha2 JobSet":        "a JobSet.jobset.x-k8s.io cannot be expanded: " + distributed,
		"kubeflow.org/v1 PyTorchJob":             "a PyTorchJob.kubeflow.org cannot be expanded: " + distributed,
		"kubeflow.org/v2beta1 MPIJob":            "a MPIJob.kubeflow.org cannot be expanded: " + distributed,
		"trainer.kubeflow.org/v1alpha1 TrainJob": "a TrainJob.trainer.kubeflow.org cannot be expanded: " + distributed,
		"apps/v1 StatefulSet":                    "a StatefulSet.apps cannot be expanded: the pods of a StatefulSet have names and volumes of their own, which an autoscaler that goes to zero does not keep; use a Deployment or a Knative Service",
		"apps/v1 DaemonSet":                      "a DaemonSet.apps cannot be expanded: a DaemonSet has a pod on each node, however many requests there are; use a Deployment or a Knative Service",
	} {
		version, name, _ := strings.Cut(kind, " ")
		in := "apiVersion: " + version + "\nkind: " + name + "\nmetadata: {name: x, LABELS}\n"
		t.Run(kind, func(t *testing.T) {
			_, _, report := run{in: strings.Replace(in, "LABELS", `labels: {kubetorch.com/autoscale: "true"}`, 1)}.admit(t)
			assert.Equal(t, "Refused: "+name+" default/x (in.yaml)\n  * metadata.labels[kubetorch.com/autoscale]: Invalid value: \"true\": "+why+"\n", report)
			for _, labels := range []string{`labels: {kubetorch.com/autoscale: "false"}`, `labels: {kubetorch.com/compute: "true"}`} {
				same := strings.Replace(in, "LABELS", labels, 1)
				_, out, report := run{in: same}.admit(t)
				want := ""
				if !strings.Contains(labels, "false") && !review.Operated(schema.FromAPIVersionAndKind(version, name).GroupKind()) {
					want = "Warning: " + name + " default/x: labels and parameters of ours have no effect on a " + name + "; put them on a Deployment or a Knative Service\n"
				}
				assert.Equal(t, want, report)
				assert.Equal(t, same, out)
			}
		})
	}
}

// The Deployments that pkg/convert is tested on come out the same when their expansion is
// expanded once more.
func TestExpandedDeploymentsStayAsTheyAre(t *testing.T) {
	files, err := filepath.Glob("../convert/testdata/deployments/*.yaml")
	require.NoError(t, err)
	knative := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-features}\ndata:\n"
	for _, name := range []string{"affinity", "topologyspreadconstraints", "fieldref", "nodeselector", "tolerations", "runtimeclassname", "securitycontext", "priorityclassname",
		"init-containers", "dnsconfig", "hostipc", "persistent-volume-claim", "persistent-volume-write", "volumes-csi", "volumes-ephemeral", "volumes-hostpath"} {
		knative += "  kubernetes.podspec-" + name + ": enabled\n"
	}
	knative += "  kubernetes.containerspec-addcapabilities: enabled\n  multi-container-probing: enabled\n"
	policy, err := os.ReadFile("../convert/testdata/policy.yaml")
	require.NoError(t, err)
	expanded := 0
	for _, file := range files {
		in, err := os.ReadFile(file)
		require.NoError(t, err)
		r := run{in: string(in), policy: string(policy), knative: knative}
		outcomes, out, _ := r.admit(t)
		if outcomes[0].Verdict.Refused() {
			continue
		}
		expanded++
		r.in = out
		again, twice, _ := r.admit(t)
		assert.False(t, again[0].Verdict.Refused(), file)
		assert.Equal(t, out, twice, file)
	}
	assert.Greater(t, expanded, 25)
}

// What was filled in while there was no Knative, or no autoscale label, is gone once a
// Deployment becomes a Knative Service: the cluster's flags and policies decide anew.
func TestAFilledInDeploymentIsExpandedLikeTheOriginal(t *testing.T) {
	in := strings.Replace(deployment(autoscaledLabel+`, annotations: {compute.kubetorch.com/gpus: "1", compute.kubetorch.com/cpus: "2", compute.kubetorch.com/shared-memory-limit: 1Gi, compute.kubetorch.com/queue-name: q}`, ""),
		"image: acme/web:1", "image: acme/web:1, resources: {limits: {memory: 8Gi}}", 1)
	_, want, _ := run{in: in}.admit(t)
	_, filled, report := run{in: in, noKnative: true, policy: policyWith(`bounds: {memoryPerPod: {max: 4Gi, enforcement: Clamp}}`)}.admit(t)
	assert.Contains(t, report, "memory 8Gi per pod lowered to 4Gi")
	assert.Contains(t, filled, "tolerations:")
	assert.Contains(t, filled, "memory: 4Gi")
	outcomes, got, _ := run{in: filled}.admit(t)
	assert.False(t, outcomes[0].Verdict.Refused())
	assert.Equal(t, want, got)
}

func TestExplainADeployment(t *testing.T) {
	outcomes, _, _ := run{in: deployment(autoscaledLabel+`, annotations: {autoscale.kubetorch.com/service-name: shop, compute.kubetorch.com/gpus: "2"}`, "") + "---\n" +
		strings.Replace(deployment(`labels: {kubetorch.com/compute: "true"}, annotations: {compute.kubetorch.com/gpus: "4"}`, "replicas: 3"), "name: web,", "name: trainer,", 1),
		policy: policyWith(`bounds: {gpusPerWorkload: {max: 20}, scaleDownDelay: {max: 5m}}`), knative: allFlags}.admit(t)
	var out bytes.Buffer
	require.NoError(t, offline.ExplainTable(&out, outcomes))
	assert.Equal(t, `Deployment default/web

SETTING                              VALUE                         FROM
autoscaler-class                     kpa.autoscaling.knative.dev   built-in
metric                               concurrency                   built-in
target                               100                           built-in, for concurrency
target-utilization                   70                            built-in
min-scale                            0                             built-in
max-scale                            10                            built-in
initial-scale                        1                             built-in
window                               60s                           built-in
scale-down-delay                     1m                            built-in
scale-to-zero-pod-retention-period   10m                           built-in
progress-deadline                    10m                           built-in
gpus                                 2                             annotation compute.kubetorch.com/gpus: 2
service-name                         shop                          annotation autoscale.kubetorch.com/service-name: shop

claims 20 GPUs: 2 per pod x 10 pods

BOUND                 POLICY     ALLOWS       ASKS FOR                   ROOM LEFT   ENFORCEMENT
gpusPerWorkload.max   platform   at most 20   20 GPUs (2 x 10 pods)      none        Deny
scaleDownDelay.max    platform   at most 5m   a scale-down delay of 1m   4m          Deny

Deployment default/trainer

SETTING   VALUE   FROM
gpus      4       annotation compute.kubetorch.com/gpus: 4

claims 12 GPUs: 4 per pod x 3 pods

BOUND                 POLICY     ALLOWS       ASKS FOR               ROOM LEFT   ENFORCEMENT
gpusPerWorkload.max   platform   at most 20   12 GPUs (4 x 3 pods)   8           Deny
`, out.String())
}

// An overlay puts its labels on everything; what runs no pods of its own, and is nothing that people
// take for a workload, is left alone.
func TestTheLabelMeansNothingOnOtherKinds(t *testing.T) {
	for _, kind := range []string{"v1 ConfigMap", "v1 ServiceAccount", "autoscaling/v2 HorizontalPodAutoscaler", "kubeflow.org/v1 Notebook", "acme.example/v1 Toy"} {
		version, name, _ := strings.Cut(kind, " ")
		in := "apiVersion: " + version + "\nkind: " + name + "\nmetadata: {name: x, labels: {kubetorch.com/autoscale: \"true\"}}\n"
		_, out, report := run{in: in}.admit(t)
		assert.Empty(t, report, kind)
		assert.Equal(t, in, out, kind)
	}
}

func TestACommentBehindASeparatorStays(t *testing.T) {
	in := "--- # Source: shop/templates/a.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {text: \"--- # not a separator\"}\n---\t# Source: b\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"
	_, out, report := run{in: in}.admit(t)
	assert.Empty(t, report)
	assert.Equal(t, "---\n# Source: shop/templates/a.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {text: \"--- # not a separator\"}\n---\n# Source: b\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n", out)
}
