package workload_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

func TestCountClaim(t *testing.T) {
	const l4 = `selectors: [{cel: {expression: 'device.driver == "gpu.nvidia.com" && device.attributes["gpu.nvidia.com"].productName == "NVIDIA L4"'}}]`
	known := workload.NewGPUResources(workload.Counting{DeviceClasses: []string{"house"}, NotDeviceClasses: []string{"nic"}, Classes: []workload.DeviceClass{
		class(`{metadata: {name: house}, spec: {selectors: [{cel: {expression: "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA H100 NVL'"}}]}}`)}})
	for name, test := range map[string]struct {
		requests string
		admin    bool
		gpus     int64
		product  string
		unknown  []string
	}{
		"one":                       {requests: `[{exactly: {deviceClassName: gpu.nvidia.com, allocationMode: ExactCount, count: 1}}]`, gpus: 1},
		"without its defaults":      {requests: `[{exactly: {deviceClassName: gpu.nvidia.com}}]`, gpus: 1},
		"several":                   {requests: `[{exactly: {deviceClassName: gpu.nvidia.com, count: 4}}, {exactly: {deviceClassName: gpu.amd.com, count: 2}}]`, gpus: 6},
		"as v1beta1 writes it":      {requests: `[{name: a, deviceClassName: mig.nvidia.com, count: 3}]`, gpus: 3},
		"all there are":             {requests: `[{exactly: {deviceClassName: gpu.intel.com, allocationMode: All}}]`, gpus: 32},
		"the largest alternative":   {requests: `[{firstAvailable: [{deviceClassName: gpu.nvidia.com, count: 2}, {deviceClassName: gpu.amd.com, count: 5}, {deviceClassName: nic, count: 9}]}]`, gpus: 5},
		"all as an alternative":     {requests: `[{firstAvailable: [{deviceClassName: gpu.nvidia.com, count: 2}, {deviceClassName: mig.nvidia.com, allocationMode: All}]}]`, gpus: 32},
		"something else":            {requests: `[{exactly: {deviceClassName: nic, count: 4}}, {exactly: {deviceClassName: compute-domain-default-channel.nvidia.com}}]`},
		"admin access":              {requests: `[{exactly: {deviceClassName: gpu.nvidia.com, allocationMode: All, adminAccess: true}}]`, admin: true},
		"where it is not allowed":   {requests: `[{exactly: {deviceClassName: gpu.nvidia.com, count: 2, adminAccess: true}}]`, gpus: 2},
		"nothing":                   {requests: `[]`},
		"a class that nobody lists": {requests: `[{exactly: {deviceClassName: h100}}]`, unknown: []string{"spec.devices.requests[0].exactly.deviceClassName: Forbidden: devices of DeviceClass h100, which no policy lists, cannot be counted as GPUs; the platform team lists it in gpuDeviceClasses, or in notGPUDeviceClasses if it has none"}},
		"a mode of the future":      {requests: `[{exactly: {deviceClassName: gpu.nvidia.com, allocationMode: Some}}]`, unknown: []string{"spec.devices.requests[0].exactly.allocationMode: Forbidden: the mode Some is not known to this version, so the devices cannot be counted as GPUs"}},
		"a request of the future":   {requests: `[{atLeast: {}}]`, unknown: []string{"spec.devices.requests[0]: Forbidden: asks for devices in a way that this version does not know, so they cannot be counted as GPUs"}},
		"a count that is none":      {requests: `[{exactly: {deviceClassName: gpu.nvidia.com, count: many}}]`, gpus: workload.Unbounded},
		"shares by their capacity":  {requests: `[{exactly: {deviceClassName: gpu.nvidia.com, count: 3, capacity: {requests: {memory: 10Gi}}}}]`, gpus: 3},
		"a share as an alternative": {requests: `[{firstAvailable: [{deviceClassName: gpu.nvidia.com, capacity: {requests: {memory: 10Gi}}}, {deviceClassName: mig.nvidia.com, count: 2}]}]`, gpus: 2},
		"of tolerated devices":      {requests: `[{exactly: {deviceClassName: gpu.nvidia.com, count: 2, tolerations: [{operator: Exists}]}}]`, gpus: 2},
		"a product of the class":    {requests: `[{exactly: {deviceClassName: house}}]`, gpus: 1, product: "NVIDIA-H100-NVL"},
		"of the request":            {requests: `[{exactly: {deviceClassName: gpu.nvidia.com, ` + l4 + `}}]`, gpus: 1, product: "NVIDIA-L4"},
		"the same of all":           {requests: `[{exactly: {deviceClassName: gpu.nvidia.com, ` + l4 + `}}, {exactly: {deviceClassName: nic}}, {exactly: {deviceClassName: gpu.nvidia.com, ` + l4 + `}}]`, gpus: 2, product: "NVIDIA-L4"},
		"of one of two":             {requests: `[{exactly: {deviceClassName: gpu.nvidia.com, ` + l4 + `}}, {exactly: {deviceClassName: gpu.nvidia.com}}]`, gpus: 2},
		"of two":                    {requests: `[{firstAvailable: [{deviceClassName: gpu.nvidia.com, ` + l4 + `}, {deviceClassName: house}]}]`, gpus: 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := known.CountClaim(read(`{devices: {requests: `+test.requests+`}}`), field.NewPath("spec"), test.admin)
			assert.Equal(t, test.gpus, got.GPUs)
			assert.Equal(t, test.product, got.Product)
			assert.Equal(t, test.unknown, texts(got.Unknown))
		})
	}
}

// TestAlternativesCountByType: of each product the largest alternative counts, and in all the largest.
func TestAlternativesCountByType(t *testing.T) {
	of := func(product string, count int) string {
		return fmt.Sprintf(`{deviceClassName: gpu.nvidia.com, count: %d, selectors: [{cel: {expression: 'device.attributes["gpu.nvidia.com"].productName == "NVIDIA %s"'}}]}`, count, product)
	}
	const anyProduct = `{deviceClassName: gpu.nvidia.com, count: 2}`
	for name, test := range map[string]struct {
		requests string
		want     map[string]int64
	}{
		"of two products":              {`{firstAvailable: [` + of("H100 NVL", 1) + `, ` + of("L4", 4) + `]}`, map[string]int64{"": 4, "NVIDIA-H100-NVL": 1, "NVIDIA-L4": 4, "NVIDIA-H200": 0}},
		"of one product twice":         {`{firstAvailable: [` + of("L4", 1) + `, ` + of("L4", 4) + `]}`, map[string]int64{"": 4, "NVIDIA-L4": 4, "NVIDIA-H200": 0}},
		"one of them of any":           {`{firstAvailable: [` + of("L4", 3) + `, ` + anyProduct + `]}`, map[string]int64{"": 3, "NVIDIA-L4": 3, "NVIDIA-H200": 2}},
		"beside another request":       {`{firstAvailable: [` + of("H100 NVL", 1) + `, ` + of("L4", 4) + `]}, {exactly: ` + of("H100 NVL", 2) + `}`, map[string]int64{"": 6, "NVIDIA-H100-NVL": 3, "NVIDIA-L4": 4, "NVIDIA-H200": 0}},
		"two requests of two products": {`{exactly: ` + of("H100 NVL", 2) + `}, {exactly: ` + of("L4", 1) + `}`, map[string]int64{"": 3, "NVIDIA-H100-NVL": 2, "NVIDIA-L4": 1, "NVIDIA-H200": 0}},
	} {
		spec := `{devices: {requests: [` + test.requests + `]}}`
		template := read(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: t, namespace: team}, spec: {spec: ` + spec + `}}`)
		known := workload.BuiltInGPUResources.WithClaims(workload.NewClaims([]manifest.Object{template}, nil), "team")
		deployment := read(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: team}, spec: {replicas: 3, template: {spec: {resourceClaims: [{name: a, resourceClaimTemplateName: t}], containers: [{}]}}}}`)
		claim := read(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: c, namespace: team}, spec: ` + spec + `}`)
		for kind, of := range map[string]struct {
			parts []workload.Part
			times int64
		}{
			"a claim": {workload.ClaimUsage(claim, known).Parts, 1}, "pods": {workload.DeploymentUsage(deployment, workload.Controlled{}, known).Parts, 3},
		} {
			t.Run(name+": "+kind, func(t *testing.T) {
				got := map[string]int64{"": workload.Sum(of.parts)}
				want := map[string]int64{}
				for product, n := range test.want {
					want[product] = n * of.times
					if product != "" {
						list := workload.NewTypeList([]string{product})
						got[product] = workload.SumOf(of.parts, list.MayBe)
					}
				}
				assert.Equal(t, want, got)
			})
		}
	}
}

// TestWhatOnlyLooksLikeASelectorOfAProductPinsNothing: text that a tenant writes into a literal,
// or terms that may be left out.
func TestWhatOnlyLooksLikeASelectorOfAProductPinsNothing(t *testing.T) {
	const term = `device.attributes["gpu.nvidia.com"].productName == "NVIDIA L4"`
	for name, expression := range map[string]string{
		"another may hold":    term + ` || true`,
		"it may not hold":     `!(` + term + `)`,
		"a choice":            `true ? true : ` + term,
		"text in a literal":   `'x && ` + term + ` && y' == 'x && ` + term + ` && y'`,
		"text in one of two":  `device.attributes["a"].b == "x" && 'x && ` + term + ` && y' == 'x && ` + term + ` && y'`,
		"another's attribute": `device.attributes["evil.example"].productName == "NVIDIA L4"`,
		"another comparison":  `device.attributes["gpu.nvidia.com"].productName > "NVIDIA L4"`,
		"a name of nothing":   `device.attributes["gpu.nvidia.com"].productName == "gold"`,
		"a call":              `device.attributes["gpu.nvidia.com"].productName.startsWith("NVIDIA L4")`,
	} {
		c := workload.ReadDeviceClass(manifest.Object{"metadata": manifest.Object{"name": "c"}, "spec": manifest.Object{"selectors": []any{manifest.Object{"cel": manifest.Object{"expression": expression}}}}})
		assert.Empty(t, c.Product, name)
	}
}

func TestPodsCountWhatTheirTemplatesClaim(t *testing.T) {
	templates := []manifest.Object{
		read(`{metadata: {name: two}, spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu.nvidia.com, count: 2}}]}}}}`),
		read(`{metadata: {name: l4}, spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu.nvidia.com, selectors: [{cel: {expression: "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA L4'"}}]}}]}}}}`),
		read(`{metadata: {name: a100}, spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu.nvidia.com, selectors: [{cel: {expression: "device.attributes['gpu.nvidia.com'].productName == 'a100'"}}]}}]}}}}`),
		read(`{metadata: {name: a100sxm}, spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu.nvidia.com, selectors: [{cel: {expression: "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA A100-SXM4-80GB'"}}]}}]}}}}`),
		read(`{metadata: {name: unknown}, spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: h100}}]}}}}`),
	}
	known := workload.BuiltInGPUResources.WithClaims(workload.NewClaims(templates, nil), "ml")
	for name, test := range map[string]struct {
		pod     string
		gpus    int64
		product string
		unknown []string
	}{
		"one claim":                          {pod: `resourceClaims: [{name: a, resourceClaimTemplateName: two}]`, gpus: 2},
		"two of one template":                {pod: `resourceClaims: [{name: a, resourceClaimTemplateName: two}, {name: b, resourceClaimTemplateName: two}]`, gpus: 4},
		"beside GPUs of a device plugin":     {pod: `resourceClaims: [{name: a, resourceClaimTemplateName: l4}], containers: [{resources: {limits: {nvidia.com/gpu: 3}}}]`, gpus: 4},
		"of one product":                     {pod: `resourceClaims: [{name: a, resourceClaimTemplateName: l4}]`, gpus: 1, product: "NVIDIA-L4"},
		"of a product and of any":            {pod: `resourceClaims: [{name: a, resourceClaimTemplateName: l4}, {name: b, resourceClaimTemplateName: two}]`, gpus: 3},
		"on nodes of a product":              {pod: `nodeSelector: {nvidia.com/gpu.product: NVIDIA-H200}, resourceClaims: [{name: b, resourceClaimTemplateName: two}]`, gpus: 2},
		"on nodes of the product claimed":    {pod: `nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}, resourceClaims: [{name: a, resourceClaimTemplateName: l4}]`, gpus: 1, product: "NVIDIA-L4"},
		"on nodes of another product":        {pod: `nodeSelector: {nvidia.com/gpu.product: NVIDIA-H200}, resourceClaims: [{name: a, resourceClaimTemplateName: l4}]`, gpus: 1, product: "NVIDIA-L4"},
		"of two products, on nodes of one":   {pod: `nodeSelector: {nvidia.com/gpu.product: NVIDIA-H200}, resourceClaims: [{name: a, resourceClaimTemplateName: l4}, {name: b, resourceClaimTemplateName: two}]`, gpus: 3},
		"of the product of a plug-in's":      {pod: `nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}, resourceClaims: [{name: a, resourceClaimTemplateName: l4}], containers: [{resources: {limits: {nvidia.com/gpu: 3}}}]`, gpus: 4, product: "nvidia-l4"},
		"of another than a plug-in's":        {pod: `nodeSelector: {nvidia.com/gpu.product: NVIDIA-H200}, resourceClaims: [{name: a, resourceClaimTemplateName: l4}], containers: [{resources: {limits: {nvidia.com/gpu: 3}}}]`, gpus: 4},
		"of any, and a plug-in's":            {pod: `nodeSelector: {nvidia.com/gpu.product: NVIDIA-H200}, resourceClaims: [{name: b, resourceClaimTemplateName: two}], containers: [{resources: {limits: {nvidia.com/gpu: 3}}}]`, gpus: 5},
		"of a wider word than a plug-in's":   {pod: `nodeSelector: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-40GB}, resourceClaims: [{name: a, resourceClaimTemplateName: a100}], containers: [{resources: {limits: {nvidia.com/gpu: 3}}}]`, gpus: 4},
		"of a narrower one":                  {pod: `nodeSelector: {karpenter.k8s.aws/instance-gpu-name: a100}, resourceClaims: [{name: a, resourceClaimTemplateName: a100sxm}], containers: [{resources: {limits: {nvidia.com/gpu: 3}}}]`, gpus: 4, product: "a100"},
		"a template that is not there":       {pod: `resourceClaims: [{name: a, resourceClaimTemplateName: none}]`, unknown: []string{`spec.template.spec.resourceClaims[0].resourceClaimTemplateName: Not found: "none": there is no such ResourceClaimTemplate in the namespace, so the devices cannot be counted as GPUs; create it first`}},
		"a claim that somebody made":         {pod: `resourceClaims: [{name: a, resourceClaimName: mine}]`},
		"the same claim of all, and another": {pod: `resourceClaims: [{name: a, resourceClaimName: mine}, {name: b, resourceClaimTemplateName: l4}]`, gpus: 1, product: "NVIDIA-L4"},
		"a class that nobody lists":          {pod: `resourceClaims: [{name: a, resourceClaimTemplateName: unknown}]`, unknown: []string{"spec.template.spec.resourceClaims[0].resourceClaimTemplateName: Forbidden: ResourceClaimTemplate unknown: spec.spec.devices.requests[0].exactly.deviceClassName devices of DeviceClass h100, which no policy lists, cannot be counted as GPUs; the platform team lists it in gpuDeviceClasses, or in notGPUDeviceClasses if it has none"}},
		"an entry of another kind of claims": {pod: `resourceClaims: [{name: a, podGroupResourceClaim: x}]`, unknown: []string{"spec.template.spec.resourceClaims[0]: Forbidden: names no ResourceClaimTemplate and no ResourceClaim, so its devices cannot be counted as GPUs of this pod; name one of them instead"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := workload.DeploymentUsage(read(`{spec: {replicas: 3, template: {spec: {`+test.pod+`}}}}`), workload.Controlled{}, known)
			assert.Equal(t, test.gpus, d.GPUs.PerPod)
			assert.Equal(t, 3*test.gpus, d.Claim)
			assert.Equal(t, test.unknown, texts(d.GPUs.Unknown))
			if test.gpus > 0 {
				assert.Equal(t, map[string]int64{test.product: 3 * test.gpus}, workload.SumsByType(d.Parts))
				assert.Equal(t, test.product, d.GPUType)
			}
		})
	}
}

// TestNamesThatClassesClaimAreOfWhatTheClassesGive: the scheduler may take such GPUs from devices of any node.
func TestNamesThatClassesClaimAreOfWhatTheClassesGive(t *testing.T) {
	const onL4, anywhere = `nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, `, ``
	selects := func(product string) string {
		return `selectors: [{cel: {expression: "device.attributes['gpu.nvidia.com'].productName == '` + product + `'"}}]`
	}
	for name, test := range map[string]struct {
		pod, class, resource, want string
	}{
		"of a class that gives any":               {onL4, `{metadata: {name: gpu.nvidia.com}, spec: {extendedResourceName: nvidia.com/gpu}}`, "nvidia.com/gpu", ""},
		"of one that gives the node's product":    {onL4, `{metadata: {name: gpu.nvidia.com}, spec: {extendedResourceName: nvidia.com/gpu, ` + selects("NVIDIA L4") + `}}`, "nvidia.com/gpu", "NVIDIA-L4"},
		"of one that gives another product":       {onL4, `{metadata: {name: gpu.nvidia.com}, spec: {extendedResourceName: nvidia.com/gpu, ` + selects("NVIDIA H200") + `}}`, "nvidia.com/gpu", ""},
		"of a plug-in on any node, or of a class": {anywhere, `{metadata: {name: gpu.nvidia.com}, spec: {extendedResourceName: nvidia.com/gpu, ` + selects("NVIDIA L4") + `}}`, "nvidia.com/gpu", ""},
		"of a class that nobody lists":            {onL4, `{metadata: {name: h100}, spec: {extendedResourceName: nvidia.com/gpu, ` + selects("NVIDIA L4") + `}}`, "nvidia.com/gpu", ""},
		"of a class without GPUs":                 {onL4, `{metadata: {name: nic}, spec: {extendedResourceName: nvidia.com/gpu}}`, "nvidia.com/gpu", "NVIDIA-L4"},
		"of a class that claims another name":     {onL4, `{metadata: {name: gpu.nvidia.com}, spec: {extendedResourceName: example.com/card}}`, "nvidia.com/gpu", "NVIDIA-L4"},
		"of a class by its own name":              {onL4, `{metadata: {name: gpu.nvidia.com}, spec: {}}`, "deviceclass.resource.kubernetes.io/gpu.nvidia.com", ""},
	} {
		t.Run(name, func(t *testing.T) {
			known := workload.NewGPUResources(workload.Counting{NotDeviceClasses: []string{"nic"}, Classes: []workload.DeviceClass{class(test.class)}})
			d := workload.DeploymentUsage(read(`{spec: {replicas: 2, template: {spec: {`+test.pod+`containers: [{resources: {limits: {`+test.resource+`: 1}}}]}}}}`), workload.Controlled{}, known)
			assert.Equal(t, map[string]int64{test.want: 2}, workload.SumsByType(d.Parts))
			assert.Equal(t, test.want, d.GPUType)
		})
	}
}

// TestClaimsOfAnEarlierTemplateAreNoRollout: what pods hold beyond what their template says now is claimed, as
// long as there are no more pods than the Deployment asks for.
func TestClaimsOfAnEarlierTemplateAreNoRollout(t *testing.T) {
	const pods = `{resourceClaims: [{name: g, resourceClaimTemplateName: t}], containers: [{name: c}]}`
	requests := func(n int) string {
		return fmt.Sprintf(`{devices: {requests: [{name: g, exactly: {deviceClassName: gpu.nvidia.com, count: %d}}]}}`, n)
	}
	for name, test := range map[string]struct {
		made           []int // what the claims of its pods ask for
		claim, overlap int64
	}{
		"as the template says":                   {[]int{1, 1, 1, 1}, 4, 0},
		"two claims of an earlier template":      {[]int{3, 1, 3, 1}, 8, 0},
		"all of them":                            {[]int{3, 3, 3, 3}, 12, 0},
		"a pod of a rollout":                     {[]int{1, 1, 1, 1, 1}, 4, 1},
		"two pods of a rollout, one of them old": {[]int{1, 1, 1, 1, 1, 3}, 6, 2},
	} {
		t.Run(name, func(t *testing.T) {
			template := read(`{metadata: {name: t}, spec: {spec: ` + requests(1) + `}}`)
			var claims, stored []manifest.Object
			for i, n := range test.made {
				stored = append(stored, read(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: p%d, uid: p%d}, spec: %s}`, i, i, pods)))
				claims = append(claims, read(fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: c%d, uid: c%d, annotations: {resource.kubernetes.io/pod-claim-name: g}, ownerReferences: [{apiVersion: v1, kind: Pod, name: p%d, uid: p%d, controller: true}]}, spec: %s}`, i, i, i, i, requests(n))))
			}
			gpus := workload.BuiltInGPUResources.WithClaims(workload.NewClaims([]manifest.Object{template}, claims), "")
			u := workload.DeploymentUsage(read(`{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 4, template: {spec: `+pods+`}}}`),
				workload.Controlled{Pods: workload.HeldBy(stored, gpus)}, gpus)
			assert.Equal(t, [2]int64{test.claim, test.overlap}, [2]int64{workload.Sum(u.Parts), workload.Sum(u.Overlap)})
		})
	}
}

// TestPodsOfATemplateThatIsGone hold what their claims say beside what the Deployment can be asked for: each type as often
// as it is there.
func TestPodsOfATemplateThatIsGone(t *testing.T) {
	const pod = `{nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, containers: [{name: c}], resourceClaims: [{name: any, resourceClaimTemplateName: gone}, {name: l4, resourceClaimTemplateName: l4}]}`
	l4 := `{devices: {requests: [{name: g, exactly: {deviceClassName: gpu.nvidia.com, count: 2, selectors: [{cel: {expression: 'device.attributes["gpu.nvidia.com"].productName == "NVIDIA L4"'}}]}}]}}`
	anyOf := `{devices: {requests: [{name: g, exactly: {deviceClassName: gpu.nvidia.com, count: 2}}]}}`
	var claims, pods []manifest.Object
	for i := range 3 {
		uid := fmt.Sprintf("p%d", i)
		pods = append(pods, read(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, uid: %s}, spec: %s}`, uid, uid, pod)))
		for entry, spec := range map[string]string{"any": anyOf, "l4": l4} {
			claims = append(claims, read(fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: %s-%s, uid: %s-%s, annotations: {resource.kubernetes.io/pod-claim-name: %s}, ownerReferences: [{apiVersion: v1, kind: Pod, name: %s, uid: %s, controller: true}]}, spec: %s}`, uid, entry, uid, entry, entry, uid, uid, spec)))
		}
	}
	gpus := workload.BuiltInGPUResources.WithClaims(workload.NewClaims([]manifest.Object{read(`{metadata: {name: l4}, spec: {spec: ` + l4 + `}}`)}, claims), "")
	u := workload.DeploymentUsage(read(`{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 3, template: {spec: `+pod+`}}}`),
		workload.Controlled{Pods: workload.HeldBy(pods, gpus)}, gpus)
	of := func(product string) int64 {
		return workload.SumOf(u.Parts, func(gpuType string) bool { return gpuType == "" || gpuType == product })
	}
	assert.Equal(t, map[string]int64{"all": 12, "H100": 6, "L4": 12, "overlap": 0}, map[string]int64{
		"all": workload.Sum(u.Parts), "H100": of("NVIDIA-H100-80GB-HBM3"), "L4": of("NVIDIA-L4"), "overlap": workload.Sum(u.Overlap)})
}
