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
	c.notes.Recreate = manifest.Text(c.spec, "strategy", "type") == "Recreate"
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
