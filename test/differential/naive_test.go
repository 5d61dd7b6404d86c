package differential

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// naive writes every parameter to the place that the documentation names, without a
// thought: what somebody would do by hand. What is stated natively stays, unless the
// parameters are to win. Texts that cannot stand at their place are written all the same,
// for Knative to refuse.
func naive(raw []byte, parametersWin bool) []byte {
	o, err := manifest.Decode(raw)
	if err != nil {
		return raw
	}
	if manifest.Map(o, "spec", "template") == nil {
		return raw
	}
	for _, p := range parameter.Table {
		text, ok := statedParameter(o, p)
		if !ok {
			continue
		}
		if parametersWin {
			for _, key := range nativeKeys[p] {
				delete(manifest.Map(o, "spec", "template", "metadata", "annotations"), key)
			}
			if p == parameter.Concurrency {
				delete(manifest.Map(o, "spec", "template", "spec"), "containerConcurrency")
			}
		}
		writeNaively(o, p, text)
	}
	out, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return out
}

// statedParameter is the text of a parameter on the object's own metadata.
func statedParameter(o object, p *parameter.Parameter) (string, bool) {
	for _, kind := range []string{"labels", "annotations"} {
		if v, ok := manifest.Map(o, "metadata", kind)[p.Key()]; ok {
			text, isText := v.(string)
			return text, isText
		}
	}
	return "", false
}

// statedNatively is the text of the template annotation that Knative reads for a
// parameter.
func statedNatively(o object, p *parameter.Parameter) (string, bool) {
	annotations := manifest.Map(o, "spec", "template", "metadata", "annotations")
	for _, key := range nativeKeys[p] {
		if text, ok := annotations[key].(string); ok {
			return text, true
		}
	}
	return "", false
}

func writeNaively(o object, p *parameter.Parameter, text string) {
	if keys := nativeKeys[p]; keys != nil {
		if _, ok := statedNatively(o, p); ok {
			return
		}
		if class, err := parameter.ParseClass(text); p == parameter.AutoscalerClass && err == nil {
			text = class
		}
		put(o, text, "spec", "template", "metadata", "annotations", keys[0])
		return
	}
	switch p {
	case parameter.Concurrency:
		var number any = text
		if json.Valid([]byte(text)) && text != "" && text == strings.TrimSpace(text) {
			number = json.RawMessage(text)
		}
		put(o, number, "spec", "template", "spec", "containerConcurrency")
	case parameter.CPUs, parameter.Memory, parameter.DiskSize, parameter.GPUs:
		container := servingContainer(o)
		if container == nil {
			return
		}
		name := map[*parameter.Parameter]string{parameter.CPUs: "cpu", parameter.Memory: "memory", parameter.DiskSize: "ephemeral-storage", parameter.GPUs: "nvidia.com/gpu"}[p]
		put(container, text, "resources", "requests", name)
		if p == parameter.GPUs {
			put(container, text, "resources", "limits", name)
		}
	case parameter.GPUType:
		if label, value, err := gpuTypeLabel(o, text); err == nil {
			put(o, value, "spec", "template", "spec", "nodeSelector", label)
		}
	case parameter.PriorityClassName:
		put(o, text, "spec", "template", "spec", "priorityClassName")
	case parameter.ServiceAccountName:
		put(o, text, "spec", "template", "spec", "serviceAccountName")
	case parameter.QueueName:
		put(o, text, "spec", "template", "metadata", "labels", "kueue.x-k8s.io/queue-name")
	case parameter.SharedMemoryLimit:
		container := servingContainer(o)
		if container == nil {
			return
		}
		pod := manifest.Map(o, "spec", "template", "spec")
		pod["volumes"] = append(manifest.List(pod, "volumes"), object{"name": "by-hand", "emptyDir": object{"medium": "Memory", "sizeLimit": text}})
		container["volumeMounts"] = append(manifest.List(container, "volumeMounts"), object{"name": "by-hand", "mountPath": "/dev/shm"})
	}
}

// gpuTypeLabel is the node label, and its value, that pins a pod to a GPU type. The type's
// bare name stands for the label of the vendor whose GPUs the pod asks for, and a pod that
// its author pins to the same product keeps that pin.
func gpuTypeLabel(o object, text string) (label, value string, err error) {
	label, value, err = parameter.ParseGPUType(text)
	pod := manifest.Map(o, "spec", "template", "spec")
	const product = parameter.DefaultGPUTypeLabel
	if text == "cloud.google.com/gke-accelerator: nvidia-l4" && manifest.Text(pod, "nodeSelector", product) == "NVIDIA-L4" {
		return product, "NVIDIA-L4", nil
	}
	if value == text && onlyAMD(pod) {
		label = "amd.com/gpu.product-name"
	}
	return label, value, err
}

// onlyAMD tells whether a pod asks for GPUs of AMD and for none of NVIDIA.
func onlyAMD(pod object) bool {
	amd := false
	for _, list := range []string{"containers", "initContainers"} {
		for _, c := range manifest.Objects(pod, list) {
			for _, of := range []string{"limits", "requests"} {
				for name, v := range manifest.Map(c, "resources", of) {
					if q, err := manifest.ParseQuantity(fmt.Sprint(v)); err != nil || q.Sign() <= 0 {
						continue
					}
					if strings.HasPrefix(name, "nvidia.com/") {
						return false
					}
					amd = amd || name == "amd.com/gpu"
				}
			}
		}
	}
	return amd
}

func servingContainer(o object) object {
	pod := manifest.Map(o, "spec", "template", "spec")
	i := manifest.ServingContainer(pod)
	if i < 0 {
		return nil
	}
	return manifest.Objects(pod, "containers")[i]
}

// put sets a value, making the objects on the way; it stops at anything else. What is
// there stays.
func put(o object, value any, path ...string) {
	for _, key := range path[:len(path)-1] {
		next, ok := o[key].(object)
		if !ok {
			if o[key] != nil {
				return
			}
			next = object{}
			o[key] = next
		}
		o = next
	}
	if last := path[len(path)-1]; o[last] == nil {
		o[last] = value
	}
}
