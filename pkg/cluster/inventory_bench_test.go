package cluster_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// What an API server stores of one Service, and of what Knative makes of it. XXXX is the
// number of the Service, TEAM that of its namespace.
const (
	benchManaged = `{manager: controller, operation: Update, apiVersion: serving.knative.dev/v1, time: "2026-01-01T00:00:00Z", fieldsType: FieldsV1, fieldsV1: {"f:metadata": {"f:annotations": {".": {}, "f:autoscaling.knative.dev/class": {}, "f:autoscaling.knative.dev/max-scale": {}, "f:autoscaling.knative.dev/min-scale": {}, "f:autoscaling.knative.dev/window": {}}, "f:labels": {".": {}, "f:app.kubernetes.io/name": {}, "f:serving.knative.dev/service": {}}}, "f:spec": {"f:template": {"f:spec": {"f:containers": {}, "f:timeoutSeconds": {}}}}, "f:status": {"f:conditions": {}, "f:observedGeneration": {}}}}`
	benchScale   = `annotations: {autoscaling.knative.dev/class: kpa.autoscaling.knative.dev, autoscaling.knative.dev/metric: concurrency, autoscaling.knative.dev/target: "100", autoscaling.knative.dev/target-utilization-percentage: "70", autoscaling.knative.dev/min-scale: "0", autoscaling.knative.dev/max-scale: "10", autoscaling.knative.dev/window: 60s, serving.knative.dev/creator: ada}`
	benchPods    = `containerConcurrency: 0, timeoutSeconds: 300, enableServiceLinks: false, containers: [{name: user-container, image: "registry.example.com/team/service-XXXX:v1", args: [--port, "8080"],
  env: [{name: MODEL, value: "service-XXXX"}, {name: CACHE, value: /cache}, {name: LOG_LEVEL, value: info}, {name: TOKEN, valueFrom: {secretKeyRef: {name: token, key: token}}}], ports: [{containerPort: 8080}],
  readinessProbe: {successThreshold: 1, httpGet: {path: /healthz, port: 0}}, resources: {limits: {cpu: "4", memory: 16Gi, nvidia.com/gpu: "1"}, requests: {cpu: "2", memory: 8Gi}}, volumeMounts: [{name: cache, mountPath: /cache}]}],
  volumes: [{name: cache, emptyDir: {sizeLimit: 8Gi}}], nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}`
	benchStatus = `conditions: [{type: ConfigurationsReady, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}, {type: Ready, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}, {type: RoutesReady, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]`
)

// families serves Services, each with all that Knative makes of it.
type families struct {
	services int
	texts    map[cluster.Resource]string
}

func newFamilies(t testing.TB, services int) *families {
	t.Helper()
	const service, revision = "service-XXXX", "service-XXXX-00001"
	object := func(version, kind, name, uid, owner, more, spec, status string) string {
		if owner != "" {
			owner = "ownerReferences: [{apiVersion: serving.knative.dev/v1, " + owner + "-0000-0000-4000-800000000000, controller: true, blockOwnerDeletion: true}], "
		}
		text, err := yaml.YAMLToJSON([]byte(`{apiVersion: ` + version + `, kind: ` + kind + `, metadata: {name: ` + name + `, namespace: team-TEAM, uid: ` + uid + `-0000-0000-4000-800000000000, generation: 1, creationTimestamp: "2026-01-01T00:00:00Z", ` +
			owner + more + `labels: {app.kubernetes.io/name: ` + service + `, team: nlp, serving.knative.dev/service: ` + service + `}, managedFields: [` + benchManaged + ", " + benchManaged + `]},
  spec: {` + spec + `}, status: {observedGeneration: 1, ` + status + benchStatus + `}}`))
		require.NoError(t, err)
		return string(text)
	}
	const template = `template: {metadata: {` + benchScale + `}, spec: {` + benchPods + `}}`
	const latest = `latestCreatedRevisionName: ` + revision + `, latestReadyRevisionName: ` + revision + `, `
	const traffic = `traffic: [{revisionName: ` + revision + `, latestRevision: true, percent: 100}], url: "http://service-XXXX.team-TEAM.example.com", `
	const serving = "serving.knative.dev/v1"
	return &families{services: services, texts: map[cluster.Resource]string{
		cluster.Services:       object(serving, "Service", service, "1XXXX", "", "", template+", traffic: [{latestRevision: true, percent: 100}]", traffic+latest),
		cluster.Configurations: object(serving, "Configuration", service, "2XXXX", "kind: Service, name: "+service+", uid: 1XXXX", "", template, latest),
		cluster.Routes:         object(serving, "Route", service, "3XXXX", "kind: Service, name: "+service+", uid: 1XXXX", "", "traffic: [{configurationName: "+service+", latestRevision: true, percent: 100}]", traffic),
		cluster.Revisions:      object(serving, "Revision", revision, "4XXXX", "kind: Configuration, name: "+service+", uid: 2XXXX", benchScale+", ", benchPods, "actualReplicas: 1, desiredReplicas: 1, "),
		cluster.PodAutoscalers: object("autoscaling.internal.knative.dev/v1alpha1", "PodAutoscaler", revision, "5XXXX", "kind: Revision, name: "+revision+", uid: 4XXXX", benchScale+", ",
			"scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: "+revision+"-deployment}", ""),
		cluster.Deployments: object("apps/v1", "Deployment", revision+"-deployment", "6XXXX", "kind: Revision, name: "+revision+", uid: 4XXXX", "",
			"replicas: 1, selector: {matchLabels: {app: "+service+"}}, template: {metadata: {labels: {app: "+service+"}}, spec: {"+benchPods+"}}", ""),
	}}
}

// teams is how many objects there are of kinds without a text, such as namespaces.
const teams = 20

// Read answers in pages.
func (f *families) Read(_ context.Context, kind cluster.Resource, options metav1.ListOptions) (io.ReadCloser, error) {
	var list strings.Builder
	list.WriteString(`{"items":[`)
	from, _ := strconv.Atoi(options.Continue)
	to := min(from+int(options.Limit), f.services)
	text, served := f.texts[kind]
	if !served {
		from, to = 0, teams
		text = `{"metadata":{"name":"team-XXXX"}}`
	}
	for i := from; i < to; i++ {
		if i > from {
			list.WriteByte(',')
		}
		_, _ = strings.NewReplacer("XXXX", fmt.Sprintf("%07d", i), "TEAM", fmt.Sprint(i%teams)).WriteString(&list, text)
	}
	next := ""
	if served && to < f.services {
		next = strconv.Itoa(to)
	}
	fmt.Fprintf(&list, `],"metadata":{"continue":%q}}`, next)
	return io.NopCloser(strings.NewReader(list.String())), nil
}

// What it takes to read and hold 10,000 Services with all that Knative makes of them, to
// count and to audit them. live-B/object is what an object of the list keeps in use.
func BenchmarkTenThousandServices(b *testing.B) {
	const services = 10_000
	f := newFamilies(b, services)
	var bounds manifest.Object
	require.NoError(b, yaml.Unmarshal([]byte(`{metadata: {name: p}, spec: {bounds: {maxScale: {max: 50}, gpusPerPod: {max: 8}, gpusPerWorkload: {max: 64}}}}`), &bounds))
	set := policy.CompileStored([]manifest.Object{bounds})
	list := func(b *testing.B) *cluster.Objects {
		o, err := cluster.List(b.Context(), f)
		require.NoError(b, err)
		return o
	}
	b.Run("list", func(b *testing.B) {
		live := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		b.ReportAllocs()
		before := live()
		var o *cluster.Objects
		for b.Loop() {
			o = list(b)
		}
		b.ReportMetric(float64(live()-before)/(6*services), "live-B/object")
		runtime.KeepAlive(o)
	})
	o := list(b)
	b.Run("count", func(b *testing.B) {
		b.ReportAllocs()
		w := review.World{Policies: set, Knative: knative.Default(), Cluster: &review.Cluster{Knative: true},
			NamespaceLabels: func(string) (map[string]string, bool) { return nil, true }}
		for b.Loop() {
			if all := usage.All(w, o); len(all) != services {
				b.Fatal(len(all), "claims")
			}
		}
	})
	b.Run("audit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			report := audit.Run(audit.Listing{Policies: set, Knative: knative.Default(), Served: true, Objects: o.All(), Namespaces: o.Namespaces})
			if report.Objects != 6*services+teams || len(report.Findings) != 0 {
				b.Fatal(report.Objects, "objects", report.Findings[:min(3, len(report.Findings))])
			}
		}
	})
	b.Run("audit, all beyond a bound", func(b *testing.B) {
		require.NoError(b, yaml.Unmarshal([]byte(`{metadata: {name: p}, spec: {bounds: {maxScale: {max: 1}}}}`), &bounds))
		strict := policy.CompileStored([]manifest.Object{bounds})
		b.ReportAllocs()
		for b.Loop() {
			report := audit.Run(audit.Listing{Policies: strict, Knative: knative.Default(), Served: true, Objects: o.All(), Namespaces: o.Namespaces})
			if len(report.Findings) != services || !strings.HasSuffix(report.Findings[0].Message, "; max-scale 1 fits") {
				b.Fatal(len(report.Findings), "findings", report.Findings[:min(3, len(report.Findings))])
			}
		}
	})
}
