package convert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// stated is a TCP port that a container states.
type stated struct {
	port
	name string
	path *field.Path
}

func (s stated) String() string {
	return strings.TrimSpace(s.name + " " + strconv.FormatInt(s.number, 10))
}

// statedPorts are the TCP ports of the containers, in order; the rules for ports are applied
// to each. other is the path of the first port of another protocol.
func (c *conversion) statedPorts(containers []manifest.Object, at *field.Path) (ports []stated, other *field.Path) {
	rules := c.portLevel()
	for i, container := range containers {
		for j, p := range manifest.Objects(container, "ports") {
			path := at.Index(i).Child("ports").Index(j)
			c.apply(rules, p, path)
			number, _ := manifest.Whole(p, "containerPort")
			if protocol := manifest.Text(p, "protocol"); protocol != "" && protocol != "TCP" {
				if other == nil {
					other = path
				}
				c.warn("%s (%s %d) is left out: Knative sends HTTP requests over TCP and nothing else", path, protocol, number)
				continue
			}
			ports = append(ports, stated{port{container: i, number: number}, manifest.Text(p, "name"), path})
		}
	}
	return ports, other
}

// choice is the port that serves requests, as one rule finds it; nil where the rule does not
// decide.
type choice func(ports []stated, containers []manifest.Object) *stated

// choosePort is the port that serves requests: the one that the parameter names, else the
// first that a rule decides on. It is nil where none does.
func (c *conversion) choosePort(ports []stated, containers []manifest.Object) (found *stated, refused bool) {
	if found, refused = c.portParameter(ports, containers); found != nil || refused {
		return found, refused
	}
	for _, rule := range []choice{onlyPort, namedForServing, c.targetOfService, portOfVariable} {
		if found := rule(ports, containers); found != nil {
			return found, false
		}
	}
	return nil, false
}

// portParameter is the port that the parameter names, by number or name.
func (c *conversion) portParameter(ports []stated, containers []manifest.Object) (found *stated, refused bool) {
	text, path := c.parameter(parameter.Port)
	if text == "" {
		return nil, false
	}
	number, isNumber := parameter.ParsePort(text)
	var matching []stated
	for _, p := range ports {
		if (isNumber && p.number == number) || (!isNumber && p.name == text) {
			matching = append(matching, p)
		}
	}
	switch {
	case len(matching) == 1:
		return &matching[0], false
	case len(matching) > 1:
		c.refuse(path, text, "is a port of several containers: %s; keep it on the one that serves requests", list(matching))
		return nil, true
	case !isNumber:
		c.refuse(path, text, "no container has a port of this name; there are: %s", list(ports))
		return nil, true
	}
	container := statingContainer(ports, containers)
	if container < 0 {
		c.refuse(path, text, "no container states this port, so it is not clear which one serves requests; state containerPort: %d there", number)
		return nil, true
	}
	return &stated{port: port{container: container, number: number}, path: path}, false
}

// parameter is what the Deployment states for a parameter that this package reads, and
// where; empty for nothing, and for what is refused with all other parameters.
func (c *conversion) parameter(p *parameter.Parameter) (string, *field.Path) {
	for _, kind := range []string{"labels", "annotations"} {
		if text, ok := manifest.Texts(c.deployment, "metadata", kind)[p.Key()]; ok && p.Type.Check(text) == nil {
			return text, metadataPath.Child(kind).Key(p.Key())
		}
	}
	return "", nil
}

// statingContainer is the container that serves requests on a port which it does not state:
// the only one, else the only one that states ports; -1 for none.
func statingContainer(ports []stated, containers []manifest.Object) int {
	if len(containers) == 1 {
		return 0
	}
	found := -1
	for _, p := range ports {
		if found >= 0 && p.container != found {
			return -1
		}
		found = p.container
	}
	return found
}

func list(ports []stated) string {
	if len(ports) == 0 {
		return "none"
	}
	texts := make([]string, len(ports))
	for i, p := range ports {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}

// only is the one port among some; nil where there is none, or another one beside it. A
// port that is stated twice is one.
func only(ports []stated) *stated {
	if len(ports) == 0 || slices.ContainsFunc(ports, func(p stated) bool { return p.port != ports[0].port }) {
		return nil
	}
	return &ports[0]
}

func onlyPort(ports []stated, _ []manifest.Object) *stated { return only(ports) }

// namedForServing is the only port whose name says that it serves requests.
func namedForServing(ports []stated, _ []manifest.Object) *stated {
	return only(slices.DeleteFunc(slices.Clone(ports), func(p stated) bool { return !servingName(p.name) }))
}

// management are the names behind http- of ports that serve no requests of users.
var management = []string{"metrics", "prom", "admin", "health", "management", "mgmt", "monitor", "probe", "debug", "stats", "envoy-prom", "actuator"}

func servingName(name string) bool {
	prefix, rest, _ := strings.Cut(name, "-")
	if strings.HasPrefix(name, "grpc") {
		return true
	}
	if protocols[prefix] == "" || (rest != "" && (prefix == "http1" || prefix == http2)) {
		return false
	}
	return !slices.ContainsFunc(management, func(of string) bool { return strings.HasPrefix(rest, of) })
}

// targetOfService is the port that core Services send the requests of port 80 or http to,
// else those of port 443.
func (c *conversion) targetOfService(ports []stated, containers []manifest.Object) *stated {
	labels := manifest.Texts(c.spec, "template", "metadata", "labels")
	var plain, secure []stated
	for _, s := range c.around.Services {
		if !Selects(s, labels) {
			continue
		}
		for _, p := range manifest.Objects(s, "spec", "ports") {
			number, _ := manifest.Whole(p, "port")
			switch target := targetPort(p, ports, containers); {
			case target == nil:
			case number == 80 || manifest.Text(p, "name") == "http":
				plain = append(plain, *target)
			case number == 443:
				secure = append(secure, *target)
			}
		}
	}
	if len(plain) > 0 {
		return only(plain)
	}
	return only(secure)
}

// Selects tells whether a core Service selects pods with some labels.
func Selects(service manifest.Object, labels map[string]string) bool {
	selector := manifest.Texts(service, "spec", "selector")
	for key, value := range selector {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return len(selector) > 0
}

// targetPort is the port of the pod that a port of a core Service sends to; nil where no
// container can be told to have it.
func targetPort(p manifest.Object, ports []stated, containers []manifest.Object) *stated {
	number, isNumber := manifest.Whole(p, "targetPort")
	name := manifest.Text(p, "targetPort")
	if n, ok := parameter.ParsePort(name); ok {
		number, isNumber = n, true
	}
	if !isNumber && name == "" {
		number, isNumber = manifest.Whole(p, "port")
	}
	for i := range ports {
		if (isNumber && ports[i].number == number) || (!isNumber && ports[i].name == name) {
			return &ports[i]
		}
	}
	if container := statingContainer(ports, containers); isNumber && container >= 0 {
		return &stated{port: port{container: container, number: number}}
	}
	return nil
}

// portOfVariable is the only port that a container is told of by the variable PORT: where
// ports are stated, one of them.
func portOfVariable(ports []stated, containers []manifest.Object) *stated {
	var found []stated
	for i, container := range containers {
		for j, v := range manifest.Objects(container, "env") {
			number, ok := parameter.ParsePort(manifest.Text(v, "value"))
			if manifest.Text(v, "name") != portVariable || !ok || parameter.Port.Type.Check(manifest.Text(v, "value")) != nil {
				continue
			}
			told := stated{port: port{container: i, number: number}, path: podPath.Child("containers").Index(i).Child("env").Index(j)}
			at := slices.IndexFunc(ports, func(p stated) bool { return p.port == told.port })
			switch {
			case at >= 0:
				found = append(found, ports[at])
			case len(ports) == 0:
				found = append(found, told)
			}
		}
	}
	return only(found)
}

// reserved are the ports that Knative's queue proxy listens on in every pod.
var reserved = map[int64]bool{8008: true, 8012: true, 8013: true, 8022: true, 8112: true, 9090: true, 9091: true}

// leaveOut says of each port but the serving one that it is dropped.
func (c *conversion) leaveOut(ports []stated, serving port) {
	said := map[port]bool{serving: true}
	for _, p := range ports {
		if said[p.port] {
			continue
		}
		said[p.port] = true
		detail := fmt.Sprintf("requests go to port %d alone; what the container listens on besides is reached at the pod's own address", serving.number)
		if reserved[p.number] {
			detail = fmt.Sprintf("requests go to port %d alone, and Knative's queue proxy listens on %d in every pod, so that the container must not", serving.number, p.number)
		}
		c.warn("%s (%s) is left out: %s", p.path, p, detail)
	}
}
