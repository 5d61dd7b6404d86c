package workload

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// ownJobs is the value of spec.managedBy that means the job controller of Kubernetes.
const ownJobs = "kubernetes.io/job-controller"

// JobUsage measures a Job: as many pods as run side by side and have still to complete.
func JobUsage(job manifest.Object, gpus GPUResources) Usage {
	return fixedUsage(job, templateSpec, jobPeak(job), field.NewPath(parallelismAt[0], parallelismAt[1:]...), gpus)
}

func jobPeak(job manifest.Object) int64 {
	if managed := manifest.At(job, "spec", "managedBy"); managed != nil && managed != ownJobs {
		return 0
	}
	if suspended, _ := manifest.At(job, "spec", "suspend").(bool); suspended || deleting(job) || finished(job) {
		return 0
	}
	parallelism := count(job, 1, parallelismAt...)
	if manifest.At(job, "spec", "completions") == nil {
		return parallelism
	}
	completions, succeeded := count(job, 1, "spec", "completions"), int64(0)
	if n, ok := manifest.Whole(job, "status", "succeeded"); ok && n > 0 {
		succeeded = n
	}
	return min(parallelism, max(0, completions-succeeded))
}

// Over tells whether an object makes no pods any more, nor has one that runs: a Pod or a Job that has
// ended. Pods of such a Job that terminate still are looked at by themselves.
func Over(o manifest.Object) bool {
	switch KindOf(o) {
	case PodKind:
		return Ended(o)
	case JobKind:
		return finished(o)
	}
	return false
}

// finished tells whether the controller of a Job makes no pods for it any more.
func finished(job manifest.Object) bool {
	for _, condition := range manifest.Objects(job, "status", "conditions") {
		switch manifest.Text(condition, "type") {
		case "Complete", "Failed", "SuccessCriteriaMet", "FailureTarget":
			if manifest.Text(condition, "status") == "True" {
				return true
			}
		}
	}
	return false
}
