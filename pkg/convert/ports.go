package convert

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
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
		"protocol":      {unset: is("TCP"), refuse: "Knative sends HTTP requests over TCP and nothing else; remove the port"},
		"hostPort": {unset: func(p manifest.Object, v any) bool { return hostNetwork && v == p["containerPort"] },
			refuse: "a Knative Service cannot use ports of its node; remove it"},
		"hostIP": {refuse: "a Knative Service cannot use ports of its node; remove it"},
	}
}

// servingPort finds the one port that requests go to, and refuses more: Knative takes one.
func (c *conversion) servingPort(containers []manifest.Object) {
	at := podPath.Child("containers")
	c.port = port{container: -1}
	if len(containers) == 1 {
		c.port.container = 0
	}
	var found []string
	var first *field.Path
	places := map[int]bool{}
	rules := c.portLevel()
	for i, container := range containers {
		for j, p := range manifest.Objects(container, "ports") {
			path := at.Index(i).Child("ports").Index(j)
			c.apply(rules, p, path)
			if protocol := manifest.Text(p, "protocol"); protocol != "" && protocol != "TCP" {
				continue
			}
			number, _ := manifest.Whole(p, "containerPort")
			found = append(found, strings.TrimSpace(manifest.Text(p, "name")+" "+strconv.FormatInt(number, 10)))
			places[i] = true
			if first == nil {
				first, c.port, c.keptPort = path, port{container: i, number: number}, manifest.Object{"containerPort": number, "name": p["name"]}
				c.notes.move(at.Index(i).Child("ports").Index(0), path)
			}
		}
	}
	switch len(found) {
	case 0:
		c.noPort(containers, at)
		return
	case 1:
		c.keptPort["name"] = c.portName(containers[c.port.container], manifest.Text(c.keptPort, "name"), c.port.number, first.Child("name"))
	default:
		path := at
		if len(places) == 1 {
			path = at.Index(c.port.container).Child("ports")
		}
		c.keptPort["name"] = ""
		c.refuse(path, strings.Join(found, ", "), "Knative sends requests to one port of one container; keep the one that serves them and remove the others: a container listens on a port whether or not it is listed")
	}
	if c.keptPort["name"] == "" {
		delete(c.keptPort, "name")
	}
}

// noPort is for pods that state no port at all. Knative tells by the port which of several
// containers takes requests.
func (c *conversion) noPort(containers []manifest.Object, at *field.Path) {
	switch len(containers) {
	case 0:
	case 1:
		c.warn("%s states no port, so Knative sends requests to %d; state containerPort if the container listens on another one", at.Index(0), defaultPort)
	default:
		c.refuse(at, len(containers), "Knative sends requests to the container that states a port; state containerPort of the one that serves them")
		c.port, c.keptPort = port{container: 0, number: defaultPort}, manifest.Object{"containerPort": int64(defaultPort)}
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
	"http": http1, "http1": http1,
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

// multiContainerProbing makes Knative leave the port of a liveness probe alone. It has to
// be exactly "enabled".
const multiContainerProbing = "multi-container-probing"

// probes makes the probes of a container what Knative takes. It renames the port, so ports
// are named by number. What was left out of a readiness probe as a default comes back
// where a default period goes with another timeout: Knative takes them together only.
func (c *conversion) probes(container manifest.Object, ports []manifest.Object, serving bool, at *field.Path) {
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
				c.refuse(at.Child(name, handler, "port"), text, "no port of this container has this name")
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
	if serving {
		c.livenessPort(manifest.Map(container, "livenessProbe"), at.Child("livenessProbe"))
	}
}

// livenessPort refuses a liveness probe on another port than the serving one, which
// Knative sends to the serving port and which then fails for ever.
func (c *conversion) livenessPort(probe manifest.Object, at *field.Path) {
	for _, handler := range []string{"httpGet", "tcpSocket"} {
		number, ok := manifest.Whole(probe, handler, "port")
		if serving := c.port.orDefault(); ok && number != serving {
			detail := fmt.Sprintf("Knative sends the liveness probe to the port that serves requests, %d; answer it there", serving)
			if c.port.number == 0 {
				detail += fmt.Sprintf(", or state containerPort: %d if that is the port that serves requests", number)
			}
			c.notes.Needs = append(c.notes.Needs, Need{Flag: multiContainerProbing, Error: field.Invalid(at.Child(handler, "port"), number, detail)})
		}
	}
}
