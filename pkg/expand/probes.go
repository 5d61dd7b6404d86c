package expand

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// defaultPort is where Knative sends requests to a container that states no port.
const defaultPort = 8080

// refuseBrokenProbes refuses probes that Knative takes and that then fail for ever, or make
// Kubernetes refuse the Deployment that Knative makes.
func (e *expansion) refuseBrokenProbes() {
	for i, c := range manifest.Objects(e.podSpec(), "containers") {
		at := e.path.Child("spec", "containers").Index(i)
		if probe := manifest.Map(c, "startupProbe"); probe != nil {
			e.checkStartup(probe, at.Child("startupProbe"))
		}
		if i == e.serving {
			e.checkLiveness(manifest.Map(c, "livenessProbe"), at.Child("livenessProbe"))
		}
		for _, name := range []string{"livenessProbe", "readinessProbe", "startupProbe"} {
			e.checkCounts(manifest.Map(c, name), at.Child(name), name == "readinessProbe")
			e.checkHandlers(checked{probe: manifest.Map(c, name), at: at.Child(name), startup: name == "startupProbe",
				byQueueProxy: i == e.serving && name == "readinessProbe",
				filled:       i == e.serving && name == "livenessProbe" && !e.Knative.KeepsLivenessPort(),
				sidecar:      i != e.serving && e.serving >= 0 && name == "readinessProbe" && e.Knative.Enabled(knative.FlagMultiContainerProbing)})
		}
	}
}

// servingPort is the port that Knative sends requests to, and whether the container states it.
func (e *expansion) servingPort() (number int64, stated bool) {
	if e.serving >= 0 {
		for _, p := range manifest.Objects(e.servingContainer(), "ports") {
			if n, ok := manifest.Whole(p, "containerPort"); ok && n > 0 {
				return n, true
			}
		}
	}
	return defaultPort, false
}

// checkStartup refuses a startup probe without a port that the kubelet can find. Knative
// fills the port of other probes in, renames the container's, and leaves this probe alone.
func (e *expansion) checkStartup(probe manifest.Object, at *field.Path) {
	handlers := []string{"httpGet", "tcpSocket", "grpc", "exec"}
	if !slices.ContainsFunc(handlers, func(h string) bool { return probe[h] != nil }) {
		e.result.Errors = append(e.result.Errors, field.Required(at, "a startup probe needs one of httpGet, tcpSocket, grpc and exec"))
		return
	}
	const advice = "give the port's number"
	if stated := slices.DeleteFunc(slices.Clone(handlers), func(h string) bool { return probe[h] == nil }); len(stated) > 1 {
		e.refuse(at, strings.Join(stated, ", "), "a probe has one of these; keep one")
	}
	for _, handler := range handlers[:3] {
		target, ok := probe[handler].(manifest.Object)
		if !ok {
			continue
		}
		path := at.Child(handler, "port")
		switch port := target["port"].(type) {
		case string:
			if n, err := strconv.Atoi(port); port == "" || (err == nil && (n < 1 || n > 65535)) {
				e.refuse(path, port, "Knative fills no port into a startup probe, and Kubernetes takes none without one; %s", advice)
			} else if err != nil {
				e.refuse(path, port, "Knative renames the port, so a startup probe on a named one never succeeds; %s", advice)
			}
		case int64:
			if port < 1 || port > 65535 {
				e.refuse(path, port, "Knative fills no port into a startup probe, and Kubernetes takes none without one; %s", advice)
			}
		case nil:
			e.result.Errors = append(e.result.Errors, field.Required(path, "Knative fills no port into a startup probe, and Kubernetes takes none without one; "+advice))
		}
	}
}

// checkLiveness refuses a liveness probe on another port than the serving one: Knative sends
// it to the serving port, where it fails for ever.
func (e *expansion) checkLiveness(probe manifest.Object, at *field.Path) {
	if e.Knative.KeepsLivenessPort() {
		return
	}
	serving, stated := e.servingPort()
	for _, handler := range []string{"httpGet", "tcpSocket"} {
		number, ok := manifest.Whole(probe, handler, "port")
		if !ok || number == serving || number == 0 {
			continue
		}
		advice := "answer it there"
		if !stated {
			advice += fmt.Sprintf(", or state containerPort: %d if that is the port that serves requests", number)
		}
		e.refuse(at.Child(handler, "port"), number, "Knative sends the liveness probe to the port that serves requests, %d; %s; or: %s", serving, advice, e.Knative.WhoKeepsLivenessPort())
	}
}

// checkCounts refuses numbers of a probe that Kubernetes refuses.
func (e *expansion) checkCounts(probe manifest.Object, at *field.Path, readiness bool) {
	for _, key := range []string{"initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"} {
		n, ok := manifest.Whole(probe, key)
		switch {
		case ok && n < 0:
			e.refuse(at.Child(key), n, "may not be negative")
		case ok && key == "successThreshold" && !readiness && n > 1:
			e.refuse(at.Child(key), n, "must be 1: more is for readiness probes only")
		}
	}
	if n, ok := manifest.Whole(probe, "terminationGracePeriodSeconds"); ok && n < 1 && !readiness {
		e.refuse(at.Child("terminationGracePeriodSeconds"), n, "must be greater than 0; without it the pod's own counts")
	}
}

// warnAboutPort warns where requests are going to another port than the readiness probe of a
// container that states none.
func (e *expansion) warnAboutPort() {
	serving, stated := e.servingPort()
	if stated || e.serving < 0 {
		return
	}
	at := e.path.Child("spec", "containers").Index(e.serving)
	for _, handler := range []string{"httpGet", "tcpSocket", "grpc"} {
		if n, ok := manifest.Whole(e.servingContainer(), "readinessProbe", handler, "port"); ok && n > 0 && n <= 65535 && n != serving {
			e.warn("%s states no port, so Knative sends requests to %d, while its readiness probe asks %d; state containerPort: %d if that is the port that serves requests", at, serving, n, n)
		}
	}
}
