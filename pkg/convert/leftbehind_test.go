package convert_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/convert"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// What other projects point at a Deployment with is spoken of where it is given.
func TestWhatOperatorsPointAtADeploymentWithIsLeftBehind(t *testing.T) {
	const (
		past    = `{apiVersion: v1, kind: Service, metadata: {name: past, labels: {app: a}}, spec: {selector: {app: a}, ports: [{name: metrics, port: 9090, targetPort: metrics}, {name: plain, port: 9091, targetPort: 9091}]}}`
		goes    = "Service n/past sends requests to the pods past Knative, which does not see them and may scale to zero meanwhile; send them to a.n, and remove it or make it an ExternalName of that"
		routed  = "VirtualService n/v sends requests to Service past, past Knative; give its host to Knative Service a, by a DomainMapping for instance"
		nothing = " scrapes nothing any more: the pods of a Knative Service state no port called metrics; scrape user-port in a PodMonitor, and relabel __address__ to the port that the container answers on"
	)
	virtual := func(host string) string {
		return `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v}, spec: {http: [{route: [{destination: {host: ` + host + `}}]}]}}`
	}
	monitor := func(labels, endpoint string) string {
		return `{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: m}, spec: {selector: {matchLabels: {` + labels + `}}, endpoints: [{` + endpoint + `}]}}`
	}
	pods := func(labels, endpoint string) string {
		return `{apiVersion: monitoring.coreos.com/v1, kind: PodMonitor, metadata: {name: p}, spec: {selector: {matchLabels: {` + labels + `}}, podMetricsEndpoints: [{` + endpoint + `}]}}`
	}
	scaled := func(target string) string {
		return `{apiVersion: http.keda.sh/v1alpha1, kind: HTTPScaledObject, metadata: {name: h}, spec: {scaleTargetRef: {` + target + `, service: past, port: 80}, replicas: {min: 1, max: 7}}}`
	}
	for name, test := range map[string]struct {
		objects []string
		want    []string
	}{
		"a route of Istio's to the Service":           {[]string{past, virtual("past")}, []string{goes, routed}},
		"by its whole name":                           {[]string{past, virtual("past.n.svc.cluster.local")}, []string{goes, routed}},
		"to the Service of another namespace":         {[]string{past, virtual("past.other.svc.cluster.local")}, []string{goes}},
		"to the host of another world":                {[]string{past, virtual("past.example.com")}, []string{goes}},
		"to nothing that goes past Knative":           {[]string{past, virtual("a.n")}, []string{goes}},
		"a mirror of Istio's":                         {[]string{past, `{apiVersion: networking.istio.io/v1beta1, kind: VirtualService, metadata: {name: v}, spec: {http: [{mirror: {host: past}}]}}`}, []string{goes, routed}},
		"a monitor of the Service's named port":       {[]string{past, monitor("app: a", "port: metrics")}, []string{goes, "ServiceMonitor n/m" + nothing}},
		"a monitor of the container's named port":     {[]string{past, monitor("app: a", "targetPort: metrics")}, []string{goes, "ServiceMonitor n/m" + nothing}},
		"a monitor of a port by its number":           {[]string{past, monitor("app: a", "port: plain")}, []string{goes}},
		"a monitor of another Service":                {[]string{past, monitor("app: b", "port: metrics")}, []string{goes}},
		"a monitor of the pods":                       {[]string{pods("app: a", "port: metrics")}, []string{"PodMonitor n/p" + nothing}},
		"a monitor of the port that Knative names so": {[]string{pods("app: a", "port: user-port")}, nil},
		"a monitor of other pods":                     {[]string{pods("app: b", "port: metrics")}, nil},
		"an autoscaler by requests": {[]string{scaled("name: a, kind: Deployment")},
			[]string{`HTTPScaledObject n/h has no effect any more: Knative's autoscaler decides how many pods run, and does not know its replicas.min 1 and replicas.max 7; set autoscale.kubetorch.com/min-scale: "1" and autoscale.kubetorch.com/max-scale: "7", and remove it`}},
		"an autoscaler by requests of another": {[]string{scaled("name: b")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var objects []manifest.Object
			for _, text := range test.objects {
				objects = append(objects, parse(t, text))
			}
			got := convert.LeftBehind(convert.Pods{Namespace: "n", Deployment: "a", Service: "a", Labels: map[string]string{"app": "a"}}, objects)
			assert.Equal(t, test.want, got)
		})
	}
	assert.Subset(t, convert.GivenKinds(), convert.PointingKinds())
	assert.NotContains(t, convert.PointingKinds(), schema.GroupKind{Group: "monitoring.coreos.com", Kind: "PodMonitor"}, "a list more for every Deployment")
}
