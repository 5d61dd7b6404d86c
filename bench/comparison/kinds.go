package main

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// nodes is how many nodes there are, of 8 GPUs each, so that there is room for what is asked.
const nodes = 48

// object is the manifest of an object.
type object = map[string]any

// podKind is a kind of object that pods are made of.
type podKind struct {
	name     string
	resource schema.GroupVersionResource
	// spec is the object's, with a template of pods and how many there are to be.
	spec func(name string, template object, c claim) object
}

func (k podKind) String() string { return k.name }

func apps(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}
}

func batch(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: resource}
}

var (
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	deployments = podKind{"Deployment", apps("deployments"), replicated}
	barePods    = podKind{"Pod", pods, func(_ string, template object, _ claim) object { return template["spec"].(object) }}

	// podKinds are the kinds that are compared.
	podKinds = []podKind{
		deployments,
		{"ReplicaSet", apps("replicasets"), replicated},
		{"StatefulSet", apps("statefulsets"), func(name string, template object, c claim) object {
			spec := replicated(name, template, c)
			spec["serviceName"], spec["podManagementPolicy"] = name, "Parallel"
			return spec
		}},
		{"Job", batch("jobs"), job},
		{"CronJob", batch("cronjobs"), func(name string, template object, c claim) object {
			return object{"schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": object{"spec": job(name, template, c)}}
		}},
		{"DaemonSet", apps("daemonsets"), daemonSet},
		barePods,
		{"Knative Service", knativeServices, func(_ string, template object, c claim) object {
			count := strconv.Itoa(c.maxScale)
			template["metadata"].(object)["annotations"] = object{
				maxScaleKey: count, "autoscaling.knative.dev/min-scale": count, "autoscaling.knative.dev/initial-scale": count,
			}
			return object{"template": template}
		}},
	}
)

// raceKinds are those of which pods are made at once.
func raceKinds() []podKind {
	var kinds []podKind
	for _, k := range podKinds {
		if k.name != "CronJob" {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func replicated(name string, template object, c claim) object {
	return object{"replicas": int64(c.maxScale), "selector": object{"matchLabels": object{workloadLabel: name}}, "template": template}
}

func job(_ string, template object, c claim) object {
	template["spec"].(object)["restartPolicy"] = "Never"
	return object{"parallelism": int64(c.maxScale), "completions": int64(c.maxScale), "template": template}
}

// daemonSet is for as many nodes as there are to be pods.
func daemonSet(name string, template object, c claim) object {
	var names []any
	for i := range c.maxScale {
		names = append(names, fmt.Sprintf("gpu-%d", i))
	}
	template["spec"].(object)["affinity"] = object{"nodeAffinity": object{"requiredDuringSchedulingIgnoredDuringExecution": object{
		"nodeSelectorTerms": []any{object{"matchExpressions": []any{
			object{"key": "kubernetes.io/hostname", "operator": "In", "values": names},
		}}},
	}}}
	return object{"selector": object{"matchLabels": object{workloadLabel: name}}, "template": template}
}

// workloadLabel is on the pods of a workload, with its name.
const workloadLabel = "comparison.example.com/workload"

// object is the object that makes a claim.
func (k podKind) object(name string, c claim) *unstructured.Unstructured {
	template := object{
		"metadata": object{"labels": object{workloadLabel: name}},
		"spec": object{"containers": []any{object{
			"name": "main", "image": "nginx:1",
			"resources": object{"limits": object{gpuResource: strconv.Itoa(c.gpus)}},
		}}},
	}
	kind := k.name
	if k.resource == knativeServices {
		kind = "Service"
	}
	u := &unstructured.Unstructured{Object: object{
		"apiVersion": k.resource.GroupVersion().String(), "kind": kind, "metadata": object{}, "spec": k.spec(name, template, c),
	}}
	u.SetName(name)
	if k.resource == pods {
		u.SetLabels(map[string]string{workloadLabel: name})
	}
	return u
}
