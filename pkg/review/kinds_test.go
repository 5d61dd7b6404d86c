package review_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

func TestTheLabelOnWhatCannotBeAutoscaled(t *testing.T) {
	job := func(metadata string) string {
		return `{apiVersion: batch/v1, kind: Job, metadata: {name: train, ` + metadata + `}}`
	}
	const says = `job.batch "train" is invalid: metadata.labels[kubetorch.com/autoscale]: Invalid value: "true": a Job.batch cannot be expanded: ` +
		"autoscaling and distributed computing are mutually exclusive; remove the label, or serve requests with a Deployment or a Knative Service"
	for name, test := range map[string]struct{ object, old, says string }{
		"a new one":                        {job(on), "", says},
		"an update that adds it":           {job(on), job("labels: {a: b}"), says},
		"an update that changes it":        {job(on), job(`labels: {kubetorch.com/autoscale: "false"}`), says},
		"an update of one that had it":     {job(on + ", annotations: {a: b}"), job(on), ""},
		"an opt-out":                       {job(`labels: {kubetorch.com/autoscale: "false"}`), "", ""},
		"no label":                         {job(`labels: {a: b}`), "", ""},
		"a copy that a controller has put": {job(on + `, ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: c, uid: c, controller: true}]`), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			raw := request(test.object, test.old)
			raw.Name, raw.Kind = "train", metav1.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}
			read, answer := review.Read(raw)
			if answer == nil {
				answer = validate(read, review.World{})
			}
			assert.Equal(t, test.says == "", answer.Allowed)
			if test.says != "" {
				assert.Equal(t, test.says, answer.Result.Message)
				assert.EqualValues(t, 422, answer.Result.Code)
			}
		})
	}
}

// nobody has no objects.
type nobody struct{}

func (nobody) Get(context.Context, schema.GroupKind, string, string) (manifest.Object, error) {
	return nil, nil
}

func (nobody) List(context.Context, schema.GroupKind, string, labels.Selector) ([]manifest.Object, error) {
	return nil, nil
}

// TestPoliciesAskAboutNoNamespace: the first budget of a cluster, where nothing bounds GPUs yet,
// must not depend on the labels of a namespace without a name, which nobody can read.
func TestPoliciesAskAboutNoNamespace(t *testing.T) {
	for name, test := range map[string]struct{ kind, object string }{
		"a budget": {"GPUBudget", `{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: all}, spec: {max: 8}}`},
		"a policy": {"ComputePolicy", `{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: all}, spec: {priority: 1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			raw := request(test.object, "")
			raw.Namespace, raw.Name, raw.Kind = "", "all", metav1.GroupVersionKind{Group: "policy.kubetorch.com", Version: "v1alpha1", Kind: test.kind}
			var asked []string
			w := review.World{Policies: policy.Compile(nil), Knative: knative.Default(), Reader: nobody{},
				NamespaceLabels: func(name string) (map[string]string, bool) {
					asked = append(asked, name)
					return nil, false
				}}
			read, answer := review.Read(raw)
			require.Nil(t, answer)
			require.NoError(t, read.Resolve(t.Context(), w))
			assert.True(t, validate(read, w).Allowed)
			assert.Empty(t, asked)
		})
	}
}
