// Large requests, several at once, take the memory of a replica.

package attacks

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// webhookTimeout is what the shipped configurations say.
const webhookTimeout = 3 * time.Second

func TestLargeUpdatesStayWithinTheMemoryOfAReplica(t *testing.T) {
	disturb := disturbances.Disturbing(t)
	limit := memoryLimit(t)
	// 2.8 MB each, as the API server passes them on.
	env := make([]any, 215000)
	for i := range env {
		env[i] = map[string]any{"name": "A"}
	}
	large := map[string]*unstructured.Unstructured{
		"/validate": harness.Object(t, knativeService("a", 8, 1, "")),
		"/mutate": harness.Object(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, labels: {kubetorch.com/autoscale: "true"}},
			spec: {selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [`+container(8)+`]}}}}`),
	}
	end := disturb()
	replica := hook.Replicas[0]
	for path, u := range large {
		containers, _, err := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
		require.NoError(t, err)
		containers[0].(map[string]any)["env"] = env
		require.NoError(t, unstructured.SetNestedSlice(u.Object, containers, "spec", "template", "spec", "containers"))
		old := u.DeepCopy()
		u.SetAnnotations(map[string]string{"e2e.kubetorch.com/version": "2"})
		body := harness.Review(t, "default", old, u, types.UID(uuid.NewString()))
		require.NoError(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", replica.Process().PID()), []byte("5"), 0), "the peak starts anew")
		var asking sync.WaitGroup
		for range 8 {
			asking.Go(func() { post(replica, path, body) })
		}
		asking.Wait()
		time.Sleep(2 * webhookTimeout) // work that goes on after its deadline
		peak := peakMemory(t, replica)
		t.Logf("%s: eight updates of %d MB, %d MiB at most", path, len(body)/1e6, peak>>20)
		assert.Less(t, peak, limit, "the peak of a replica's memory, and what its Deployment allows")
	}
	end()
	response := harness.Ask(t, replica, harness.Review(t, "default", nil, harness.Object(t, knativeService("b", 0, 1, "")), types.UID(uuid.NewString())))
	assert.True(t, response.Allowed, "others are served")
}

// post asks as the API server does, which gives up after the timeout.
func post(replica *controlplane.Replica, path string, body []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), webhookTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+replica.Address+path+"?timeout="+webhookTimeout.String(), bytes.NewReader(body))
	if err != nil {
		return
	}
	request.Header.Set("Content-Type", "application/json")
	if response, err := harness.Insecure.Do(request); err == nil {
		response.Body.Close()
	}
}

// memoryLimit is that of the shipped Deployment, in bytes.
func memoryLimit(t *testing.T) int64 {
	t.Helper()
	root, err := controlplane.RepositoryRoot()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "deploy", "base", "deployment.yaml"))
	require.NoError(t, err)
	containers, _, err := unstructured.NestedSlice(harness.Object(t, string(text)).Object, "spec", "template", "spec", "containers")
	require.NoError(t, err)
	limit, _, err := unstructured.NestedString(containers[0].(map[string]any), "resources", "limits", "memory")
	require.NoError(t, err)
	quantity, err := resource.ParseQuantity(limit)
	require.NoError(t, err)
	return quantity.Value()
}

// peakMemory is the most that a process had resident since its peak was set back, in bytes.
func peakMemory(t *testing.T, replica *controlplane.Replica) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", replica.Process().PID()))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			require.NoError(t, err)
			return kib << 10
		}
	}
	t.Fatal("no peak of resident memory")
	return 0
}
