package convert

import (
	"maps"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
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
	told := false // whether PORT was stated before
	for i, v := range variables {
		name := manifest.Text(v, "name")
		switch {
		case last[name] != i:
			c.refuse(at.Index(i).Child("name"), name, "is stated again at %s, which is the one that counts; state it once", at.Index(last[name]))
		case serving && name == portVariable:
			c.dropPort(v, at.Index(i))
			told = true
		default:
			if told {
				v = c.withPort(v)
			}
			c.notes.move(at.Index(len(kept)), at.Index(i))
			kept = append(kept, v)
		}
	}
	delete(container, "env")
	if len(kept) > 0 {
		container["env"] = kept
	}
}

// portVariable is the variable that Knative sets to the serving port.
const portVariable = "PORT"

// dropPort leaves PORT out where it says what Knative will say, and refuses it otherwise.
func (c *conversion) dropPort(variable manifest.Object, at *field.Path) {
	serving := strconv.FormatInt(c.port.orDefault(), 10)
	switch value := manifest.Text(variable, "value"); {
	case variable["valueFrom"] != nil:
		c.forbid(at, "Knative sets PORT to the port that serves requests, "+serving+"; remove it")
	case value != serving && parameter.Port.Type.Check(value) == nil:
		c.refuse(at, value, "Knative sets PORT to the port that serves requests, %s; remove it, or set %s to %q if the container listens there", serving, parameter.Port.Key(), value)
	case value != serving:
		c.refuse(at, value, "Knative sets PORT to the port that serves requests, %s; remove it, or have the container read another variable", serving)
	}
}

// withPort writes the serving port for references to PORT in a variable behind it: Knative
// sets PORT after all other variables, and then they could not refer to it.
func (c *conversion) withPort(variable manifest.Object) manifest.Object {
	value := manifest.Text(variable, "value")
	if !strings.Contains(value, "$(PORT)") {
		return variable
	}
	// "$$" stands for one "$", and what follows it is text.
	parts := strings.Split(value, "$$")
	for i, part := range parts {
		parts[i] = strings.ReplaceAll(part, "$(PORT)", strconv.FormatInt(c.port.orDefault(), 10))
	}
	replaced := maps.Clone(variable)
	replaced["value"] = strings.Join(parts, "$$")
	return replaced
}
