package offline_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
)

// resourceList is one with a functionConfig's spec and items, in YAML.
func resourceList(spec string, items ...string) string {
	text := "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\n"
	if spec != "" {
		text += "functionConfig: {apiVersion: kubetorch.com/v1, kind: Expand, metadata: {name: expand}, spec: {" + spec + "}}\n"
	}
	text += "items:\n"
	for _, item := range items {
		text += "- " + item + "\n"
	}
	return text
}

// krm runs the function on a ResourceList.
func krm(t *testing.T, text string) (list manifest.Object, report string, refused bool) {
	t.Helper()
	l, err := offline.ReadResourceList(strings.NewReader(text))
	require.NoError(t, err)
	outcomes, err := l.Expand()
	require.NoError(t, err)
	var out, errOut bytes.Buffer
	require.NoError(t, l.Write(&out))
	refused = offline.Report(&errOut, outcomes)
	raw, err := yaml.YAMLToJSONStrict(out.Bytes())
	require.NoError(t, err)
	list, err = manifest.Decode(raw)
	require.NoError(t, err)
	return list, errOut.String(), refused
}

func flow(t *testing.T, text string) manifest.Object {
	t.Helper()
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	require.NoError(t, err)
	o, err := manifest.Decode(raw)
	require.NoError(t, err)
	return o
}

const (
	krmDeployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop, labels: {kubetorch.com/autoscale: "true"}, annotations: {internal.config.kubernetes.io/path: web.yaml, internal.config.kubernetes.io/index: "1", autoscale.kubetorch.com/max-scale: "9"}},
  spec: {template: {spec: {containers: [{name: web, image: acme/web:1, ports: [{containerPort: 8080}]}]}}}}`
	krmService = `{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: api, labels: {kubetorch.com/compute: "true"}, annotations: {compute.kubetorch.com/cpus: "2", config.kubernetes.io/path: api.yaml}}, spec: {template: {spec: {containers: [{image: acme/api:1}]}}}}`
	krmOther   = `{apiVersion: acme.example/v1, kind: Toy, metadata: {name: toy, annotations: {config.kubernetes.io/index: "3"}}, spec: {size: 1.50, "on": yes-and-no, big: 9007199254740993, list: [3, {a: null}]}, extra: {x: []}}`
	krmPolicy  = `{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: platform}, spec: {bounds: {maxScale: {max: 4, enforcement: Clamp}}}}`
)

func TestAResourceListIsExpanded(t *testing.T) {
	in := resourceList("policies: ["+krmPolicy+"]", krmOther, krmDeployment, krmService) + "x-unknown: {a: [1]}\n"
	list, report, refused := krm(t, in)
	assert.False(t, refused)
	assert.Equal(t, "Warning: Deployment shop/web: max-scale 9 lowered to 4 by policy platform (bounds.maxScale.max)\n"+
		"Warning: Service default/api: max-scale (absent) lowered to 4 by policy platform (bounds.maxScale.max)\n", report)
	before := flow(t, in)
	assert.Equal(t, before["functionConfig"], list["functionConfig"])
	assert.Equal(t, before["x-unknown"], list["x-unknown"])
	items := manifest.Objects(list, "items")
	require.Len(t, items, 3)
	assert.Equal(t, manifest.Objects(before, "items")[0], items[0])
	assert.Equal(t, "serving.knative.dev/v1 Service web", manifest.Text(items[1], "apiVersion")+" "+manifest.Text(items[1], "kind")+" "+manifest.Text(items[1], "metadata", "name"))
	assert.Equal(t, "web.yaml", manifest.Text(items[1], "metadata", "annotations", "internal.config.kubernetes.io/path"))
	assert.Equal(t, "1", manifest.Text(items[1], "metadata", "annotations", "internal.config.kubernetes.io/index"))
	assert.Equal(t, "4", manifest.Text(items[1], "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale"))
	assert.Equal(t, "2", manifest.Text(manifest.Objects(items[2], "spec", "template", "spec", "containers")[0], "resources", "requests", "cpu"))
	assert.Equal(t, flow(t, `
results:
- message: max-scale 9 lowered to 4 by policy platform (bounds.maxScale.max)
  severity: warning
  resourceRef: {apiVersion: apps/v1, kind: Deployment, name: web, namespace: shop}
  file: {path: web.yaml, index: 1}
- message: max-scale (absent) lowered to 4 by policy platform (bounds.maxScale.max)
  severity: warning
  resourceRef: {apiVersion: serving.knative.dev/v1, kind: Service, name: api}
  file: {path: api.yaml}
`)["results"], list["results"])
}

func TestARefusalLeavesAllItemsAsTheyWere(t *testing.T) {
	in := resourceList("policies: ["+strings.Replace(krmPolicy, ", enforcement: Clamp", "", 1)+"]", krmService, strings.Replace(krmDeployment, "name: web, image", "tty: true, name: web, image", 1)) +
		"results: [{message: earlier, severity: info}]\n"
	list, report, refused := krm(t, in)
	assert.True(t, refused)
	assert.Contains(t, report, "Refused: Deployment shop/web (web.yaml, item 2)\n  * spec.template.spec.containers[0].tty: Forbidden:")
	before := flow(t, in)
	assert.Equal(t, before["items"], list["items"])
	const ref = `resourceRef: {apiVersion: apps/v1, kind: Deployment, name: web, namespace: shop}, file: {path: web.yaml, index: 1}`
	assert.Equal(t, flow(t, `
results:
- {message: earlier, severity: info}
- {message: "spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]: Forbidden: asks for unbounded pods (a max-scale of 0, or none, is unlimited in Knative); policy platform allows at most 4 (bounds.maxScale.max); max-scale 4 fits", severity: error,
   field: {path: "spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]"}, resourceRef: {apiVersion: serving.knative.dev/v1, kind: Service, name: api}, file: {path: api.yaml}}
- {message: "spec.template.spec.containers[0].tty: Forbidden: nothing can attach to the pods of a Knative Service; remove it", severity: error, field: {path: "spec.template.spec.containers[0].tty"}, `+ref+`}
- {message: "metadata.annotations[autoscale.kubetorch.com/max-scale]: Forbidden: asks for up to 9 pods; policy platform allows at most 4 (bounds.maxScale.max)", severity: error,
   field: {path: "metadata.annotations[autoscale.kubetorch.com/max-scale]"}, `+ref+`}
`)["results"], list["results"])
}

func TestLocalConfigConfiguresAndStays(t *testing.T) {
	local := func(item string) string {
		return strings.Replace(item, "metadata: {", `metadata: {annotations: {config.kubernetes.io/local-config: "true", config.kubernetes.io/path: local.yaml}, `, 1)
	}
	features := `{apiVersion: v1, kind: ConfigMap, metadata: {name: config-features}, data: {kubernetes.podspec-nodeselector: enabled}}`
	typed := strings.Replace(krmDeployment, "autoscale.kubetorch.com/max-scale", "compute.kubetorch.com/gpu-type", 1)
	unrelated := `{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: b}}`
	for name, c := range map[string]struct {
		spec  string
		items []string
	}{
		"of items":              {"", []string{typed, local(features), local(krmPolicy), local(unrelated)}},
		"of the functionConfig": {"policies: [" + krmPolicy + "], knativeConfig: [" + features + "]", []string{typed}},
		"of both":               {"policies: [" + krmPolicy + "]", []string{local(features), typed}},
	} {
		t.Run(name, func(t *testing.T) {
			in := resourceList(c.spec, c.items...)
			list, report, refused := krm(t, in)
			assert.False(t, refused, report)
			expanded := 0
			for i, item := range manifest.Objects(list, "items") {
				if manifest.Text(item, "kind") == "Service" {
					expanded++
					assert.Equal(t, "9", manifest.Text(item, "spec", "template", "spec", "nodeSelector", "nvidia.com/gpu.product"))
					assert.Equal(t, "4", manifest.Text(item, "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale"))
					continue
				}
				assert.Equal(t, manifest.Objects(flow(t, in), "items")[i], item)
			}
			assert.Equal(t, 1, expanded)
		})
	}
	t.Run("what is for tools is not expanded", func(t *testing.T) {
		in := resourceList("", strings.Replace(krmDeployment, "internal.config.kubernetes.io/index", `config.kubernetes.io/local-config: "true", internal.config.kubernetes.io/index`, 1))
		list, report, _ := krm(t, in)
		assert.Empty(t, report)
		assert.Equal(t, flow(t, in), list)
	})
	t.Run("the same in a cluster's own ConfigMaps has no say", func(t *testing.T) {
		_, report, refused := krm(t, resourceList("", typed, features))
		assert.True(t, refused)
		assert.Contains(t, report, "kubernetes.podspec-nodeselector disabled")
	})
}

func TestAnEmptyResourceListStaysEmpty(t *testing.T) {
	for _, text := range []string{
		"apiVersion: config.kubernetes.io/v1\nkind: ResourceList\n",
		"apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n",
		"# a comment\n---\napiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n",
	} {
		list, report, refused := krm(t, text)
		assert.False(t, refused)
		assert.Empty(t, report)
		assert.Equal(t, "ResourceList", manifest.Text(list, "kind"))
		assert.Empty(t, list["items"])
		assert.NotContains(t, list, "results")
	}
}

func TestUnusableResourceLists(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                   {"", "stdin: must hold one ResourceList of config.kubernetes.io/v1 and nothing else"},
		"another kind":              {krmOther, "stdin: must hold one ResourceList of config.kubernetes.io/v1 and nothing else"},
		"another version":           {"apiVersion: config.kubernetes.io/v1alpha1\nkind: ResourceList\n", "stdin: must hold one ResourceList of config.kubernetes.io/v1 and nothing else"},
		"two":                       {resourceList("") + "---\n" + resourceList(""), "stdin: must hold one ResourceList of config.kubernetes.io/v1 and nothing else"},
		"an item without a kind":    {resourceList("", "{a: b}"), "stdin: items[0] has no apiVersion or no kind, so it is no Kubernetes object"},
		"an item that is no object": {resourceList("", "text"), `stdin: items[0]: Invalid value: "text": must be an object`},
		"an unknown setting":        {resourceList("policy: []"), "functionConfig.spec.policy is not known; spec takes policies, knativeConfig and knativeVersion"},
		"policies that are no list": {resourceList("policies: {a: b}"), "functionConfig.spec.policies is an object, not a list of objects"},
		"a policy that is text":     {resourceList("policies: [a.yaml]"), "functionConfig.spec.policies[0] is a string, not an object"},
		"a policy of another kind":  {resourceList("policies: [" + krmOther + "]"), "functionConfig.spec.policies[0]: is a acme.example/v1 Toy; policies are ComputePolicy and GPUBudget of policy.kubetorch.com/v1alpha1"},
		"two policies of one name":  {resourceList("policies: [" + krmPolicy + ", " + krmPolicy + "]"), "functionConfig.spec.policies[1]: there is a ComputePolicy platform already"},
		"a ConfigMap as its configuration": {"apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nfunctionConfig: {apiVersion: v1, kind: ConfigMap, data: {policies: x}}\n",
			"functionConfig.data is not read; put policies and knativeConfig under spec, of any kind but ConfigMap"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := offline.ReadResourceList(strings.NewReader(c.text))
			if err == nil {
				_, err = l.Expand()
			}
			assert.EqualError(t, err, c.want)
		})
	}
}

// TestClaimsForDevicesAreCountedInAResourceList: by templates and classes among the items, and by a policy for the
// function.
func TestClaimsForDevicesAreCountedInAResourceList(t *testing.T) {
	const (
		budget   = `policies: [{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: b}, spec: {max: 8, gpuTypes: [NVIDIA-L4]}}]`
		template = `{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: gpus, namespace: ml}, spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: l4s, count: 3}}]}}}}`
		class    = `{apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: l4s}, spec: {selectors: [{cel: {expression: "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA L4'"}}]}}`
		listed   = `{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: p, annotations: {config.kubernetes.io/local-config: "true"}}, spec: {gpuDeviceClasses: [l4s]}}`
		job      = `{apiVersion: batch/v1, kind: Job, metadata: {name: train, namespace: ml}, spec: {parallelism: 3, template: {spec: {resourceClaims: [{name: g, resourceClaimTemplateName: gpus}], containers: [{name: c, image: i, resources: {claims: [{name: g}]}}]}}}}`
	)
	for name, test := range map[string]struct {
		items   []string
		refused string
		warned  string
	}{
		"more than the budget has":   {items: []string{template, class, listed, job}, refused: "asks for 9 GPUs (3 x 3 pods); 8 of 8 are free in budget b"},
		"what fits":                  {items: []string{template, class, listed, strings.Replace(job, "parallelism: 3", "parallelism: 2", 1)}, warned: "claims 6 GPUs (3 x 2 pods) of budget b; 2 of 8 are left"},
		"of another type":            {items: []string{template, strings.Replace(class, "NVIDIA L4", "NVIDIA H200", 1), listed, job}},
		"a class that nobody lists":  {items: []string{template, class, job}, refused: "devices of DeviceClass l4s, which no policy lists, cannot be counted as GPUs"},
		"a template that is missing": {items: []string{class, listed, job}, warned: "ResourceClaimTemplate gpus is not in the input; each claim of it is counted as one GPU"},
	} {
		t.Run(name, func(t *testing.T) {
			_, report, refused := krm(t, resourceList(budget, test.items...))
			assert.Equal(t, test.refused != "", refused, report)
			assert.Contains(t, report, test.refused)
			assert.Contains(t, report, test.warned)
		})
	}
}
