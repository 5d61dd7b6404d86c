package review_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
				answer = read.Validate(review.World{})
			}
			assert.Equal(t, test.says == "", answer.Allowed)
			if test.says != "" {
				assert.Equal(t, test.says, answer.Result.Message)
				assert.EqualValues(t, 422, answer.Result.Code)
			}
		})
	}
}
