package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Pods are those of a Deployment that a Knative Service is going to run.
type Pods struct {
	Namespace  string
	Deployment string // its name
	Service    string // the name of the Knative Service
	Labels     map[string]string
	// MinScale is the fewest pods that there will be, as text; empty where it is not known.
	MinScale string
}

// Kinds of objects that point at a Deployment or at its pods.
var (
	coreService  = workload.CoreServiceKind
	ingress      = workload.IngressKind
	policyKind   = workload.NetworkPolicyKind
	hpa          = workload.HorizontalPodAutoscalerKind
	vpa          = workload.VerticalPodAutoscalerKind
	scaledObject = workload.ScaledObjectKind
	budgetKind   = workload.PodDisruptionBudgetKind
	httpRoute    = workload.HTTPRouteKind
	grpcRoute    = workload.GRPCRouteKind
	httpScaled   = schema.GroupKind{Group: "http.keda.sh", Kind: "HTTPScaledObject"}
)

// pointing are the kinds that LeftBehind looks at, each with what it says. past are the core
// Services that go past Knative, by name.
var pointing = map[schema.GroupKind]func(p Pods, o manifest.Object, past map[string]manifest.Object) string{
	coreService:  Pods.pastKnative,
	ingress:      Pods.routed,
	httpRoute:    Pods.routed,
	grpcRoute:    Pods.routed,
	hpa:          Pods.scaledByHPA,
	vpa:          Pods.sizedByVPA,
	scaledObject: Pods.scaledByKEDA,
	policyKind:   Pods.shutOff,
	budgetKind:   Pods.undisturbed,
}

// asideKinds are those of them that nobody reads in a cluster, where each would be a list more
// for every Deployment: they are looked at where they are given.
var asideKinds = map[schema.GroupKind]func(p Pods, o manifest.Object, past map[string]manifest.Object) string{
	{Group: "networking.istio.io", Kind: "VirtualService"}:   Pods.routed,
	{Group: "monitoring.coreos.com", Kind: "ServiceMonitor"}: Pods.scrapedByService,
	{Group: "monitoring.coreos.com", Kind: "PodMonitor"}:     Pods.scraped,
	httpScaled: Pods.scaledByHTTP,
}

// GivenKinds are the kinds of objects that LeftBehind looks at where it is given them.
func GivenKinds() []schema.GroupKind {
	return slices.AppendSeq(PointingKinds(), maps.Keys(asideKinds))
}

// PointingKinds are the kinds of objects that LeftBehind looks at in a cluster, core Services
// aside.
func PointingKinds() []schema.GroupKind {
	kinds := slices.Collect(maps.Keys(pointing))
	kinds = slices.DeleteFunc(kinds, func(k schema.GroupKind) bool { return k == coreService })
	slices.SortFunc(kinds, func(a, b schema.GroupKind) int { return strings.Compare(a.String(), b.String()) })
	return kinds
}

// LeftBehind says what becomes of the objects that point at a Deployment or at its pods, once
// a Knative Service runs these: what has no effect any more, and what goes past Knative.
func LeftBehind(p Pods, objects []manifest.Object) []string {
	past := map[string]manifest.Object{}
	for _, o := range objects {
		if kindOf(o) == coreService && p.pastKnative(o, nil) != "" {
			past[manifest.Text(o, "metadata", "name")] = o
		}
	}
	var warnings []string
	for _, o := range objects {
		say := pointing[kindOf(o)]
		if say == nil {
			say = asideKinds[kindOf(o)]
		}
		if say != nil {
			if text := say(p, o, past); text != "" {
				warnings = append(warnings, fmt.Sprintf("%s %s/%s %s", manifest.Text(o, "kind"), p.Namespace, manifest.Text(o, "metadata", "name"), text))
			}
		}
	}
	return warnings
}

func kindOf(o manifest.Object) schema.GroupKind {
	gv, err := schema.ParseGroupVersion(manifest.Text(o, "apiVersion"))
	if err != nil {
		return schema.GroupKind{}
	}
	return schema.GroupKind{Group: gv.Group, Kind: manifest.Text(o, "kind")}
}

// pastKnative is for a core Service of another name than Knative's own that selects the pods.
func (p Pods) pastKnative(service manifest.Object, _ map[string]manifest.Object) string {
	if manifest.Text(service, "metadata", "name") == p.Service || !Selects(service, p.Labels) {
		return ""
	}
	return fmt.Sprintf("sends requests to the pods past Knative, which does not see them and may scale to zero meanwhile; send them to %s.%s, and remove it or make it an ExternalName of that",
		p.Service, p.Namespace)
}

// routed is for what sends requests to such core Services.
func (p Pods) routed(route manifest.Object, past map[string]manifest.Object) string {
	var to []string
	for _, name := range p.backends(manifest.Map(route, "spec")) {
		if past[name] != nil && !slices.Contains(to, name) {
			to = append(to, name)
		}
	}
	if len(to) == 0 {
		return ""
	}
	return fmt.Sprintf("sends requests to Service %s, past Knative; give its host to Knative Service %s, by a DomainMapping for instance", strings.Join(to, ", "), p.Service)
}

// backends are the names of the Services that an Ingress, a route of the Gateway API or one of
// Istio names, wherever it does.
func (p Pods) backends(v any) (names []string) {
	switch v := v.(type) {
	case manifest.Object:
		if name := manifest.Text(v, "service", "name"); name != "" {
			names = append(names, name)
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			switch key {
			case "backendRefs":
				for _, ref := range manifest.Objects(v, key) {
					if kind := manifest.Text(ref, "kind"); kind == "" || kind == "Service" {
						names = append(names, manifest.Text(ref, "name"))
					}
				}
			case "destination", "mirror":
				if name, ok := p.hostOf(manifest.Text(v, key, "host")); ok {
					names = append(names, name)
				}
			}
			names = append(names, p.backends(v[key])...)
		}
	case []any:
		for _, entry := range v {
			names = append(names, p.backends(entry)...)
		}
	}
	return names
}

// hostOf is the Service of the namespace that a host of Istio's is; ok is false for others.
func (p Pods) hostOf(host string) (name string, ok bool) {
	name, rest, _ := strings.Cut(host, ".")
	in := p.Namespace
	return name, rest == "" || rest == in || rest == in+".svc" || strings.HasPrefix(rest, in+".svc.")
}

// targets tells whether a reference of an autoscaler is to the Deployment.
func (p Pods) targets(ref manifest.Object) bool {
	kind := manifest.Text(ref, "kind")
	return (kind == "" || kind == "Deployment") && manifest.Text(ref, "name") == p.Deployment
}

func (p Pods) scaledByHPA(o manifest.Object, _ map[string]manifest.Object) string {
	if !p.targets(manifest.Map(o, "spec", "scaleTargetRef")) {
		return ""
	}
	return scaledElsewhere(numberAt(o, 1, "spec", "minReplicas"), "minReplicas", numberAt(o, 0, "spec", "maxReplicas"), "maxReplicas")
}

func (p Pods) scaledByKEDA(o manifest.Object, _ map[string]manifest.Object) string {
	if !p.targets(manifest.Map(o, "spec", "scaleTargetRef")) {
		return ""
	}
	return scaledElsewhere(numberAt(o, 0, "spec", "minReplicaCount"), "minReplicaCount", numberAt(o, 100, "spec", "maxReplicaCount"), "maxReplicaCount")
}

func numberAt(o manifest.Object, absent int64, keys ...string) int64 {
	if n, ok := manifest.Whole(o, keys...); ok {
		return n
	}
	return absent
}

func scaledElsewhere(low int64, lowName string, high int64, highName string) string {
	return fmt.Sprintf("has no effect any more: Knative's autoscaler decides how many pods run, and does not know its %s %d and %s %d; set %s: \"%d\" and %s: \"%d\", and remove it",
		lowName, low, highName, high, parameter.MinScale.Key(), low, parameter.MaxScale.Key(), high)
}

func (p Pods) sizedByVPA(o manifest.Object, _ map[string]manifest.Object) string {
	if !p.targets(manifest.Map(o, "spec", "targetRef")) {
		return ""
	}
	return fmt.Sprintf("has no effect any more: the pods are no longer those of Deployment %s; set %s and %s, and remove it", p.Deployment, parameter.CPUs.Key(), parameter.Memory.Key())
}

// shutOff is for a NetworkPolicy that lets in no requests of Knative's, which come from its
// own namespace and to ports of its queue proxy.
func (p Pods) shutOff(o manifest.Object, _ map[string]manifest.Object) string {
	if !p.selected(o, "spec", "podSelector") {
		return ""
	}
	if types := manifest.List(o, "spec", "policyTypes"); len(types) > 0 && !slices.Contains(types, any("Ingress")) {
		return ""
	}
	for _, rule := range manifest.Objects(o, "spec", "ingress") {
		if fromKnative(manifest.Objects(rule, "from")) && letsIn(manifest.Objects(rule, "ports")) {
			return ""
		}
	}
	return "does not let in Knative's requests, which come from namespace knative-serving and its ingress, to ports 8012 and 8013 of the pods; allow these"
}

// fromKnative tells whether the sources of a rule have the namespace of Knative among them.
func fromKnative(sources []manifest.Object) bool {
	of := Pods{Labels: map[string]string{corev1.LabelMetadataName: knative.Namespace}}
	return len(sources) == 0 || slices.ContainsFunc(sources, func(s manifest.Object) bool {
		return s["namespaceSelector"] != nil && of.selected(s, "namespaceSelector")
	})
}

// letsIn tells whether the ports of a rule have that of the queue proxy among them.
func letsIn(ports []manifest.Object) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p manifest.Object) bool {
		low, ok := manifest.Whole(p, "port")
		high, ranged := manifest.Whole(p, "endPort")
		if !ranged {
			high = low
		}
		return p["port"] == nil || (ok && low <= 8012 && high >= 8012)
	})
}

// selected tells whether a selector at a path selects the pods; an empty one selects all.
func (p Pods) selected(o manifest.Object, path ...string) bool {
	raw, err := json.Marshal(manifest.Map(o, path...))
	if err != nil {
		return false
	}
	var s metav1.LabelSelector
	if json.Unmarshal(raw, &s) != nil {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(&s)
	return err == nil && selector.Matches(labels.Set(p.Labels))
}

// undisturbed is for a PodDisruptionBudget that holds up every drain of a node while the
// fewest pods run.
func (p Pods) undisturbed(o manifest.Object, _ map[string]manifest.Object) string {
	if manifest.Map(o, "spec", "selector") == nil || !p.selected(o, "spec", "selector") {
		return ""
	}
	fewest, err := parameter.ParseScale(p.MinScale)
	if err != nil {
		return ""
	}
	const held = "so that it holds up the drain of every node with one"
	text, _ := manifest.QuantityText(manifest.At(o, "spec", "minAvailable"))
	if n, err := strconv.ParseInt(text, 10, 32); err == nil && n > 0 && n >= fewest {
		return fmt.Sprintf("asks for %d pods at all times, and min-scale is %d, %s; set %s above it, or use maxUnavailable: 1", n, fewest, held, parameter.MinScale.Key())
	}
	if text == "100%" {
		return "asks for all pods at all times, " + held + "; use maxUnavailable: 1"
	}
	switch text, _ := manifest.QuantityText(manifest.At(o, "spec", "maxUnavailable")); text {
	case "0", "0%":
		return "lets no pod be unavailable, " + held + "; use maxUnavailable: 1"
	}
	return ""
}
