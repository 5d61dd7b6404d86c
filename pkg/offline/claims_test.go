package offline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/knative"
)

// TestTheExamplesOfClaimsFitTheirBudget as docs/device-claims.md says.
func TestTheExamplesOfClaimsFitTheirBudget(t *testing.T) {
	docs, err := ReadDocuments([]string{"../../examples/claims/templates.yaml", "../../examples/claims/workloads.yaml"}, nil)
	require.NoError(t, err)
	in, err := Load([]string{"../../examples/claims/budget.yaml"}, nil, nil)
	require.NoError(t, err)
	claims, types := map[string]int64{}, map[string]string{}
	for _, o := range Expand(docs, in) {
		assert.False(t, o.Verdict.Refused(), "%s: %s", o.Title, o.Verdict.Reasons())
		if o.Concerned {
			claims[o.Title], types[o.Title] = o.Verdict.Demand.Claim, o.Verdict.Demand.GPUType
		}
	}
	assert.Equal(t, map[string]int64{"Deployment ml/chat": 2, "Job ml/evaluate": 4, "Job ml/batch": 4, "ResourceClaim ml/shared-gpu": 1, "StatefulSet ml/notebooks": 0}, claims)
	assert.Equal(t, "NVIDIA-H100-80GB-HBM3", types["Deployment ml/chat"])
}

// TestResourceClaimTemplatesOfTheInputDecideWhatPodsHold of every kind of documents, and say in a warning
// what had to be assumed.
func TestResourceClaimTemplatesOfTheInputDecideWhatPodsHold(t *testing.T) {
	const (
		bounds   = "apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: house}\nspec: {bounds: {gpusPerWorkload: {max: 8}}}\n"
		budget   = "apiVersion: policy.kubetorch.com/v1alpha1\nkind: GPUBudget\nmetadata: {name: b}\nspec: {max: 8}\n"
		template = "apiVersion: resource.k8s.io/v1\nkind: ResourceClaimTemplate\nmetadata: {name: gpus}\nspec: {spec: {devices: {requests: [{name: g, exactly: {deviceClassName: house.example, count: 3}}]}}}\n"
		class    = "apiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata: {name: house.example}\nspec: {selectors: [{cel: {expression: 'device.attributes[\"gpu.nvidia.com\"].productName == \"NVIDIA L4\"'}}]}\n"
		listed   = "apiVersion: policy.kubetorch.com/v1alpha1\nkind: ComputePolicy\nmetadata: {name: lists}\nspec: {gpuDeviceClasses: [house.example]}\n"
		pods     = "{resourceClaims: [{name: a, resourceClaimTemplateName: gpus}], containers: [{name: c, image: a}]}"
	)
	workloads := map[string]string{
		"Deployment":  "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: 3, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: " + pods + "}}\n",
		"StatefulSet": "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: x}\nspec: {replicas: 3, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: " + pods + "}}\n",
		"Job":         "apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {parallelism: 3, template: {spec: " + pods + "}}\n",
		"JobSet":      "apiVersion: jobset.x-k8s.io/v1alpha2\nkind: JobSet\nmetadata: {name: x}\nspec: {replicatedJobs: [{name: a, replicas: 3, template: {spec: {template: {spec: " + pods + "}}}}]}\n",
	}
	parse := func(text string) []Document {
		docs, err := Parse("test", []byte(text))
		require.NoError(t, err)
		return docs
	}
	expand := func(policies, input string) (o Preview) {
		in, err := compile(parse(policies), nil)
		require.NoError(t, err)
		in.Knative = knative.Default()
		for _, o = range Expand(parse(input), in) {
			if o.Concerned {
				return o
			}
		}
		return o
	}
	for kind, text := range workloads {
		t.Run(kind, func(t *testing.T) {
			for where, o := range map[string]Preview{
				"among the manifests": expand(bounds+"---\n"+listed, text+"---\n"+template+"---\n"+class),
				"beside the policies": expand(bounds+"---\n"+listed+"---\n"+template+"---\n"+class, text),
			} {
				assert.EqualValues(t, 9, o.Verdict.Demand.Claim, where)
				assert.Equal(t, []string{"NVIDIA-L4"}, o.Verdict.Demand.GPUTypes(), where)
				require.Len(t, o.Verdict.Denied, 1, where)
				assert.Contains(t, o.Verdict.Denied[0].Error.Detail, "asks for 9 GPUs (3 x 3 pods)", where)
			}
			o := expand(budget+"---\n"+listed, text+"---\n"+template)
			require.Len(t, o.Verdict.Denied, 1)
			assert.Contains(t, o.Verdict.Denied[0].Error.Detail, "asks for 9 GPUs (3 x 3 pods); 8 of 8 are free in budget b")

			o = expand(budget+"---\n"+bounds, text)
			assert.False(t, o.Verdict.Refused(), o.Verdict.Reasons())
			assert.EqualValues(t, 3, o.Verdict.Demand.Claim)
			assert.Contains(t, o.Verdict.Warnings[0], "resourceClaims[0].resourceClaimTemplateName: ResourceClaimTemplate gpus is not in the input; each claim of it is counted as one GPU")
		})
	}
}
