// Large objects that a verdict has to list take the memory of a replica.

package cluster

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// pages are answers to a list, one after the other, and what was asked for them.
type pages struct {
	texts []string
	asked []string
}

func (p *pages) ReadIn(_ context.Context, kind Resource, namespace string, o metav1.ListOptions) (io.ReadCloser, error) {
	p.asked = append(p.asked, fmt.Sprintf("%s of %s, %s, after %q", kind.Resource, namespace, o.LabelSelector, o.Continue))
	text := p.texts[0]
	p.texts = p.texts[1:]
	return io.NopCloser(strings.NewReader(text)), nil
}

// A tenant's objects may hold a megabyte each, and a verdict may depend on thousands of them: what no verdict
// looks at is not kept.
func TestOfManyLargeObjectsAVerdictKeepsLittle(t *testing.T) {
	fat := strings.Repeat("x", 200_000)
	pod := func(name, gpus string) string {
		return `{"metadata": {"name": "` + name + `", "namespace": "a", "uid": "` + name + `", "labels": {"app": "d"}, "annotations": {"a": "` + fat + `"}, "managedFields": [{"a": "` + fat + `"}]},
		"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "` + fat + `"}], "resources": {"limits": {` + gpus + `}}}]}, "status": {"phase": "Running", "message": "` + fat + `"}}`
	}
	source := &pages{texts: []string{
		`{"metadata": {"continue": "more"}, "items": [` + pod("one", `"nvidia.com/gpu": "1"`) + `,` + pod("none", `"cpu": "1"`) + `]}`,
		`{"metadata": {}, "items": [` + pod("two", `"nvidia.com/gpu": "2"`) + `]}`,
	}}
	selector, err := klabels.Parse("app=d")
	require.NoError(t, err)
	got, err := Pruned(t.Context(), source, Pods, "a", selector)
	require.NoError(t, err)
	want := func(name, gpus string) manifest.Object {
		return manifest.Object{"apiVersion": "v1", "kind": "Pod",
			"metadata": manifest.Object{"name": name, "namespace": "a", "uid": name, "labels": manifest.Object{"app": "d"}, "annotations": manifest.Object{}},
			"spec":     manifest.Object{"containers": []any{manifest.Object{"resources": manifest.Object{"limits": manifest.Object{"nvidia.com/gpu": gpus}}}}},
			"status":   manifest.Object{"phase": "Running"}}
	}
	assert.Equal(t, []manifest.Object{want("one", "1"), want("two", "2")}, got)
	assert.Equal(t, []string{`pods of a, app=d, after ""`, `pods of a, app=d, after "more"`}, source.asked)
}

// Whatever is kept, a verdict keeps no more than so much of it: labels, for instance, have no end.
func TestAVerdictKeepsNoMoreThanALimit(t *testing.T) {
	var labels strings.Builder
	for n := range 8_000 {
		fmt.Fprintf(&labels, `"%s%d": "%s",`, strings.Repeat("k", 50), n, strings.Repeat("v", 60))
	}
	item := `{"metadata": {"name": "c", "namespace": "a", "labels": {` + labels.String() + ` "app": "d"}}, "spec": {"devices": {}}}`
	list := func(n int) *pages {
		return &pages{texts: []string{`{"metadata": {}, "items": [` + strings.Repeat(item+",", n-1) + item + `]}`}}
	}
	got, err := Pruned(t.Context(), list(10), ResourceClaims, "a", klabels.Everything())
	require.NoError(t, err)
	assert.Len(t, got, 10)
	_, err = Pruned(t.Context(), list(40), ResourceClaims, "a", klabels.Everything())
	assert.ErrorContains(t, err, "resourceclaims.resource.k8s.io hold more than 32 MiB of what verdicts depend on")

	// Of what is only warned of it is less: all kinds of that are listed at the same time.
	ingresses := schema.GroupKind{Group: "networking.k8s.io", Kind: "Ingress"}
	_, err = NewReader(nil, nil, list(3)).List(t.Context(), ingresses, "a", klabels.Everything())
	require.NoError(t, err)
	_, err = NewReader(nil, nil, list(6)).List(t.Context(), ingresses, "a", klabels.Everything())
	assert.ErrorContains(t, err, "ingresses.networking.k8s.io hold more than 4 MiB of what verdicts depend on")
}

// All that a verdict lists goes that way: of kinds that are counted with what counts look at, of others with what
// points at a Deployment or its pods.
func TestAReaderKeepsWhatVerdictsLookAt(t *testing.T) {
	item := func(kind string) string {
		return `{"metadata": {}, "items": [{"metadata": {"name": "` + kind + `", "namespace": "a", "annotations": {"b": "c"}}, "spec": {"x": "y"}}]}`
	}
	requests := func(expression string) string {
		return `{"spec": {"devices": {"requests": [{"name": "a", "firstAvailable": [{"name": "b", "deviceClassName": "gpu.nvidia.com", "count": 2,
			"selectors": [{"cel": {"expression": ` + expression + `}}]}]}]}}}`
	}
	template := func(expression string) string {
		return `{"metadata": {"name": "t", "namespace": "a", "annotations": {"a": "` + strings.Repeat("x", 200_000) + `"}}, "spec": ` + requests(expression) + `}`
	}
	ask := func(expression any) any {
		return manifest.Object{"name": "b", "deviceClassName": "gpu.nvidia.com", "count": int64(2),
			"selectors": []any{manifest.Object{"cel": manifest.Object{"expression": expression}}}}
	}
	claimed := func(expression any) manifest.Object {
		return manifest.Object{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
			"metadata": manifest.Object{"name": "t", "namespace": "a", "annotations": manifest.Object{}},
			"spec": manifest.Object{"spec": manifest.Object{"devices": manifest.Object{"requests": []any{
				manifest.Object{"name": "a", "firstAvailable": []any{ask(expression)}}}}}}}
	}
	pruned := func(apiVersion, kind string) []manifest.Object {
		return []manifest.Object{{"apiVersion": apiVersion, "kind": kind,
			"metadata": manifest.Object{"name": kind, "namespace": "a", "annotations": manifest.Object{}}, "spec": manifest.Object{}}}
	}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "ray.io", Version: "v1"}})
	mapper.Add(schema.GroupVersionKind{Group: "ray.io", Version: "v1", Kind: "RayCluster"}, meta.RESTScopeNamespace)
	for name, c := range map[string]struct {
		kind     schema.GroupKind
		selector string
		texts    []string
		want     []manifest.Object
		asked    []string
	}{
		"ScaledObjects, with what they scale": {kind: schema.GroupKind{Group: "keda.sh", Kind: "ScaledObject"}, texts: []string{item("ScaledObject")},
			want: pruned("keda.sh/v1alpha1", "ScaledObject"), asked: []string{`scaledobjects of a, , after ""`}},
		"core Services, with where they send requests": {kind: schema.GroupKind{Kind: "Service"}, texts: []string{`{"metadata": {}, "items": [{"metadata": {"name": "s"},
			"spec": {"selector": {"app": "a"}, "ports": [{"port": 80}], "externalName": "b"}, "status": {"loadBalancer": {}}}]}`},
			want: []manifest.Object{{"apiVersion": "v1", "kind": "Service", "metadata": manifest.Object{"name": "s"},
				"spec": manifest.Object{"selector": manifest.Object{"app": "a"}, "ports": []any{manifest.Object{"port": int64(80)}}}}},
			asked: []string{`services of a, , after ""`}},
		"operators' kinds": {kind: schema.GroupKind{Group: "ray.io", Kind: "RayCluster"}, texts: []string{item("RayCluster")},
			want: []manifest.Object{{"apiVersion": "ray.io/v1", "kind": "RayCluster",
				"metadata": manifest.Object{"name": "RayCluster", "namespace": "a", "annotations": manifest.Object{}}, "spec": manifest.Object{"x": "y"}}},
			asked: []string{`rayclusters of a, , after ""`}},
		"Routes": {kind: workload.RouteKind, texts: []string{item("Route")},
			want: pruned("serving.knative.dev/v1", "Route"), asked: []string{`routes of a, , after ""`}},
		"claims, with whose they are and who uses them": {kind: workload.ResourceClaimKind, texts: []string{`{"metadata": {}, "items": [{"metadata": {
			"name": "c", "namespace": "a", "deletionTimestamp": "x", "annotations": {"resource.kubernetes.io/pod-claim-name": "g", "b": "c"},
			"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true, "blockOwnerDeletion": true}]},
			"spec": {"devices": {"constraints": []}}, "status": {"allocation": {"devices": {}}, "reservedFor": [{"resource": "pods", "name": "q", "uid": "v"}]}}]}`},
			want: []manifest.Object{{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": manifest.Object{
				"name": "c", "namespace": "a", "deletionTimestamp": "x", "annotations": manifest.Object{"resource.kubernetes.io/pod-claim-name": "g"},
				"ownerReferences": []any{manifest.Object{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}}},
				"spec": manifest.Object{"devices": manifest.Object{}}, "status": manifest.Object{"reservedFor": []any{manifest.Object{"uid": "v"}}}}},
			asked: []string{`resourceclaims of a, , after ""`}},
		"templates of claims, of whose selectors none is kept that nobody reads": {kind: workload.ResourceClaimTemplateKind,
			texts: []string{`{"metadata": {}, "items": [` + template(`"device.driver == 'a'"`) + `,` + template(`"`+strings.Repeat("x", 10_000)+`"`) + `]}`},
			want:  []manifest.Object{claimed("device.driver == 'a'"), claimed(nil)}, asked: []string{`resourceclaimtemplates of a, , after ""`}},
		"Deployments are many": {kind: workload.DeploymentKind, selector: "app=d", texts: []string{item("Deployment")},
			want: pruned("apps/v1", "Deployment"), asked: []string{`deployments of a, app=d, after ""`}},
		"ReplicaSets are many, with or without devices": {kind: workload.ReplicaSetKind, texts: []string{item("ReplicaSet")},
			want: pruned("apps/v1", "ReplicaSet"), asked: []string{`replicasets of a, , after ""`}},
	} {
		t.Run(name, func(t *testing.T) {
			source := &pages{texts: c.texts}
			selector, err := klabels.Parse(c.selector)
			require.NoError(t, err)
			got, err := NewReader(nil, mapper, source).List(t.Context(), c.kind, "a", selector)
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
			assert.Equal(t, c.asked, source.asked)
		})
	}
}
