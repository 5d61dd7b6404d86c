// What pods ask for is lowered to a bound where a container is no object.

package expand_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// misshapenPods are pod specs with a container that cannot be lowered, and why a labelled one is refused.
var misshapenPods = map[string]struct{ pod, why string }{
	"a list":                   {`{containers: [[]]}`, `containers[0]: Invalid value: "a list": must be an object`},
	"a list with an object":    {`{containers: [[{image: "nginx:1"}]]}`, `containers[0]: Invalid value: "a list": must be an object`},
	"text":                     {`{containers: ["nginx:1"]}`, `containers[0]: Invalid value: "nginx:1": must be an object`},
	"a number":                 {`{containers: [1]}`, `containers[0]: Invalid value: 1: must be an object`},
	"resources are a list":     {`{containers: [{image: "nginx:1", resources: []}]}`, `containers[0].resources: Invalid value: "a list": must be an object`},
	"requests are a list":      {`{containers: [{image: "nginx:1", resources: {requests: []}}]}`, `containers[0].resources.requests: Invalid value: "a list": must be an object`},
	"limits are text":          {`{containers: [{image: "nginx:1", resources: {limits: none}}]}`, `containers[0].resources.limits: Invalid value: "none": must be an object`},
	"containers are an object": {`{containers: {image: "nginx:1"}}`, `containers: Invalid value: "an object": must be a list`},
	"a second one is a list":   {`{containers: [{image: "nginx:1", ports: [{containerPort: 8080}]}, []]}`, `containers[1]: Invalid value: "a list": must be an object`},
}

func TestAMisshapenContainerIsNamed(t *testing.T) {
	at := inCluster().under(clamping, `{metadata: {name: large}, spec: {defaults: {compute: {cpus: 16, memory: 64Gi}}}}`)
	rows := map[string]row{}
	for name, test := range misshapenPods {
		rows[name] = row{in: autoscaled().pod(test.pod), at: at, refused: []string{"spec.template.spec." + test.why}}
	}
	runRows(t, rows)
}

// Without a label its shape is Knative's to refuse: nothing is written into it, and the default that it would
// get is judged as it is.
func TestAMisshapenContainerIsNotLowered(t *testing.T) {
	at := inCluster("defaults", "revision-cpu-request", "16").under(clamping)
	const beyond = "spec.template.spec.containers: Forbidden: asks for %d CPUs per pod; policy clamp allows at most 4 (bounds.cpusPerPod.max)"
	for name, test := range misshapenPods {
		t.Run(name, func(t *testing.T) {
			out := at.create(t, plain().pod(test.pod).object)
			want := []string{fmt.Sprintf(beyond, 16)}
			switch name {
			case "containers are an object": // none of them gets a default
				want = nil
			case "a second one is a list":
				want = []string{fmt.Sprintf(beyond, 2*16)}
			}
			assert.Equal(t, want, out.refused)
		})
	}
	lowered := at.create(t, plain().pod(`{containers: [{image: "nginx:1"}]}`).object)
	assert.Empty(t, lowered.refused, "a container is lowered")
}
