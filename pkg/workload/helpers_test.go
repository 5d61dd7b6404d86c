package workload_test

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

func read(text string) manifest.Object {
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		panic(err)
	}
	o, err := manifest.Decode(raw)
	if err != nil {
		panic(err)
	}
	return o
}

func texts(errs field.ErrorList) []string {
	var all []string
	for _, e := range errs {
		all = append(all, e.Error())
	}
	return all
}

// limits is a pod of one container with limits.
func limits(text string) manifest.Object {
	return read(`{containers: [{resources: {limits: ` + text + `}}]}`)
}

func count(pod manifest.Object, known workload.GPUResources) workload.GPUCount {
	return workload.CountGPUs(pod, field.NewPath("spec"), known)
}

func weight(text string) workload.Weight {
	w, err := workload.ParseWeight(text)
	if err != nil {
		panic(err)
	}
	return w
}
