package convert

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// deploymentLevel is the spec of a Deployment beside its template.
var deploymentLevel = level{
	"template": {drop: true}, // converted by the levels below
	"selector": {drop: true}, // Knative selects the pods of a revision by labels of its own
	"replicas": {unset: is(int64(0), int64(1)),
		ignore: "the autoscaler decides how many pods run; state " + parameter.MinScale.Key() + " and " + parameter.InitialScale.Key() + " instead"},
	"minReadySeconds":         {ignore: "a revision takes requests as soon as its pods are ready; let the readiness probe say so later"},
	"revisionHistoryLimit":    {unset: is(int64(10)), ignore: "Knative keeps superseded revisions as the cluster's ConfigMap config-gc says"},
	"paused":                  {refuse: "a Knative Service cannot be paused; remove it, or keep the label off until the rollout may go on"},
	"progressDeadlineSeconds": {drop: true}, // becomes an annotation of the template
	"strategy":                {within: strategyLevel},
}

const rollout = "Knative starts a new revision beside the old one and moves requests over once it is ready"

var strategyLevel = level{
	"type": {drop: true}, // see strategy
	"rollingUpdate": {within: level{
		"maxSurge":       {unset: is("25%"), ignore: rollout},
		"maxUnavailable": {unset: is("25%"), ignore: rollout},
	}},
}

// deploymentFields judges what a Deployment states beside its pods.
func (c *conversion) deploymentFields() {
	spec := field.NewPath("spec")
	c.apply(deploymentLevel, c.spec, spec)
	if manifest.Text(c.spec, "strategy", "type") == "Recreate" {
		c.warn("%s Recreate has no effect: %s, so that a rollout needs the resources of both, and a volume that one node at a time can mount holds it up",
			spec.Child("strategy", "type"), "Knative starts the pods of a new version beside those of the old one")
	}
	c.progressDeadline(spec.Child("progressDeadlineSeconds"))
}

// defaultProgressDeadline is what the API server fills in.
const defaultProgressDeadline = 600

// progressDeadline hands a deadline on as the annotation that Knative reads, unless it is
// the API server's own.
func (c *conversion) progressDeadline(path *field.Path) {
	seconds, ok := manifest.Whole(c.spec, "progressDeadlineSeconds")
	if !ok || seconds == defaultProgressDeadline {
		return
	}
	text := fmt.Sprintf("%ds", seconds)
	key := templatePath.Child("metadata", "annotations").Key(knative.ProgressDeadlineKey)
	if stated, ok := c.templateAnnotations[knative.ProgressDeadlineKey].(string); ok {
		if !parameter.ProgressDeadline.Type.Same(stated, text) {
			c.refuse(path, seconds, "differs from %s: %s; state it once", key, stated)
		}
		return
	}
	c.templateAnnotations[knative.ProgressDeadlineKey] = text
	c.notes.move(key, path)
}

// defaultGracePeriod is what the API server fills in.
const defaultGracePeriod = 30

// gracePeriod makes the time that the pods have to stop the time that a request may take:
// Knative knows no other. A longer one than the cluster's default raises that of the
// revision, up to what the cluster allows.
func (c *conversion) gracePeriod(pod manifest.Object) {
	seconds, ok := manifest.Whole(pod, "terminationGracePeriodSeconds")
	if !ok || seconds == defaultGracePeriod {
		return
	}
	path := podPath.Child("terminationGracePeriodSeconds")
	const same = "Knative gives a pod as long to stop as a request may take"
	timeout, longest := c.around.Knative.RevisionTimeout(), c.around.Knative.MaxRevisionTimeout()
	switch {
	case seconds <= timeout:
		c.warn("%s %d is left out: %s, %d seconds", path, seconds, same, timeout)
		return
	case seconds <= longest:
		c.warn("%s %d becomes timeoutSeconds: %s", path, seconds, same)
	default:
		c.warn("%s %d becomes timeoutSeconds, lowered to %d: %s, and the cluster allows no more (max-revision-timeout-seconds of %s)", path, seconds, longest, same, knative.DefaultsConfig)
		seconds = longest
	}
	if seconds > timeout {
		c.out["timeoutSeconds"] = seconds
		c.notes.move(podPath.Child("timeoutSeconds"), path)
	}
}
