package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

func TestACacheIsAsOldAsItsWatchIsClosed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "absent") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	w := newWatches()
	now := w.began
	w.now = func() time.Time { return now }
	config := &rest.Config{Host: server.URL}
	w.observe(config)
	client, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	open := func(path string) *http.Response {
		t.Helper()
		response, err := client.Get(server.URL + path)
		require.NoError(t, err)
		return response
	}
	ages := func(budgets, knative, namespaces, policies string) {
		t.Helper()
		text := "# HELP kubetorch_webhook_cache_age_seconds How long ago the watch behind a cache (policies, budgets, namespaces, knative) was last open; 0 while it is.\n# TYPE kubetorch_webhook_cache_age_seconds gauge\n"
		for cache, age := range map[string]string{"budgets": budgets, "knative": knative, "namespaces": namespaces, "policies": policies} {
			text += "kubetorch_webhook_cache_age_seconds{cache=\"" + cache + "\"} " + age + "\n"
		}
		assert.NoError(t, testutil.CollectAndCompare(w, strings.NewReader(text)))
	}
	now = now.Add(10 * time.Second)
	ages("10", "10", "10", "10") // never opened

	policies := open("/apis/policy.kubetorch.com/v1alpha1/computepolicies?watch=true")
	one, two := open("/api/v1/namespaces/k/configmaps?watch=1&fieldSelector=metadata.name%3Done"), open("/api/v1/namespaces/k/configmaps?watch=true&fieldSelector=metadata.name%3Dtwo")
	open("/absent/namespaces?watch=true").Body.Close()
	get := make(chan struct{})
	go func() {
		defer close(get)
		r, err := client.Get(server.URL + "/apis/policy.kubetorch.com/v1alpha1/gpubudgets")
		if err == nil {
			r.Body.Close()
		}
	}()
	<-get // a list is no watch
	ages("10", "0", "10", "0")

	require.NoError(t, one.Body.Close())
	require.NoError(t, policies.Body.Close())
	now = now.Add(5 * time.Second)
	ages("15", "5", "15", "5")
	one = open("/api/v1/namespaces/k/configmaps?watch=1&fieldSelector=metadata.name%3Done")
	ages("15", "0", "15", "5")
	server.CloseClientConnections()
	_, err = two.Body.Read(make([]byte, 1))
	require.Error(t, err)
	now = now.Add(3 * time.Second)
	ages("18", "3", "18", "8")
	require.NoError(t, one.Body.Close())
	require.NoError(t, two.Body.Close())
}
