package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// kubetorchController is who applies whatever kubetorch's clients send.
const kubetorchController = "system:serviceaccount:kubetorch:kubetorch-controller"

// The manifests of kubetorch's clients, with the label and the parameters that
// kt.Compute(labels=..., annotations=...) adds, run with the same settings whatever the client writes itself: 0.3
// writes all of them, later ones three. A Deployment of theirs gets the built-in defaults, under another name than
// the core Service that kubetorch's controller makes.
func TestManifestsOfKubetorchsClientsReachKnativesAutoscaler(t *testing.T) {
	t.Parallel()
	asked := map[string]string{
		"class": "kpa.autoscaling.knative.dev", "metric": "concurrency", "target": "8", "target-utilization-percentage": "70",
		"min-scale": "0", "max-scale": "4", "initial-scale": "1", "window": "60s", "scale-down-delay": "1m", "scale-to-zero-pod-retention-period": "10m",
	}
	for name, c := range map[string]struct {
		service  string
		settings map[string]string
		limit    int64 // containerConcurrency
	}{
		"client-0.3.0":      {"ada-predict", asked, 8},
		"client-0.4.0":      {"ada-predict", asked, 8},
		"client-0.5.0":      {"ada-predict", asked, 8},
		"client-deployment": {"ada-predict-kn", kpaDefaults, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			config := cluster.RESTConfig()
			config.WarningHandler = rest.NoWarnings{}
			config.Impersonate = rest.ImpersonationConfig{UserName: kubetorchController, Groups: []string{"system:masters"}}
			controller, err := dynamic.NewForConfig(config)
			require.NoError(t, err)
			for _, u := range clientManifests(t, name) {
				resource := map[string]schema.GroupVersionResource{
					"serving.knative.dev/v1": services, "apps/v1": deployments, "v1": {Version: "v1", Resource: "services"}}[u.GetAPIVersion()]
				_, err := controller.Resource(resource).Namespace(ns).Create(t.Context(), u, metav1.CreateOptions{})
				require.NoError(t, err)
			}
			pa := eventually(t, autoscalers, ns, c.service+"-00001")
			settings := map[string]string{}
			for key := range kpaDefaults {
				settings[key] = pa.GetAnnotations()["autoscaling.knative.dev/"+key]
			}
			assert.Equal(t, c.settings, settings)
			limit, _, err := unstructured.NestedInt64(pa.Object, "spec", "containerConcurrency")
			require.NoError(t, err)
			assert.Equal(t, c.limit, limit, "containerConcurrency")
			d := eventually(t, deployments, ns, c.service+"-00001-deployment")
			deadline, _, _ := unstructured.NestedInt64(d.Object, "spec", "progressDeadlineSeconds")
			assert.Equal(t, int64(1080), deadline, "the startup probe's 15 minutes and a fifth")
			containers, _, err := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "containers")
			require.NoError(t, err)
			gpus, _, _ := unstructured.NestedString(containers[0].(map[string]any), "resources", "limits", "nvidia.com/gpu")
			assert.Equal(t, "1", gpus)
		})
	}
}

// clientManifests are the objects of a case of the command line, which begins with them.
func clientManifests(t *testing.T, name string) (objects []*unstructured.Unstructured) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "pkg", "cmd", "testdata", "cases", name+".txt"))
	require.NoError(t, err)
	given, found := strings.CutPrefix(string(text), "-- in.yaml --\n")
	require.True(t, found)
	given, _, _ = strings.Cut(given, "\n-- ")
	for document := range strings.SplitSeq(given, "\n---\n") {
		objects = append(objects, object(t, document))
	}
	return objects
}
