package convert

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
)

// port is the one that requests go to.
type port struct {
	container int
	// number of the port; 0 where none is stated and Knative uses defaultPort.
	number int64
}

// defaultPort is where Knative sends requests to a container that states no port.
const defaultPort = 8080

func (p port) orDefault() int64 {
	if p.number == 0 {
		return defaultPort
	}
	return p.number
}

// portLevel is a port of a container. In a pod on the host's network, older API servers
// fill in hostPort.
func (c *conversion) portLevel() level {
	hostNetwork, _ := manifest.At(c.spec, "template", "spec", "hostNetwork").(bool)
	return level{
		"name":          {},
		"containerPort": {},
		"protocol":      {}, // see statedPorts
		"hostPort": {unset: func(p manifest.Object, v any) bool { return hostNetwork && v == p["containerPort"] },
			refuse: "a Knative Service cannot use ports of its node; remove it"},
		"hostIP": {refuse: "a Knative Service cannot use ports of its node; remove it"},
	}
}

// servingPort finds the one port that requests go to. Knative takes no other one.
func (c *conversion) servingPort(containers []manifest.Object) {
	at := podPath.Child("containers")
	c.port = port{container: -1}
	if len(containers) == 1 {
		c.port.container = 0
	}
	ports, other := c.statedPorts(containers, at)
	chosen, refused := c.choosePort(ports, containers)
	switch {
	case chosen != nil:
		c.serve(*chosen, containers)
		c.leaveOut(ports, c.port)
	case refused:
		c.serveAnything(ports, containers)
	case len(ports) > 0:
		c.ambiguous(ports, containers, at)
	case other != nil:
		c.refuse(other.Child("protocol"), manifest.Text(manifest.Objects(containers[0], "ports")[0], "protocol"), "Knative sends HTTP requests over TCP and nothing else, and no TCP port is stated; state the containerPort that serves HTTP")
		c.serveAnything(ports, containers)
	default:
		c.noPort(containers, at)
	}
}

// serve makes a port the one that Knative sends requests to.
func (c *conversion) serve(chosen stated, containers []manifest.Object) {
	c.port = chosen.port
	at := podPath.Child("containers").Index(c.port.container).Child("ports").Index(0)
	name := podPath.Child("containers").Index(c.port.container).Child("ports")
	if chosen.path != nil {
		name = chosen.path.Child("name")
		c.notes.move(at, chosen.path)
	}
	c.keptPort = manifest.Object{"containerPort": c.port.number}
	if protocol := c.portName(containers[c.port.container], chosen.name, c.port.number, name); protocol != "" {
		c.keptPort["name"] = protocol
	}
}

// serveAnything goes on with some port where the right one is refused, so that the rest can
// be judged.
func (c *conversion) serveAnything(ports []stated, containers []manifest.Object) {
	switch {
	case len(ports) > 0:
		c.port = ports[0].port
	case len(containers) > 1:
		c.port = port{container: 0, number: defaultPort}
	default:
		return
	}
	c.keptPort = manifest.Object{"containerPort": c.port.number}
}

// ambiguous refuses several ports of which any may serve requests.
func (c *conversion) ambiguous(ports []stated, containers []manifest.Object, at *field.Path) {
	path := at
	if container := statingContainer(ports, containers); container >= 0 {
		path = at.Index(container).Child("ports")
	}
	c.refuse(path, list(ports), "Knative sends requests to one port, and it is not clear which of these serves them; set %s to its number or name", parameter.Port.Key())
	c.serveAnything(ports, containers)
}

// noPort is for pods that state no port at all. Knative tells by the port which of several
// containers takes requests.
func (c *conversion) noPort(containers []manifest.Object, at *field.Path) {
	switch len(containers) {
	case 0:
	case 1:
		c.warn("%s states no port, so Knative sends requests to %d, and without an answer there the revision never gets ready; set %s if the container listens on another one, and keep what serves no requests a Deployment without the label",
			at.Index(0), defaultPort, parameter.Port.Key())
	default:
		c.refuse(at, len(containers), "Knative sends requests to the container that states a port; state containerPort of the one that serves them")
		c.serveAnything(nil, containers)
	}
}

// Names that Knative gives a meaning to.
const (
	http1 = "http1"
	http2 = "h2c"
)

// protocols are the names of ports, up to a dash, that say what is spoken on them; they
// are Istio's (pkg/config/protocol), which most charts follow.
var protocols = map[string]string{
	"http": http1, "http1": http1, // and what follows a dash
	"grpc": http2, "http2": http2, "h2c": http2,
}

// others are such names for what Knative cannot send.
var others = map[string]bool{"tcp": true, "mongo": true, "mysql": true, "postgres": true, "redis": true, "amqp": true}

// portName is the name that tells Knative what is spoken on a port; empty for HTTP/1. A
// port without a telling name is taken for gRPC where a gRPC probe goes to it.
func (c *conversion) portName(container manifest.Object, name string, number int64, at *field.Path) string {
	prefix, _, _ := strings.Cut(name, "-")
	switch {
	case protocols[prefix] != "":
		return protocols[prefix]
	case prefix == "https" || prefix == "tls":
		c.refuse(at, name, "Knative speaks plain HTTP to the container; have it serve HTTP, and leave TLS to the ingress")
		return ""
	case others[prefix]:
		c.warn("%s: Knative sends nothing but HTTP requests to the port %s", at, name)
	}
	for _, probe := range probes {
		if n, ok := manifest.Whole(container, probe, "grpc", "port"); ok && n == number {
			return http2
		}
	}
	return ""
}

var probes = []string{"livenessProbe", "readinessProbe", "startupProbe"}

// probes makes the probes of a container what Knative takes. It renames the port, so ports
// are named by number. What was left out of a readiness probe as a default comes back
// where a default period goes with another timeout: Knative takes them together only.
func (c *conversion) probes(container manifest.Object, ports []manifest.Object, at *field.Path) {
	numbers := map[string]int64{}
	for _, p := range ports {
		number, _ := manifest.Whole(p, "containerPort")
		numbers[manifest.Text(p, "name")] = number
	}
	for _, name := range probes {
		probe := manifest.Map(container, name)
		for _, handler := range []string{"httpGet", "tcpSocket"} {
			target := manifest.Map(probe, handler)
			text, named := target["port"].(string)
			if !named {
				continue
			}
			number, known := numbers[text]
			if n, err := strconv.ParseInt(text, 10, 32); err == nil {
				number, known = n, true
			}
			if !known {
				c.refuse(at.Child(name, handler, "port"), text, "no port of this container has this name; give the port's number")
				number = c.port.orDefault()
			}
			target["port"] = number
		}
	}
	if readiness := manifest.Map(container, "readinessProbe"); readiness["timeoutSeconds"] != nil || readiness["failureThreshold"] != nil {
		if readiness["periodSeconds"] == nil {
			readiness["periodSeconds"] = int64(10)
		}
	}
}
