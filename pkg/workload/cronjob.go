package workload

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// CronJobUsage measures one Job of a CronJob, for bounds: each Job is charged when it is made.
func CronJobUsage(cronJob manifest.Object, gpus GPUResources) Usage {
	job := manifest.Object{"spec": manifest.At(cronJob, "spec", "jobTemplate", "spec")}
	return fixedUsage(cronJob, []string{"spec", "jobTemplate", "spec", "template", "spec"}, jobPeak(job),
		field.NewPath(cronJobParallelismAt[0], cronJobParallelismAt[1:]...), gpus).boundsOnly()
}
