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

	"github.com/kubetorch/webhook/pkg/budget/usage"
	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// crowd serves ReplicaSets with ten pods of a GPU each, and plain pods among these.
type crowd struct {
	plain, sets       int
	web, trainer, set string
}

// podsPerSet is how many pods a ReplicaSet has.
const podsPerSet = 10

func newCrowd(t testing.TB, plain, sets int) *crowd {
	t.Helper()
	object := func(version, kind, name, uid, owner, spec, status string) string {
		if owner != "" {
			owner = "ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, " + owner + "-0000-0000-4000-800000000000, controller: true, blockOwnerDeletion: true}], "
		}
		text, err := yaml.YAMLToJSON([]byte(`{apiVersion: ` + version + `, kind: ` + kind + `, metadata: {name: ` + name + `, namespace: team-TEAM, uid: ` + uid +
			`-0000-0000-4000-800000000000, generation: 1, creationTimestamp: "2026-01-01T00:00:00Z", ` + owner + `labels: {app: OWNER, team: nlp}, managedFields: [` +
			benchManaged + ", " + benchManaged + `]}, spec: {` + spec + `}, status: {` + status + benchStatus + `}}`))
		require.NoError(t, err)
		return string(text)
	}
	containers := func(image, limits string) string {
		return `nodeName: node-TEAM, serviceAccountName: default, restartPolicy: Always, containers: [{name: main, image: "registry.example.com/team/` + image + `:v1", args: [--port, "8080"],
  env: [{name: MODEL, value: OWNER}, {name: CACHE, value: /cache}, {name: TOKEN, valueFrom: {secretKeyRef: {name: token, key: token}}}], ports: [{containerPort: 8080}],
  readinessProbe: {successThreshold: 1, httpGet: {path: /healthz, port: 8080}}, resources: {limits: {cpu: "4", memory: 16Gi` + limits + `}, requests: {cpu: "2", memory: 8Gi}},
  volumeMounts: [{name: cache, mountPath: /cache}]}], volumes: [{name: cache, emptyDir: {sizeLimit: 8Gi}}]`
	}
	train := containers("train", `, nvidia.com/gpu: "1"`)
	return &crowd{
		plain: plain, sets: sets,
		web:     object("v1", "Pod", "web-XXXX", "7XXXX", "", containers("web", ""), "phase: Running, podIP: 10.0.0.1, "),
		trainer: object("v1", "Pod", "train-XXXX", "8XXXX", "name: train-OWNER, uid: 9OWNER", train, "phase: Running, podIP: 10.0.0.2, "),
		set: object("apps/v1", "ReplicaSet", "train-XXXX", "9XXXX", "", fmt.Sprintf("replicas: %d, selector: {matchLabels: {app: %q}}, template: {metadata: {labels: {app: OWNER}}, spec: {%s}}",
			podsPerSet, "OWNER", train), fmt.Sprintf("replicas: %d, ", podsPerSet)),
	}
}

// Read answers in pages. Every sixth pod and so on has a GPU, so that pages hold both.
func (c *crowd) Read(_ context.Context, kind cluster.Resource, options metav1.ListOptions) (io.ReadCloser, error) {
	count := 0
	item := func(int) (text string, number, owner int) { return "", 0, 0 }
	gpus := c.sets * podsPerSet
	switch kind {
	case cluster.Pods:
		count = c.plain + gpus
		item = func(i int) (string, int, int) {
			// The first i+1 pods hold this many of those with GPUs.
			before, with := i*gpus/count, (i+1)*gpus/count
			if with > before {
				return c.trainer, before, before / podsPerSet
			}
			return c.web, i, i
		}
	case cluster.ReplicaSets:
		count = c.sets
		item = func(i int) (string, int, int) { return c.set, i, i }
	}
	var list strings.Builder
	list.WriteString(`{"items":[`)
	from, _ := strconv.Atoi(options.Continue)
	to := min(from+int(options.Limit), count)
	for i := from; i < to; i++ {
		if i > from {
			list.WriteByte(',')
		}
		text, number, owner := item(i)
		_, _ = strings.NewReplacer("XXXX", fmt.Sprintf("%07d", number), "OWNER", fmt.Sprintf("%07d", owner),
			"TEAM", strconv.Itoa(owner%20)).WriteString(&list, text)
	}
	next := ""
	if to < count {
		next = strconv.Itoa(to)
	}
	fmt.Fprintf(&list, `],"metadata":{"continue":%q}}`, next)
	return io.NopCloser(strings.NewReader(list.String())), nil
}

// What it takes to read and count 10,000 pods with GPUs of 1,000 ReplicaSets among ever more pods without:
// kept-MiB is what the list keeps in use, which plain pods add nothing to.
func BenchmarkFiftyThousandPods(b *testing.B) {
	const sets = 1000
	for _, plain := range []int{0, 10_000, 50_000} {
		c := newCrowd(b, plain, sets)
		live := func() int64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		var o *cluster.Objects
		b.Run(fmt.Sprintf("list/plain=%d", plain), func(b *testing.B) {
			b.ReportAllocs()
			o = nil
			before := live()
			for b.Loop() {
				var err error
				o, err = cluster.List(b.Context(), c)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(live()-before)/(1<<20), "kept-MiB")
			require.Len(b, o.Pods, sets*podsPerSet)
		})
		b.Run(fmt.Sprintf("count/plain=%d", plain), func(b *testing.B) {
			b.ReportAllocs()
			w := review.World{Policies: policy.CompileStored(nil), Knative: knative.Default(), Cluster: &review.Cluster{Knative: true},
				NamespaceLabels: func(string) (map[string]string, bool) { return nil, true }}
			for b.Loop() {
				if all := usage.All(w, o); len(all) != sets {
					b.Fatal(len(all), "claims")
				}
			}
		})
	}
}
