package app

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

func TestSnapshotsCountByTheDeviceClassesThatThereAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &sources{policies: []manifest.Object{{"metadata": manifest.Object{"name": "p"}}}}
		var classes atomic.Pointer[[]workload.DeviceClass]
		classes.Store(&[]workload.DeviceClass{})
		e := &requestHandler{}
		s := f.snapshots(t, e)
		s.readClasses = func() []workload.DeviceClass { return *classes.Load() }
		go func() { _ = s.Start(t.Context()) }()
		synctest.Wait()
		counts := func() bool { return e.current.Load().policies.GPUResources().Match("example.com/card") }
		rules := func() string { return policy.Rules(e.current.Load().policies, e.current.Load().knative) }
		before := rules()
		assert.False(t, counts())

		classes.Store(&[]workload.DeviceClass{{Name: "gpu.nvidia.com", ExtendedResource: "example.com/card"}})
		s.changedClasses()
		synctest.Wait()
		assert.True(t, counts(), "a class that is made counts")
		assert.NotEqual(t, before, rules(), "by other rules than before")

		s.changedPolicies()
		synctest.Wait()
		assert.True(t, counts(), "whatever becomes of the policies")

		classes.Store(&[]workload.DeviceClass{})
		s.changedClasses()
		synctest.Wait()
		assert.False(t, counts(), "one that is gone does not")
		assert.Equal(t, before, rules())
	})
}

// TestAClusterWithoutDeviceClassesHasNone: an API server that does not serve them answers 404.
func TestAClusterWithoutDeviceClassesHasNone(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.NotFound(w, r)
	}))
	defer server.Close()
	client, err := dynamic.NewForConfig(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	w, err := newClassWatch(client, func() { t.Error("there is no change") })
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Start(ctx) }()
	require.Eventually(t, func() bool { return w.synced() == nil }, 10*time.Second, 10*time.Millisecond)
	assert.Empty(t, w.read())
	before := asked.Load()
	time.Sleep(2 * time.Second)
	assert.LessOrEqual(t, asked.Load(), before+2, "it is not asked again and again")
	cancel()
	assert.NoError(t, <-ended)
}

func TestWhatIsKeptOfADeviceClassSaysWhatItCounts(t *testing.T) {
	class := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass",
		"metadata": map[string]any{"name": "l4", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": []any{}, "labels": map[string]any{"a": "b"}},
		"spec": map[string]any{"extendedResourceName": "example.com/l4", "config": []any{map[string]any{"opaque": map[string]any{"driver": "gpu.nvidia.com"}}},
			"selectors": []any{map[string]any{"cel": map[string]any{"expression": `device.attributes["gpu.nvidia.com"].productName == "NVIDIA L4"`}}}},
	}}
	kept, err := classEssence(class)
	require.NoError(t, err)
	got := workload.ReadDeviceClass(kept.(*unstructured.Unstructured).Object)
	assert.Equal(t, workload.ReadDeviceClass(class.Object), got)
	assert.Equal(t, "NVIDIA-L4", got.Product)
	assert.NotEmpty(t, got.Selectors)
	assert.NotContains(t, kept.(*unstructured.Unstructured).Object["spec"], "config")
}
