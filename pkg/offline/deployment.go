package offline

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
	"github.com/kubetorch/webhook/pkg/workload"
)

var (
	serviceKind    = workload.ServiceKind
	deploymentKind = workload.DeploymentKind
	coreService    = workload.CoreServiceKind
)

// names are the objects of the input that can be in the way of a Knative Service: core
// Services and Knative Services, by namespace/name, with what they are for people.
type names map[string]string

func namesIn(docs []Document) names {
	taken := names{}
	for _, d := range docs {
		key := namespaceOf(d.Object) + "/" + manifest.Text(d.Object, "metadata", "name")
		switch groupKind(d.Object) {
		case coreService:
			taken[key] = "the core Service " + key
		case serviceKind:
			taken[key] = "the Knative Service " + key
		}
	}
	return taken
}

func namespaceOf(o manifest.Object) string {
	if namespace := manifest.Text(o, "metadata", "namespace"); namespace != "" {
		return namespace
	}
	return corev1.NamespaceDefault
}

// isDeployment tells whether an object is a Deployment that may be a workload, not one that
// Knative made.
func isDeployment(o manifest.Object) bool {
	return workload.States(o, deploymentKind) && !madeByKnative(o)
}

// madeByKnative tells whether an object is the Deployment of a Revision, which has all the
// labels of the template.
func madeByKnative(o manifest.Object) bool {
	_, _, made := convert.RevisionOwner(o)
	return made && groupKind(o) == deploymentKind
}

// deployment admits a Deployment. One that is labelled for autoscaling is replaced by its
// Knative Service, unless there is no Knative.
func (o *Preview) deployment(w review.World, taken names, noKnative bool) {
	namespace := namespaceOf(o.Object)
	r := request(o.Object, w)
	if !expand.ReadIntent(o.Object).Expands() || noKnative {
		o.Verdict = r.AdmitFixed(w)
		return
	}
	c, _ := r.Convert(context.Background(), w, nil) // documents can always be read
	o.Verdict = c.Verdict
	if c.Service == nil {
		return
	}
	name := manifest.Text(c.Service, "metadata", "name")
	key := namespace + "/" + name
	if by := taken[key]; by != "" {
		o.Verdict.Errors = append(o.Verdict.Errors, c.Notes.NameTaken(name, by))
	}
	taken[key] = fmt.Sprintf("the Knative Service %s of Deployment %s", key, manifest.Text(o.Object, "metadata", "name"))
	if !o.Verdict.Refused() {
		clear(o.Object)
		maps.Copy(o.Object, c.Service)
		o.Replaced = true
	}
}
