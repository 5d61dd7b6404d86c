package cluster_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// watched answers a list, and then a watch with what is written to it.
type watched struct {
	asked  chan metav1.ListOptions
	events io.ReadCloser
}

func (w *watched) Read(_ context.Context, _ cluster.Resource, options metav1.ListOptions) (io.ReadCloser, error) {
	w.asked <- options
	if options.Watch {
		return w.events, nil
	}
	return io.NopCloser(strings.NewReader(`{"metadata":{"resourceVersion":"7","continue":"x"},"items":[{"metadata":{"name":"p"}}]}`)), nil
}

func TestPodsWithoutDevicesWakeNobody(t *testing.T) {
	events, send := io.Pipe()
	w := &watched{asked: make(chan metav1.ListOptions, 8), events: events}
	changed := make(chan struct{}, 8)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		cluster.NewLists(w).Watch(ctx, cluster.Pods, func() { changed <- struct{}{} })
	}()
	t.Cleanup(func() { stop(); _ = send.Close(); <-done })
	woken := func() bool {
		select {
		case <-changed:
			return true
		case <-time.After(10 * time.Second):
			return false
		}
	}
	require.True(t, woken(), "for what was missed before it began")
	assert.Equal(t, metav1.ListOptions{Limit: 1}, <-w.asked)
	assert.Equal(t, metav1.ListOptions{Watch: true, ResourceVersion: "7"}, <-w.asked)

	gpu, cpu := manifest.Object{"limits": manifest.Object{"nvidia.com/gpu": "1"}}, manifest.Object{"requests": manifest.Object{"cpu": "1"}}
	for _, event := range []struct {
		kind string
		pod  manifest.Object
	}{{"ADDED", withPods("a", "", "", cpu, "spec")}, {"MODIFIED", withPods("a", "", "", cpu, "spec")}, {"DELETED", withPods("b", "", "", gpu, "spec")}, {"DELETED", withPods("a", "", "", cpu, "spec")}} {
		text, err := json.Marshal(manifest.Object{"type": event.kind, "object": event.pod})
		require.NoError(t, err)
		_, err = send.Write(append(text, '\n'))
		require.NoError(t, err)
	}
	assert.True(t, woken(), "one that had a GPU is gone")
	assert.Empty(t, changed, "nobody else")
}
