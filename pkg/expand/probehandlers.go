package expand

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// checked is a probe, where it is, and who asks.
type checked struct {
	probe manifest.Object
	at    *field.Path
	// startup is whether it is a startup probe; its ports are looked at by themselves.
	startup bool
	// byQueueProxy is whether Knative's queue proxy asks, and no kubelet: the readiness probe of
	// the serving container.
	byQueueProxy bool
	// filled is whether Knative gives it the serving port: httpGet and tcpSocket of the serving
	// container's liveness probe.
	filled bool
	// sidecar is whether it is the readiness probe of a container beside the serving one, which
	// the queue proxy asks by its port.
	sidecar bool
}

// checkHandlers refuses what Knative takes of a probe's handlers, and Kubernetes refuses in the
// pod, or nobody can ask.
func (e *expansion) checkHandlers(c checked) {
	if exec, ok := c.probe["exec"].(manifest.Object); ok {
		if len(manifest.List(exec, "command")) == 0 {
			e.result.Errors = append(e.result.Errors, field.Required(c.at.Child("exec", "command"), "Kubernetes takes no probe that runs nothing; give the command"))
		} else if c.sidecar {
			e.refuse(c.at.Child("exec"), "exec", "Knative makes no Revision with it: it asks containers beside the serving one by their port; use httpGet, tcpSocket or grpc")
		}
	}
	if http, ok := c.probe["httpGet"].(manifest.Object); ok {
		e.checkHTTP(http, c)
	}
	for _, handler := range []string{"httpGet", "tcpSocket", "grpc"} {
		if target, ok := c.probe[handler].(manifest.Object); ok && !c.startup {
			e.checkProbePort(target["port"], handler, c)
		}
	}
}

// checkProbePort refuses ports that there are none of, and none where Knative fills none in.
func (e *expansion) checkProbePort(port any, handler string, c checked) {
	at := c.at.Child(handler, "port")
	n, isNumber := port.(int64)
	switch {
	case c.filled && handler != "grpc":
	case isNumber && n != 0 && (n < 1 || n > 65535):
		e.refuse(at, n, "must be between 1 and 65535")
	case c.sidecar && !isNumber && port != nil:
		e.refuse(at, port, "Knative makes no Revision with it: it asks containers beside the serving one by a number; give the port's number")
	case handler == "grpc" && !c.byQueueProxy && n == 0:
		e.result.Errors = append(e.result.Errors, field.Required(at, "Knative fills no port in here, and Kubernetes takes none without one; give the port's number"))
	}
}

// headerName is what a header may be called where the queue proxy asks.
var headerName = regexp.MustCompile("^[-A-Za-z0-9!#$%&'*+.^_`|~]+$")

func (e *expansion) checkHTTP(http manifest.Object, c checked) {
	scheme := manifest.Text(http, "scheme")
	schemes := []string{"HTTP", "HTTPS"}
	known := slices.Contains(schemes, scheme) || (c.byQueueProxy && slices.Contains(schemes, strings.ToUpper(scheme)))
	if scheme != "" && !known {
		e.refuse(c.at.Child("httpGet", "scheme"), scheme, "invalid value: %s; allowed: %s", scheme, strings.Join(schemes, ", "))
	}
	for i, h := range manifest.Objects(http, "httpHeaders") {
		name := manifest.Text(h, "name")
		if (c.byQueueProxy && headerName.MatchString(name)) || len(validation.IsHTTPHeaderName(name)) == 0 {
			continue
		}
		e.refuse(c.at.Child("httpGet", "httpHeaders").Index(i).Child("name"), name, "invalid value: %s; allowed: a header's name, of letters, digits and -, such as X-Probe", fmt.Sprintf("%q", name))
	}
}
