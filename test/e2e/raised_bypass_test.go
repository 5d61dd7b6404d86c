// What Knative made of a Service within bounds is raised behind the Service's back.

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestWhatIsStoredIsNotRaisedBehindTheService(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, eachBound)
	require.NoError(t, made(t, ns, knativeObject(t, "Service", "app", "2", 1)))
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "app"))
	for name, gvr := range map[string]schema.GroupVersionResource{"Revision": revisions, "PodAutoscaler": autoscalers} {
		for _, annotations := range []string{
			`{"autoscaling.knative.dev/max-scale":"9999"}`, `{"autoscaling.knative.dev/max-scale":null}`, `{"autoscaling.knative.dev/max-scale":"0"}`,
			`{"autoscaling.knative.dev/max-scale":null,"autoscaling.knative.dev/maxScale":"11"}`, `{"autoscaling.knative.dev/initial-scale":"11"}`,
		} {
			assert.ErrorContains(t, patched(t, gvr, ns, "app-00001", `{"metadata":{"annotations":`+annotations+`}}`), "bounds.maxScale.max", "%s %s", name, annotations)
		}
		assert.NoError(t, patched(t, gvr, ns, "app-00001", `{"metadata":{"annotations":{"example.com/note":"x"},"labels":{"team":"nlp"}}}`), name)
	}
	assert.ErrorContains(t, patched(t, revisions, ns, "app-00001", `{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"-9"}}}`), "-9")
	assert.ErrorContains(t, patched(t, configurations, ns, "app", `{"spec":{"template":{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"9999"}}}}}`), "bounds.maxScale.max")
	_, stderr, err := kubectl(t, "", "annotate", "revision", "app-00001", "-n", ns, "--overwrite", "autoscaling.knative.dev/max-scale=9999")
	assert.Error(t, err)
	assert.Contains(t, stderr, "asks for up to 9999 pods")
	assert.NoError(t, patched(t, revisions, ns, "app-00001", `{"metadata":{"annotations":{"autoscaling.knative.dev/max-scale":"1"}}}`), "lower is always allowed")
}
