package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/workload"
)

func class(text string) workload.DeviceClass { return workload.ReadDeviceClass(read(text)) }

func TestNamesThatDeviceClassesClaim(t *testing.T) {
	gpu := class(`{metadata: {name: gpu.nvidia.com}, spec: {extendedResourceName: example.com/card}}`)
	taken := class(`{metadata: {name: gpu.nvidia.com}, spec: {extendedResourceName: nvidia.com/gpu}}`)
	nic := class(`{metadata: {name: nic.example.com}, spec: {extendedResourceName: example.com/nic}}`)
	older := class(`{metadata: {name: gpu.amd.com, creationTimestamp: "2026-01-01T00:00:00Z"}, spec: {extendedResourceName: example.com/card}}`)
	newer := class(`{metadata: {name: nic.example.com, creationTimestamp: "2026-01-02T00:00:00Z"}, spec: {extendedResourceName: example.com/card}}`)
	same := class(`{metadata: {name: a.example.com, creationTimestamp: "2026-01-02T00:00:00Z"}, spec: {extendedResourceName: example.com/card}}`)
	for name, test := range map[string]struct {
		counting workload.Counting
		pod      string
		want     counts
	}{
		"an alias of a GPU class":                    {workload.Counting{Classes: []workload.DeviceClass{gpu}}, `{example.com/card: 2}`, counts{gpus: 2}},
		"the same name without the class":            {workload.Counting{}, `{example.com/card: 2}`, counts{}},
		"an alias that is a GPU already":             {workload.Counting{Classes: []workload.DeviceClass{taken}}, `{nvidia.com/gpu: 2}`, counts{gpus: 2}},
		"an alias of an unknown class":               {workload.Counting{Classes: []workload.DeviceClass{nic}}, `{example.com/nic: 2}`, counts{unknown: 1}},
		"one of a class that has none":               {workload.Counting{Classes: []workload.DeviceClass{nic}, NotDeviceClasses: []string{"nic.example.com"}}, `{example.com/nic: 2}`, counts{}},
		"one of a class that a policy lists":         {workload.Counting{Classes: []workload.DeviceClass{nic}, DeviceClasses: []string{"nic.*"}}, `{example.com/nic: 2}`, counts{gpus: 2}},
		"a listed class wins over an unlisted":       {workload.Counting{Classes: []workload.DeviceClass{nic}, DeviceClasses: []string{"nic.example.com"}, NotDeviceClasses: []string{"nic.*"}}, `{example.com/nic: 2}`, counts{gpus: 2}},
		"a listed name counts whatever its class is": {workload.Counting{Classes: []workload.DeviceClass{nic}, Listed: []workload.ListedGPU{{Name: "example.com/nic"}}}, `{example.com/nic: 2}`, counts{gpus: 2}},
		"the larger of the name and the class": {workload.Counting{Classes: []workload.DeviceClass{class(`{metadata: {name: mig.nvidia.com}, spec: {extendedResourceName: nvidia.com/mig-1g.10gb}}`)},
			Listed: []workload.ListedGPU{{Name: "nvidia.com/mig-1g.10gb", GPUs: weight("1/7")}}}, `{nvidia.com/mig-1g.10gb: 7}`, counts{gpus: 7}},
		"a weight above 1 is larger": {workload.Counting{Classes: []workload.DeviceClass{gpu}, Listed: []workload.ListedGPU{{Name: "example.com/card", GPUs: weight("2")}}}, `{example.com/card: 3}`, counts{gpus: 6}},
		"a qualifier that a class claims": {workload.Counting{Classes: []workload.DeviceClass{class(`{metadata: {name: gpu.intel.com}, spec: {extendedResourceName: gpu.intel.com/tiles}}`)}},
			`{gpu.intel.com/tiles: 2}`, counts{gpus: 2}},
		"the class that was made last":           {workload.Counting{Classes: []workload.DeviceClass{newer, older}}, `{example.com/card: 2}`, counts{unknown: 1}},
		"whatever the order":                     {workload.Counting{Classes: []workload.DeviceClass{older, newer}}, `{example.com/card: 2}`, counts{unknown: 1}},
		"the lower name of two made at once":     {workload.Counting{Classes: []workload.DeviceClass{newer, same}, DeviceClasses: []string{"a.example.com"}, NotDeviceClasses: []string{"nic.example.com"}}, `{example.com/card: 2}`, counts{gpus: 2}},
		"a spelled GPU class":                    {workload.Counting{}, `{deviceclass.resource.kubernetes.io/gpu.nvidia.com: 3}`, counts{gpus: 3}},
		"a spelled class that nobody knows":      {workload.Counting{}, `{deviceclass.resource.kubernetes.io/h100: 3}`, counts{unknown: 1}},
		"a spelled class that a policy lists":    {workload.Counting{DeviceClasses: []string{"h100"}}, `{deviceclass.resource.kubernetes.io/h100: 3}`, counts{gpus: 3}},
		"a spelled class that has none":          {workload.Counting{NotDeviceClasses: []string{"h100"}}, `{deviceclass.resource.kubernetes.io/h100: 3}`, counts{}},
		"a spelled name that gpuResources lists": {workload.Counting{Listed: []workload.ListedGPU{{Name: "deviceclass.resource.kubernetes.io/h100"}}}, `{deviceclass.resource.kubernetes.io/h100: 3}`, counts{gpus: 3}},
		"a spelled class whose alias a policy lists": {workload.Counting{Classes: []workload.DeviceClass{nic}, Listed: []workload.ListedGPU{{Name: "example.com/nic", GPUs: weight("2")}}},
			`{deviceclass.resource.kubernetes.io/nic.example.com: 3}`, counts{gpus: 6}},
		"channels of compute domains are no GPUs": {workload.Counting{}, `{deviceclass.resource.kubernetes.io/compute-domain-default-channel.nvidia.com: 1}`, counts{}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, of(count(limits(test.pod), workload.NewGPUResources(test.counting))))
		})
	}
}

func TestAChangeOfClassesIsAChangeOfCounting(t *testing.T) {
	digest := func(c workload.Counting) string { return workload.NewGPUResources(c).Digest() }
	one := class(`{metadata: {name: gpu.nvidia.com}, spec: {extendedResourceName: example.com/card}}`)
	other := class(`{metadata: {name: gpu.nvidia.com}, spec: {extendedResourceName: example.com/other}}`)
	none := class(`{metadata: {name: gpu.nvidia.com}}`)
	assert.NotEqual(t, digest(workload.Counting{}), digest(workload.Counting{Classes: []workload.DeviceClass{one}}), "made")
	assert.NotEqual(t, digest(workload.Counting{Classes: []workload.DeviceClass{one}}), digest(workload.Counting{Classes: []workload.DeviceClass{other}}), "changed")
	assert.Equal(t, digest(workload.Counting{}), digest(workload.Counting{Classes: []workload.DeviceClass{none}}), "one without a name")
	selecting := func(name, expression string) []workload.DeviceClass {
		return []workload.DeviceClass{class(`{metadata: {name: ` + name + `}, spec: {selectors: [{cel: {expression: "` + expression + `"}}]}}`)}
	}
	assert.NotEqual(t, digest(workload.Counting{}), digest(workload.Counting{Classes: selecting("gpu.nvidia.com", "true")}), "with selectors")
	assert.NotEqual(t, digest(workload.Counting{Classes: selecting("gpu.nvidia.com", "true")}), digest(workload.Counting{Classes: selecting("gpu.nvidia.com", "device.driver == 'x'")}), "with others")
	assert.Equal(t, digest(workload.Counting{}), digest(workload.Counting{Classes: selecting("nic.example.com", "true")}), "of a class without GPUs")
	a := workload.Counting{Listed: []workload.ListedGPU{{Name: "a/b"}, {Name: "c/d"}}, Not: []string{"x/y", "e/f"}}
	b := workload.Counting{Listed: []workload.ListedGPU{{Name: "c/d"}, {Name: "a/b"}}, Not: []string{"e/f", "x/y"}}
	assert.Equal(t, digest(a), digest(b), "the order of policies is no difference")
	assert.NotEqual(t, digest(a), digest(workload.Counting{Listed: a.Listed}))
	assert.NotEqual(t, digest(workload.Counting{}), digest(workload.Counting{Listed: []workload.ListedGPU{{Name: "nvidia.com/gpu", GPUs: weight("1/2")}}}))
	assert.NotEqual(t, digest(workload.Counting{DeviceClasses: []string{"x"}}), digest(workload.Counting{NotDeviceClasses: []string{"x"}}))
}
