package convert

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// env makes the variables of a container what Knative takes: each stated once, since the
// list is a map in its CRD, and without PORT, which Knative sets to the serving port.
func (c *conversion) env(container manifest.Object, serving bool, at *field.Path) {
	variables := manifest.Objects(container, "env")
	at = at.Child("env")
	last := map[string]int{}
	for i, v := range variables {
		last[manifest.Text(v, "name")] = i
	}
	var kept []any
	for i, v := range variables {
		name := manifest.Text(v, "name")
		switch {
		case last[name] != i:
			c.refuse(at.Index(i).Child("name"), name, "is stated again at %s, which is the one that counts; state it once", at.Index(last[name]))
		case serving && name == "PORT":
			c.portVariable(v, variables, at, i)
		default:
			c.notes.move(at.Index(len(kept)), at.Index(i))
			kept = append(kept, v)
		}
	}
	delete(container, "env")
	if len(kept) > 0 {
		container["env"] = kept
	}
}

// portVariable refuses PORT unless it says what Knative will say.
func (c *conversion) portVariable(variable manifest.Object, all []manifest.Object, at *field.Path, i int) {
	serving := strconv.FormatInt(c.port.orDefault(), 10)
	value, path := manifest.Text(variable, "value"), at.Index(i)
	switch {
	case variable["valueFrom"] != nil:
		c.forbid(path, "Knative sets PORT to the port that serves requests, "+serving+"; remove it")
	case value == serving:
		for j, other := range all {
			if strings.Contains(manifest.Text(other, "value"), "$(PORT)") {
				c.refuse(at.Index(j).Child("value"), manifest.Text(other, "value"), "Knative sets PORT after all other variables, so they cannot refer to it; write %s", serving)
			}
		}
	case c.port.number == 0:
		c.refuse(path, value, "Knative sets PORT to the port that serves requests; state containerPort: %s and remove it", value)
	default:
		c.refuse(path, value, "Knative sets PORT to the port that serves requests, %s; remove it, or have the container read another variable", serving)
	}
}
