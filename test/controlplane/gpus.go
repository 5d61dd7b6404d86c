package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// gpuAddress is where the device plug-in tells about the use of GPUs.
const gpuAddress = podBridgeIP + ":9400"

// GPUResource is the resource that the lab's device plug-in has.
const GPUResource = "nvidia.com/gpu"

// GPUUse is what the device plug-in has seen of the programs that use GPUs.
type GPUUse struct {
	// Now is the number of GPUs in use, Most the largest number since the last reset.
	Now  int `json:"now"`
	Most int `json:"most"`
	// Containers is the number of programs that used a GPU since then.
	Containers int `json:"containers"`
	// Twice says which GPUs two programs used at the same time.
	Twice []string `json:"twice"`
}

// startGPUs runs the device plug-in and waits until the node has its GPUs.
func (c *ControlPlane) startGPUs(ctx context.Context, count int) error {
	binary, err := c.buildProgram(ctx, "gpus")
	if err != nil {
		return err
	}
	plugin, err := c.StartProcess("gpus", nil, binary,
		"-resource="+GPUResource, "-count="+strconv.Itoa(count), "-http="+gpuAddress)
	if err != nil {
		return err
	}
	return await(ctx, "the node's GPUs", patience, func(ctx context.Context) error {
		o, err := c.client.Resource(nodes).Get(ctx, nodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		got, _, _ := unstructured.NestedString(o.Object, "status", "allocatable", GPUResource)
		if got != strconv.Itoa(count) {
			return fmt.Errorf("the node has %q of %s", got, GPUResource)
		}
		return nil
	}, plugin)
}

// GPUUse asks the device plug-in what is in use. With reset it begins to count anew.
func (c *ControlPlane) GPUUse(ctx context.Context, reset bool) (use GPUUse, err error) {
	url := "http://" + gpuAddress + "/use"
	if reset {
		url += "?reset"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return use, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return use, fmt.Errorf("asking the device plug-in: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return use, errors.New("asking the device plug-in: " + response.Status)
	}
	return use, json.NewDecoder(response.Body).Decode(&use)
}
