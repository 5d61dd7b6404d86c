package convert

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Notes are what a conversion has to say beside its result.
type Notes struct {
	// Warnings name what is stated and has no effect.
	Warnings []string

	moved []move
}

// move says that what stands at a path of the Knative Service came from another path of
// the Deployment.
type move struct{ service, deployment string }

func (n *Notes) move(service, deployment *field.Path) {
	if from, to := service.String(), deployment.String(); from != to {
		n.moved = append(n.moved, move{from, to})
	}
}

// Path is the place in the Deployment of what stands at a path of the Knative Service.
func (n *Notes) Path(service string) string {
	best := move{}
	for _, m := range n.moved {
		if len(m.service) > len(best.service) && within(service, m.service) {
			best = m
		}
	}
	return best.deployment + strings.TrimPrefix(service, best.service)
}

// within tells whether a path is another one or lies below it.
func within(path, above string) bool {
	rest, ok := strings.CutPrefix(path, above)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Relate words errors about the Knative Service in terms of the Deployment.
func (n *Notes) Relate(errs field.ErrorList) field.ErrorList {
	related := make(field.ErrorList, len(errs))
	for i, e := range errs {
		related[i] = n.relate(e)
	}
	return related
}

func (n *Notes) relate(e *field.Error) *field.Error {
	copied := *e
	copied.Field = n.Path(e.Field)
	for _, m := range n.moved {
		copied.Detail = strings.ReplaceAll(copied.Detail, m.service+":", m.deployment+":")
	}
	return &copied
}
