package controlplane

import (
	"context"
	_ "embed" // for the stages
	"fmt"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// fakeNode marks the nodes that kwok plays.
const fakeNode = "controlplane.kubetorch.com/fake"

// podCIDR is where fake pods get their addresses: loopback ones, like everything here.
const podCIDR = "127.97.0.0/16"

//go:embed nodes.yaml
var stages []byte

var (
	nodes = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	pods  = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// startNodes runs kwok, which plays nodes with 8 GPUs each and the pods on them, and waits
// until they are ready.
func (c *ControlPlane) startNodes(ctx context.Context, count int) error {
	if count == 0 {
		return nil
	}
	config := c.dir.join("kwok.yaml")
	if err := os.WriteFile(config, stages, 0o644); err != nil {
		return fmt.Errorf("writing kwok's stages: %w", err)
	}
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	kwok, err := c.StartProcess(Kwok, nil, c.Tool(Kwok),
		"--kubeconfig="+c.kubeconfig, "--config="+config,
		"--manage-all-nodes=false", "--manage-nodes-with-annotation-selector="+fakeNode+"=true",
		"--cidr="+podCIDR, "--node-ip=127.0.0.1", "--node-lease-duration-seconds=40",
		fmt.Sprintf("--server-address=127.0.0.1:%d", ports[0]))
	if err != nil {
		return err
	}
	names := make([]string, count)
	for i := range names {
		name := fmt.Sprintf("gpu-%d", i)
		names[i] = name
		node := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{
			"name":        name,
			"annotations": map[string]any{fakeNode: "true"},
			"labels": map[string]any{"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "nvidia.com/gpu.product": "NVIDIA-L4",
				"topology.kubernetes.io/region": "here", "topology.kubernetes.io/zone": "here-a"},
		}}}
		if err := c.apply(ctx, node); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := await(ctx, "node "+name, patience, func(ctx context.Context) error {
			o, err := c.client.Resource(nodes).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			return requireCondition(o, "Ready")
		}, kwok); err != nil {
			return err
		}
	}
	return nil
}
