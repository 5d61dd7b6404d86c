package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/cluster/clustertest"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// server answers lists as an API server does: in pages of two, and 404 for what it does
// not serve.
type server struct {
	items map[string][]manifest.Object // by resource
	fail  map[string]*apierrors.StatusError
	// expire fails the second page of a resource once.
	expire map[string]bool
	// later is added to a resource once it was listed.
	later map[string][]manifest.Object
	asked []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource := path.Base(r.URL.Path)
	query := r.URL.Query()
	s.asked = append(s.asked, strings.TrimSuffix(fmt.Sprintf("%s %s%s", resource, query.Get("continue"), query.Get("resourceVersion")), " "))
	answer := func(code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	refuse := func(e *apierrors.StatusError) {
		status := e.ErrStatus
		status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		answer(int(status.Code), status)
	}
	items, served := s.items[resource]
	switch failure := s.fail[resource]; {
	case failure != nil:
		refuse(failure)
		return
	case !served:
		refuse(apierrors.NewGenericServerResponse(http.StatusNotFound, "list", schema.GroupResource{}, "", "", 0, true))
		return
	case query.Get("continue") != "" && s.expire[resource]:
		s.expire[resource] = false
		refuse(apierrors.NewResourceExpired("too old"))
		return
	}
	from, _ := strconv.Atoi(query.Get("continue"))
	metadata := manifest.Object{"resourceVersion": "9"}
	page := items[from:]
	if len(page) > 2 && query.Get("limit") != "" {
		page, metadata["continue"] = page[:2], strconv.Itoa(from+2)
	}
	if more := s.later[resource]; metadata["continue"] == nil && more != nil {
		s.items[resource], s.later[resource] = slices.Concat(items, more), nil
	}
	answer(http.StatusOK, manifest.Object{"apiVersion": "x/v1", "kind": "ThingList", "metadata": metadata, "items": page})
}

func (s *server) source(t *testing.T) cluster.Source {
	t.Helper()
	listener := httptest.NewServer(s)
	t.Cleanup(listener.Close)
	source, err := cluster.NewSource(&rest.Config{Host: listener.URL, QPS: -1}, nil)
	require.NoError(t, err)
	return source
}

// seen are listed objects as counts see them.
func seen(items []cluster.Item) (objects []manifest.Object) {
	for i := range items {
		objects = append(objects, items[i].Object())
	}
	return objects
}

func named(name string) manifest.Object {
	return manifest.Object{"apiVersion": "x/v1", "kind": "Thing", "metadata": manifest.Object{"name": name}}
}

// What is listed before and after Deployments and Knative's kinds.
var (
	before = []string{"namespaces", "apis", "limitranges", "resourceclaimtemplates", "horizontalpodautoscalers"}
	plain  = []string{"cronjobs", "jobs", "replicationcontrollers", "statefulsets", "daemonsets", "replicasets", "resourceclaims", "pods"}
)

func TestOwnersAreListedBeforeTheirChildren(t *testing.T) {
	s := &server{items: map[string][]manifest.Object{
		"namespaces":  {{"metadata": manifest.Object{"name": "team", "labels": manifest.Object{"a": "b"}}}, {"metadata": manifest.Object{"name": "bare"}}},
		"deployments": {named("d")}, "services": {named("s")}, "configurations": {named("c")},
		"routes": {named("t")}, "revisions": {named("r")}, "podautoscalers": {named("p")},
	}}
	got, err := cluster.List(t.Context(), s.source(t))
	require.NoError(t, err)
	for name, items := range map[string][]cluster.Item{"d": got.Deployments, "s": got.Services, "c": got.Configurations, "t": got.Routes, "r": got.Revisions, "p": got.PodAutoscalers} {
		assert.Equal(t, []manifest.Object{named(name)}, seen(items))
	}
	assert.True(t, got.Knative)
	assert.Equal(t, map[string]map[string]string{"team": {"a": "b"}, "bare": nil}, got.Namespaces)
	assert.Equal(t, slices.Concat(before, []string{"deployments", "services", "configurations", "routes", "revisions", "podautoscalers"}, plain), s.asked)
}

// made is an object that somebody controls.
func made(name, controller string, generation int) manifest.Object {
	o := named(name)
	metadata := o["metadata"].(manifest.Object)
	metadata["uid"], metadata["generation"] = "uid-"+name, generation
	if controller != "" {
		metadata["ownerReferences"] = []manifest.Object{{"controller": true, "uid": "uid-" + controller}}
	}
	return o
}

// Owners that were made while the lists went on are read once more, if they are as they were
// made.
func TestOwnersThatWereMadeMeanwhileAreRead(t *testing.T) {
	s := &server{
		items: map[string][]manifest.Object{
			"namespaces": {}, "deployments": {}, "services": {made("old", "", 3)}, "configurations": {made("old-c", "old", 3)}, "routes": {},
			"revisions":      {made("old-r", "old-c", 1), made("new-r", "new-c", 1), made("changed-r", "changed-c", 1), made("gone-r", "gone-c", 1)},
			"podautoscalers": {made("old-p", "old-r", 1)},
		},
		later: map[string][]manifest.Object{
			"services":       {made("new", "", 1), made("other", "", 1)},
			"configurations": {made("new-c", "new", 1), made("changed-c", "changed", 2)},
		},
	}
	got, err := cluster.List(t.Context(), s.source(t))
	require.NoError(t, err)
	names := func(items []cluster.Item) (names []string) {
		for i := range items {
			names = append(names, items[i].Name)
		}
		return names
	}
	assert.Equal(t, []string{"old", "new"}, names(got.Services))
	assert.Equal(t, []string{"old-c", "new-c"}, names(got.Configurations))
	assert.Equal(t, slices.Concat(before, []string{"deployments", "services", "configurations", "routes", "revisions", "revisions 2", "podautoscalers"}, plain,
		[]string{"configurations", "configurations 2", "services", "services 2"}), s.asked)
}

// withPods is an object that describes its pods at a path.
func withPods(name, owner, kind string, resources manifest.Object, path ...string) manifest.Object {
	o := named(name)
	metadata := o["metadata"].(manifest.Object)
	metadata["uid"] = "uid-" + name
	if owner != "" {
		metadata["ownerReferences"] = []any{manifest.Object{"apiVersion": "apps/v1", "kind": kind, "uid": "uid-" + owner, "controller": true}}
	}
	var spec any = manifest.Object{"containers": []any{manifest.Object{"resources": resources}}}
	for _, key := range slices.Backward(path[1:]) {
		spec = manifest.Object{key: spec}
	}
	o[path[0]] = spec
	return o
}

// Of Kubernetes' own kinds, those are kept whose pods ask for devices, or have some.
func TestWhatAsksForNoDevicesIsNotKept(t *testing.T) {
	gpu, cpu := manifest.Object{"limits": manifest.Object{"nvidia.com/gpu": "1"}}, manifest.Object{"requests": manifest.Object{"cpu": "1"}}
	template := []string{"spec", "template", "spec"}
	limits := func(name string, limits manifest.Object) manifest.Object {
		o := named(name)
		o["spec"] = manifest.Object{"limits": []any{manifest.Object{"type": "Container", "max": limits}}}
		return o
	}
	claims := named("claims")
	claims["spec"] = manifest.Object{"containers": []any{}, "resourceClaims": []any{manifest.Object{"name": "gpu"}}}
	s := &server{
		items: map[string][]manifest.Object{
			"namespaces": {}, "deployments": {}, "horizontalpodautoscalers": {named("h")},
			"limitranges":            {limits("l1", manifest.Object{"cpu": "1"}), limits("l2", manifest.Object{"nvidia.com/gpu": "1"})},
			"cronjobs":               {withPods("c1", "", "", gpu, "spec", "jobTemplate", "spec", "template", "spec"), withPods("c2", "", "", cpu, "spec", "jobTemplate", "spec", "template", "spec")},
			"jobs":                   {withPods("j1", "", "", gpu, template...), withPods("j2", "", "", cpu, template...)},
			"replicationcontrollers": {withPods("rc1", "", "", gpu, template...), withPods("rc2", "", "", cpu, template...)},
			"statefulsets":           {withPods("s1", "", "", gpu, template...), withPods("s2", "", "", cpu, template...), withPods("s3", "", "", cpu, template...)},
			"daemonsets":             {withPods("d1", "", "", gpu, template...), withPods("d2", "", "", cpu, template...)},
			"replicasets":            {withPods("r1", "", "", gpu, template...), withPods("r2", "", "", cpu, template...)},
			"pods": {withPods("p1", "r2", "ReplicaSet", gpu, "spec"), withPods("p2", "r1", "ReplicaSet", cpu, "spec"), withPods("p3", "s3", "StatefulSet", gpu, "spec"),
				withPods("p4", "gone", "RayCluster", gpu, "spec"), claims},
		},
		later: map[string][]manifest.Object{"replicasets": {withPods("r3", "new", "Deployment", gpu, template...)}, "deployments": {made("new", "", 2)}},
	}
	s.items["pods"] = append(s.items["pods"], withPods("p5", "r3", "ReplicaSet", gpu, "spec"))
	got, err := cluster.List(t.Context(), s.source(t))
	require.NoError(t, err)
	names := map[string][]string{}
	for _, kind := range []struct {
		name  string
		items []cluster.Item
	}{
		{"cronjobs", got.CronJobs}, {"jobs", got.Jobs}, {"replicationcontrollers", got.ReplicationControllers}, {"statefulsets", got.StatefulSets},
		{"daemonsets", got.DaemonSets}, {"replicasets", got.ReplicaSets}, {"pods", got.Pods}, {"limitranges", got.LimitRanges},
		{"horizontalpodautoscalers", got.HorizontalPodAutoscalers}, {"deployments", got.Deployments},
	} {
		for i := range kind.items {
			names[kind.name] = append(names[kind.name], kind.items[i].Name)
		}
	}
	assert.Equal(t, map[string][]string{
		"cronjobs": {"c1"}, "jobs": {"j1"}, "replicationcontrollers": {"rc1"}, "daemonsets": {"d1"}, "limitranges": {"l2"}, "horizontalpodautoscalers": {"h"},
		"statefulsets": {"s1", "s3"},       // whose pod was given a GPU by somebody else
		"replicasets":  {"r1", "r2", "r3"}, // and one that was made meanwhile
		"deployments":  {"new"},            // of that
		"pods":         {"p1", "p3", "p4", "claims", "p5"},
	}, names)
}

func TestAllPagesAreRead(t *testing.T) {
	s := &server{items: map[string][]manifest.Object{"namespaces": {}, "services": {named("a"), named("b"), named("c"), named("d"), named("e")}}}
	got, err := cluster.List(t.Context(), s.source(t), cluster.Services)
	require.NoError(t, err)
	assert.Equal(t, s.items["services"], seen(got.Services))
	assert.Equal(t, []string{"namespaces", "services", "services 2", "services 4"}, s.asked)
}

func TestAListThatExpiresStartsAgain(t *testing.T) {
	s := &server{items: map[string][]manifest.Object{"namespaces": {}, "services": {named("a"), named("b"), named("c")}}, expire: map[string]bool{"services": true}}
	got, err := cluster.List(t.Context(), s.source(t), cluster.Services)
	require.NoError(t, err)
	assert.Equal(t, s.items["services"], seen(got.Services), "each once")
	assert.Equal(t, []string{"namespaces", "services", "services 2", "services"}, s.asked)
}

func TestWithoutKnativeThereAreDeployments(t *testing.T) {
	s := &server{items: map[string][]manifest.Object{"namespaces": {}, "deployments": {named("d")}}}
	got, err := cluster.List(t.Context(), s.source(t))
	require.NoError(t, err)
	assert.Equal(t, []manifest.Object{named("d")}, seen(got.Deployments))
	assert.Equal(t, &cluster.Objects{Deployments: got.Deployments, Namespaces: map[string]map[string]string{}}, got)
}

func TestWhatCannotBeReadIsNotTakenForNothing(t *testing.T) {
	for resource, failure := range map[string]*apierrors.StatusError{
		"revisions":   apierrors.NewForbidden(cluster.Revisions.GroupResource(), "", nil),
		"services":    apierrors.NewServiceUnavailable("not now"),
		"deployments": apierrors.NewInternalError(fmt.Errorf("broken")),
		"namespaces":  apierrors.NewForbidden(schema.GroupResource{Resource: "namespaces"}, "", nil),
	} {
		s := &server{items: map[string][]manifest.Object{"namespaces": {}, "deployments": {named("d")}, "services": {}, "revisions": {}},
			fail: map[string]*apierrors.StatusError{resource: failure}}
		got, err := cluster.List(t.Context(), s.source(t))
		assert.ErrorContains(t, err, "listing "+resource)
		assert.Nil(t, got)
	}
}

func TestNamespacesAreServedEverywhere(t *testing.T) {
	s := &server{items: map[string][]manifest.Object{"deployments": {}}}
	_, err := cluster.List(t.Context(), s.source(t))
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
}

// A Deployment that may be converted keeps what a conversion reads.
func TestCopiesAndSecretsAreDropped(t *testing.T) {
	pods := func(env ...any) manifest.Object {
		return manifest.Object{"containers": []any{manifest.Object{"image": "a", "env": env}}, "initContainers": []any{manifest.Object{"env": env}}}
	}
	metadata := func(more manifest.Object) manifest.Object {
		annotations := manifest.Object{"kept": "yes"}
		maps.Copy(annotations, more)
		return manifest.Object{"name": "x", "annotations": annotations, "labels": manifest.Object{"kubetorch.com/autoscale": "true"}}
	}
	full := metadata(manifest.Object{"kubectl.kubernetes.io/last-applied-configuration": "{s3cret}", "kubetorch.com/applied": "{s3cret}"})
	full["managedFields"] = []any{metav1.ManagedFieldsEntry{Manager: "m"}}
	secret := []any{manifest.Object{"name": "TOKEN", "value": "s3cret"}, manifest.Object{"name": "PORT", "value": "8080"}}
	public := []any{manifest.Object{"name": "TOKEN"}, manifest.Object{"name": "PORT", "value": "8080"}}
	object := func(metadata, spec manifest.Object) manifest.Object {
		return manifest.Object{"apiVersion": "x/v1", "kind": "Thing", "metadata": metadata, "spec": spec}
	}
	template := manifest.Object{"template": manifest.Object{"spec": pods(secret...)}}
	s := &server{items: map[string][]manifest.Object{
		"namespaces": {}, "deployments": {object(full, template)}, "services": {object(full, template)}, "revisions": {object(full, pods(secret...))},
	}}
	got, err := cluster.List(t.Context(), s.source(t))
	require.NoError(t, err)
	assert.Equal(t, manifest.Object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(nil), "spec": manifest.Object{"template": manifest.Object{"spec": pods(public...)}}},
		got.Deployments[0].Whole())
	for _, i := range got.All() {
		assert.NotContains(t, fmt.Sprintf("%+v", i), "s3cret")
		assert.NotContains(t, fmt.Sprintf("%+v", i), "managedFields")
	}
}

// What is out of the ordinary, and no JSON that an API server writes, is read all the same.
func TestUnusualObjectsAreRead(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)
	texts := clustertest.Texts{
		{Version: "v1", Resource: "namespaces"}: `{"items": null, "metadata": {}}`,
		cluster.Services: `{"metadata": {}, "items": [
			{"spec": {"template": {"spec": {"z": 1, "containers": [{"resources": {"limits": {"b": 1, "a": 2}}}]}}}, "metadata": {"name": "unordered"}},
			{"metadata": {"name": "twice", "name": "late", "labels": {"x": "\ud83d\ude00"}}, "spec": {}},
			{"metadata": {"name": "lists"}, "spec": {"template": [{"spec": {"a": 1}}], "traffic": {}}},
			{"metadata": {"name": "deep"}, "spec": {"template": {"spec": {"nodeSelector": ` + deep + `}}}}
		]} `,
	}
	got, err := cluster.List(t.Context(), texts)
	require.NoError(t, err)
	names := []string{}
	for _, o := range seen(got.Services) {
		names = append(names, manifest.Text(o, "metadata", "name"))
		assert.Equal(t, "Service", o["kind"])
		assert.Equal(t, "serving.knative.dev/v1", o["apiVersion"])
	}
	assert.Equal(t, []string{"unordered", "late", "lists", "deep"}, names)
	assert.Equal(t, "\U0001f600", manifest.Text(got.Services[1].Object(), "metadata", "labels", "x"))
}

func TestAnAnswerThatIsNoListIsAnError(t *testing.T) {
	for text, want := range map[string]string{
		`{"kind": "Thing"}`:         "listing namespaces: there is no list of items",
		`{"items": [{}`:             "unexpected EOF",
		`{"items": [{"a": 1]}`:      "listing namespaces: ",
		`{"items": [{]}}`:           "listing namespaces: ",
		`{"items": [7]}`:            "listing namespaces: ",
		`<html>`:                    `unexpected "<" in JSON`,
		`{"items": []} {"items": 1`: `unexpected "{" in JSON`,
	} {
		_, err := cluster.List(t.Context(), clustertest.Texts{{Version: "v1", Resource: "namespaces"}: text})
		assert.ErrorContains(t, err, want, text)
	}
}

// One list at a time is read, and whoever waits for his turn may stop waiting.
func TestListsAreReadByTurns(t *testing.T) {
	lists := cluster.NewLists(clustertest.Of())
	require.NoError(t, lists.Use(t.Context(), func(*cluster.Objects) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		assert.ErrorIs(t, lists.Use(ctx, func(*cluster.Objects) { t.Error("two at once") }), context.Canceled)
	}))
	used := false
	require.NoError(t, lists.Use(t.Context(), func(*cluster.Objects) { used = true }))
	assert.True(t, used)
}

// An API server that does not know a group answers with no Status.
func TestAKindOfAnUnknownGroupHasNoObjects(t *testing.T) {
	var encodings []string
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		encodings = append(encodings, r.Header.Get("Accept-Encoding"))
		if r.URL.Path != "/api/v1/namespaces" && r.URL.Path != "/apis/apps/v1/deployments" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(`{"items":[]}`))
	}))
	t.Cleanup(listener.Close)
	for plain, encoding := range map[bool]string{true: "identity", false: "gzip"} {
		source, err := cluster.NewSource(&rest.Config{Host: listener.URL, DisableCompression: plain, QPS: -1}, http.DefaultClient)
		require.NoError(t, err)
		encodings = nil
		got, err := cluster.List(t.Context(), source)
		require.NoError(t, err)
		assert.Equal(t, &cluster.Objects{Namespaces: map[string]map[string]string{}}, got)
		assert.Equal(t, slices.Repeat([]string{encoding}, 19), encodings)
	}
}
