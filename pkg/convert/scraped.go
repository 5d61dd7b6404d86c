package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// knativesPorts are the names of the ports that a pod of Knative's states, whatever those of its
// Deployment were called: the serving one, and the queue proxy's.
var knativesPorts = []string{"user-port", "queue-port", "http-queueadm", "http-autometric", "http-usermetric", "https-port"}

// noTarget says of ports that are scraped by name that no pod has them any more; empty for none.
func noTarget(ports []string) string {
	ports = slices.DeleteFunc(ports, func(name string) bool { return name == "" || slices.Contains(knativesPorts, name) })
	if len(ports) == 0 {
		return ""
	}
	return fmt.Sprintf("scrapes nothing any more: the pods of a Knative Service state no port called %s; scrape user-port in a PodMonitor, and relabel __address__ to the port that the container answers on",
		strings.Join(slices.Compact(ports), ", "))
}

// scraped is for a PodMonitor that names ports of the container.
func (p Pods) scraped(monitor manifest.Object, _ map[string]manifest.Object) string {
	if !p.selected(monitor, "spec", "selector") {
		return ""
	}
	var ports []string
	for _, endpoint := range manifest.Objects(monitor, "spec", "podMetricsEndpoints") {
		ports = append(ports, manifest.Text(endpoint, "port"))
	}
	return noTarget(ports)
}

// scrapedByService is for a ServiceMonitor, by way of core Services that name ports of the
// container; those that give the number still reach it.
func (p Pods) scrapedByService(monitor manifest.Object, past map[string]manifest.Object) string {
	var ports []string
	for _, service := range past {
		if !(Pods{Labels: manifest.Texts(service, "metadata", "labels")}).selected(monitor, "spec", "selector") {
			continue
		}
		for _, endpoint := range manifest.Objects(monitor, "spec", "endpoints") {
			ports = append(ports, manifest.Text(endpoint, "targetPort"))
			for _, port := range manifest.Objects(service, "spec", "ports") {
				if name := manifest.Text(endpoint, "port"); name != "" && name == manifest.Text(port, "name") {
					ports = append(ports, manifest.Text(port, "targetPort"))
				}
			}
		}
	}
	slices.Sort(ports)
	return noTarget(ports)
}

// scaledByHTTP is for an HTTPScaledObject of KEDA's add-on, whose interceptor sends requests past
// Knative, too.
func (p Pods) scaledByHTTP(o manifest.Object, _ map[string]manifest.Object) string {
	if !p.targets(manifest.Map(o, "spec", "scaleTargetRef")) {
		return ""
	}
	return scaledElsewhere(numberAt(o, 0, "spec", "replicas", "min"), "replicas.min", numberAt(o, 100, "spec", "replicas", "max"), "replicas.max")
}
