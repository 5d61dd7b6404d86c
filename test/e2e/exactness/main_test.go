// Package exactness tests on a real control plane, with three replicas of the webhook, every kind
// that makes pods and its controllers, that GPU budgets hold whatever many users do at a time.
package exactness

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// requestTimeout is that of the API server here, so that nobody waits a minute for what is
// freed after it.
const requestTimeout = 5 * time.Second

// nodes are fake ones with more GPUs than anyone asks for.
const nodes = 4

var (
	cluster *controlplane.ControlPlane
	hook    *controlplane.Webhook
	client  dynamic.Interface

	rounds     = flag.Int("rounds", 1, "how often the exactness of budgets is tried")
	concurrent = flag.Int("concurrent", 32, "how many of the requests of a round run at the same time")
	seed       = flag.Uint64("seed", 0, "what the test draws from; 0 is another one each time")
)

func TestMain(m *testing.M) {
	harness.Main(m, harness.Options{
		ControlPlane: controlplane.Options{
			RequestTimeout: requestTimeout, Scheduler: true, Nodes: nodes,
			KnativeConfig: map[string]map[string]string{"config-features": {"kubernetes.podspec-nodeselector": "enabled"}},
		},
		Replicas:     3,
		IgnoredAfter: 4 * time.Second, // within the API server's request timeout
		// What the controllers of kinds write while nobody answers passes and is counted afterwards: that
		// is another test's.
		FailIgnored: true,
		ExtraArgs:   []string{"--api-request-timeout", requestTimeout.String()},
		Before:      prepare,
	}, func(e *harness.Environment) { hook = e.Webhook })
}

// prepare gives the nodes types and GPUs under several names, one of which a DeviceClass claims.
func prepare(ctx context.Context, e *harness.Environment) error {
	cluster, client = e.Cluster, e.Client
	for i, product := range []string{l4, h100, l4, h100} {
		if _, err := client.Resource(resourceSlices).Create(ctx, devicesOf(i, product), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	class := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass",
		"metadata": map[string]any{"name": deviceClass}, "spec": map[string]any{"extendedResourceName": card,
			"selectors": []any{map[string]any{"cel": map[string]any{"expression": "device.driver == '" + driver + "'"}}}}}}
	if _, err := client.Resource(deviceClasses).Create(ctx, class, metav1.CreateOptions{}); err != nil {
		return err
	}
	api := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"})
	for i := range nodes {
		resources := `"cpu":"100000","memory":"100Ti","pods":"100000"`
		for name := range sevenths {
			resources += fmt.Sprintf(`,%q:"1000000"`, name)
		}
		status := fmt.Sprintf(`{"status":{"capacity":{%[1]s},"allocatable":{%[1]s}}}`, resources)
		labels := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, productLabel, l4)
		if i%2 == 1 {
			labels = fmt.Sprintf(`{"metadata":{"labels":{%q:%q,%q:%q}}}`, productLabel, h100, cloudLabel, h100InCloud)
		}
		name := fmt.Sprintf("gpu-%d", i)
		if _, err := api.Patch(ctx, name, types.MergePatchType, []byte(labels), metav1.PatchOptions{}); err != nil {
			return err
		}
		if _, err := api.Patch(ctx, name, types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status"); err != nil {
			return err
		}
	}
	return nil
}

// devicesOf are devices of a product that every node can use, as many as a ResourceSlice may have. Pods that find
// none free wait for them, and are counted as others are.
func devicesOf(i int, product string) *unstructured.Unstructured {
	name := fmt.Sprintf("gpus-%d", i)
	var devices []any
	for n := range 128 {
		devices = append(devices, map[string]any{"name": fmt.Sprintf("gpu-%d", n), "attributes": map[string]any{
			"productName": map[string]any{"string": strings.ReplaceAll(product, "-", " ")}}})
	}
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice",
		"metadata": map[string]any{"name": name}, "spec": map[string]any{
			"driver": driver, "allNodes": true, "devices": devices,
			"pool": map[string]any{"name": name, "generation": int64(1), "resourceSliceCount": int64(1)}}}}
}
