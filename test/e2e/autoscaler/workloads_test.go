//go:build autoscaler

package autoscaler

import (
	"fmt"
	"maps"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/simulate"
)

// length is how long statistics are sent.
const length = 150 * time.Second

// load says how many requests come in each second, given how many seconds have passed. Each takes two seconds.
type load func(second float64) float64

var loads = []struct {
	name string
	load load
}{
	{"a trickle", func(s float64) float64 { return pick(math.Mod(s, 37) < 1, 1, 0) }},
	{"a steady load", func(float64) float64 { return 12 }},
	{"bursts of a second", func(s float64) float64 { return pick(math.Mod(s, 10) < 1, 80, 0) }},
	{"a spike from nothing", func(s float64) float64 { return pick(s >= 30 && s < 60, 40, 0) }},
	{"a short spike", func(s float64) float64 { return pick(s >= 40 && s < 44, 90, 2) }},
	{"a spike at once", func(s float64) float64 { return pick(s < 25, 25, 0) }},
	{"a load and then nothing", func(s float64) float64 { return pick(s < 60, 10, 0) }},
	{"a day in two minutes", func(s float64) float64 { return 10 - 10*math.Cos(2*math.Pi*s/120) }},
	{"a load that rises", func(s float64) float64 { return s / 4 }},
	{"steps up and down", func(s float64) float64 { return []float64{3, 30, 8, 50, 1}[int(s/20)%5] }},
}

func pick(yes bool, a, b float64) float64 {
	if yes {
		return a
	}
	return b
}

const burst = "autoscaling.knative.dev/target-burst-capacity"

// settings of workloads. With a burst capacity of -1 the activator is always in the path, and its word alone is
// taken: these have pods, which would else be scraped.
var settings = []struct {
	name        string
	concurrency int64
	annotations map[string]string
	pods        int
}{
	{"as Knative comes", 0, nil, 0},
	{"one request in a pod", 1, map[string]string{knative.MaxScaleKey: "20", burst: "-1"}, 3},
	{"kubetorch's defaults, shorter", 10, map[string]string{knative.TargetKey: "5", knative.MaxScaleKey: "10", knative.ScaleDownDelayKey: "20s", knative.WindowKey: "30s", burst: "-1"}, 2},
	{"by requests, short window", 0, map[string]string{knative.MetricKey: "rps", knative.TargetKey: "2", knative.WindowKey: "6s", knative.MinScaleKey: "1"}, 0},
	{"weighted, activation of 3", 4, map[string]string{knative.AlgorithmKey: "weightedExponential", knative.ActivationScaleKey: "3", knative.InitialScaleKey: "2", burst: "-1"}, 1},
}

// workload is one of the combinations.
type workload struct {
	name     string // of its PodAutoscaler and its revision
	title    string
	settings simulate.ScalingSettings
	load     load
	pods     int
}

func workloads() (all []workload) {
	config := knative.Default()
	for i, l := range loads {
		for k, s := range settings {
			annotations := map[string]string{knative.ClassKey: "kpa.autoscaling.knative.dev", knative.MetricKey: "concurrency"}
			maps.Copy(annotations, s.annotations)
			all = append(all, workload{name: fmt.Sprintf("w%d-%d", i, k), title: l.name + ", " + s.name, load: l.load, pods: s.pods,
				settings: simulate.ScalingSettings{Annotations: annotations, Concurrency: s.concurrency, Autoscaler: config.Autoscaler(), ProgressDeadline: config.ProgressDeadline()}})
		}
	}
	return all
}

const namespace = "default"

var (
	podAutoscalers     = schema.GroupVersionResource{Group: "autoscaling.internal.knative.dev", Version: "v1alpha1", Resource: "podautoscalers"}
	serverlessServices = schema.GroupVersionResource{Group: "networking.internal.knative.dev", Version: "v1alpha1", Resource: "serverlessservices"}
	deployments        = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	podResource        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// labels are those that Knative's controller gives what belongs to a revision.
func (w *workload) labels() map[string]any {
	return map[string]any{"serving.knative.dev/service": w.name, "serving.knative.dev/configuration": w.name, "serving.knative.dev/revision": w.name,
		"serving.knative.dev/revisionUID": w.name, "app": w.name}
}

func object(version, kind, name string, labels, rest map[string]any) *unstructured.Unstructured {
	o := map[string]any{"apiVersion": version, "kind": kind, "metadata": map[string]any{"name": name, "namespace": namespace, "labels": labels}}
	maps.Copy(o, rest)
	return &unstructured.Unstructured{Object: o}
}

// create stores what Knative's controller makes of a revision, in its place: a PodAutoscaler, and a Deployment, which
// is paused so that its pods are only those of give.
func (w *workload) create(t *testing.T) {
	t.Helper()
	selector := map[string]any{"app": w.name}
	container := map[string]any{"name": "c", "image": "registry.example.com/a:v1"}
	_, err := client.Resource(deployments).Namespace(namespace).Create(t.Context(), object("apps/v1", "Deployment", w.name, w.labels(), map[string]any{"spec": map[string]any{
		"paused": true, "replicas": int64(0), "selector": map[string]any{"matchLabels": selector},
		"template": map[string]any{"metadata": map[string]any{"labels": selector}, "spec": map[string]any{"containers": []any{container}}}}}), metav1.CreateOptions{})
	require.NoError(t, err)
	o := object("autoscaling.internal.knative.dev/v1alpha1", "PodAutoscaler", w.name, w.labels(), map[string]any{"spec": map[string]any{
		"containerConcurrency": w.settings.Concurrency, "protocolType": "http1", "reachability": "Reachable",
		"scaleTargetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": w.name}}})
	o.SetAnnotations(w.settings.Annotations)
	_, err = client.Resource(podAutoscalers).Namespace(namespace).Create(t.Context(), o, metav1.CreateOptions{})
	require.NoError(t, err)
}

// serve has the ServerlessService that the autoscaler makes say that it has a Service, from when on it decides.
func (w *workload) serve(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		o, err := client.Resource(serverlessServices).Namespace(namespace).Get(t.Context(), w.name, metav1.GetOptions{})
		if err != nil {
			return false
		}
		status := map[string]any{"privateServiceName": w.name + "-private", "serviceName": w.name, "observedGeneration": o.GetGeneration(),
			"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}
		o.Object["status"] = status
		_, err = client.Resource(serverlessServices).Namespace(namespace).UpdateStatus(t.Context(), o, metav1.UpdateOptions{})
		return err == nil
	}, 2*time.Minute, 200*time.Millisecond, "the autoscaler makes the ServerlessService of %s", w.name)
}

// give stores pods that are ready.
func (w *workload) give(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		name := fmt.Sprintf("%s-%d", w.name, i)
		o, err := client.Resource(podResource).Namespace(namespace).Create(t.Context(), object("v1", "Pod", name, w.labels(), map[string]any{
			"spec": map[string]any{"containers": []any{map[string]any{"name": "c", "image": "registry.example.com/a:v1"}}}}), metav1.CreateOptions{})
		require.NoError(t, err)
		o.Object["status"] = map[string]any{"phase": "Running", "podIP": "192.0.2.9", "podIPs": []any{map[string]any{"ip": "192.0.2.9"}},
			"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}, "startTime": time.Now().UTC().Format(time.RFC3339)}
		_, err = client.Resource(podResource).Namespace(namespace).UpdateStatus(t.Context(), o, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
}
