// Package claims tests end to end that GPU budgets hold for devices that pods get through resource claims,
// with kube-controller-manager's controller of claims, kube-scheduler and devices of fake nodes.
package claims

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// requestTimeout is that of the API server here, so that nobody waits a minute for what is
// freed after it.
const requestTimeout = 5 * time.Second

var (
	cluster *controlplane.ControlPlane
	client  dynamic.Interface
	// disturbances are what every budget feels.
	disturbances harness.Disturbances
)

func TestMain(m *testing.M) {
	harness.Main(m, harness.Options{
		ControlPlane: controlplane.Options{RequestTimeout: requestTimeout, Scheduler: true, Nodes: 2, WithoutKnative: true},
		Replicas:     2,
		// Within the API server's request timeout.
		IgnoredAfter: 4 * time.Second,
		// What nobody answers for on a busy machine is asked again.
		FailIgnored: true,
		ExtraArgs:   []string{"--api-request-timeout", requestTimeout.String()},
		Before: func(ctx context.Context, e *harness.Environment) error {
			cluster, client = e.Cluster, e.Client
			return errors.Join(create(ctx, deviceClasses, "", class("gpu.nvidia.com", "device.driver == 'gpu.nvidia.com'", card)),
				create(ctx, deviceClasses, "", class(selecting, selectsH200, "e2e.kubetorch.com/vfio")),
				create(ctx, deviceClasses, "", class(renamed, selectsAMD, "e2e.kubetorch.com/radeon")),
				create(ctx, resourceSlices, "", slice()))
		},
		// Some tests wait for others, so all of them run at the same time.
		Parallel: 100,
	}, func(*harness.Environment) {})
}

var (
	deviceClasses  = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "deviceclasses"}
	resourceSlices = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceslices"}
	resourceClaims = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceclaims"}
	claimTemplates = schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "resourceclaimtemplates"}
	events         = schema.GroupVersionResource{Version: "v1", Resource: "events"}
	jobs           = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	statefulSets   = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}
	deployments    = harness.Deployments
	podResource    = harness.PodResource
)

// card is a resource name that the class of GPUs claims.
const card = "e2e.kubetorch.com/card"

func class(name, selector, resource string) string {
	return fmt.Sprintf("apiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata: {name: %s}\nspec:\n  extendedResourceName: %s\n  selectors: [{cel: {expression: %q}}]\n", name, resource, selector)
}

// slice has devices of a driver that every node can use.
func slice() string {
	text := "apiVersion: resource.k8s.io/v1\nkind: ResourceSlice\nmetadata: {name: gpus}\nspec:\n  driver: gpu.nvidia.com\n  allNodes: true\n" +
		"  pool: {name: gpus, generation: 1, resourceSliceCount: 1}\n  devices:\n"
	for i := range 128 {
		text += fmt.Sprintf("  - name: gpu-%d\n", i)
	}
	return text
}

// create makes an object of YAML.
func create(ctx context.Context, resource schema.GroupVersionResource, namespace, text string) error {
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		return err
	}
	return harness.Answered(func() error {
		var in dynamic.ResourceInterface = client.Resource(resource)
		if namespace != "" {
			in = client.Resource(resource).Namespace(namespace)
		}
		_, err := in.Create(ctx, u, metav1.CreateOptions{})
		return err
	})
}
