package expand

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// request is one of the resources that the serving container requests.
type request struct {
	parameter *parameter.Parameter
	resource  string
	// bound on the sum over the pod, which of measures; none for disks.
	bound string
	of    func(workload.Usage) resource.Quantity
}

var (
	cpuRequest    = request{parameter.CPUs, "cpu", policy.BoundCPUsPerPod, func(d workload.Usage) resource.Quantity { return d.CPUs }}
	memoryRequest = request{parameter.Memory, "memory", policy.BoundMemoryPerPod, func(d workload.Usage) resource.Quantity { return d.Memory }}
	diskRequest   = request{parameter: parameter.DiskSize, resource: "ephemeral-storage"}

	requests = []request{cpuRequest, memoryRequest, diskRequest}
)

// request settles a request of the serving container.
func (e *expansion) request(r request) {
	s := e.resolvedRequest(r)
	limit := e.limitOf(r)
	switch {
	case s.isNative:
		e.nativeRequest(s, limit)
	case !s.found:
		e.raiseRequest(r, s, limit)
	case s.stated != nil:
		e.statedRequest(s, limit)
	default:
		e.defaultRequest(r, s, limit)
	}
}

// resolvedRequest is what the container is to request. One with a limit of its own has
// that for a request, and gets no default.
func (e *expansion) resolvedRequest(r request) setting {
	s := e.resolve(r.parameter, "requests."+r.resource)
	if s.found && s.stated == nil && e.limitOf(r).own {
		s.found = false
	}
	return s
}

// limit is what the serving container may use at most of a resource.
type limit struct {
	quantity resource.Quantity
	text     string
	from     string // words for where it stands
	own      bool   // the manifest's, rather than the cluster's
	ok       bool   // false where there is none
}

// below tells whether there is a limit below a quantity.
func (l limit) below(q resource.Quantity) bool { return l.ok && l.quantity.Cmp(q) < 0 }

// limitOf is the limit that the container ends up with. What Knative fills in, or has
// filled in already, is nobody's own.
func (e *expansion) limitOf(r request) limit {
	at, _ := e.locate("limits." + r.resource)
	text, stated := e.text(at)
	q, err := manifest.ParseQuantity(text)
	if fill := e.Knative.ResourceDefault("limits", r.resource); fill != nil && (!stated || (err == nil && fill.Cmp(q) == 0)) {
		return limit{quantity: *fill, text: fill.String(), from: filledBy("limits", r.resource), ok: true}
	}
	entry, owned := e.owned(at, r.parameter.Type)
	lowered := owned && !strings.HasPrefix(entry.From, manifestSource) // the cluster's, by a policy
	return limit{quantity: q, text: text, from: manifestSource + at.name, own: stated && !lowered, ok: stated && err == nil}
}

func (e *expansion) nativeRequest(s setting, l limit) {
	e.values.put(Setting{Name: s.parameter.Name, Value: s.native, From: manifestSource + s.at.name})
	q, err := manifest.ParseQuantity(s.native)
	if name := strings.TrimPrefix(s.at.name, "requests."); err != nil || fractionOfByte(name, q) || fractionOfByte(name, l.quantity) {
		return // refused for itself
	}
	if l.below(q) {
		way := "raise the limit"
		if !l.own {
			way = "state a limit of its own"
		}
		e.refuse(s.at.field(), s.native, "is above the limit %s (%s); %s", l.text, l.from, way)
	}
}

func (e *expansion) statedRequest(s setting, l limit) {
	q, err := manifest.ParseQuantity(s.text)
	switch {
	case err != nil: // refused already
	case l.below(q):
		e.refuse(s.stated.Path, s.stated.Text, "is above the limit %s (%s); set resources.%s", l.text, l.from, "limits."+strings.TrimPrefix(s.at.name, "requests."))
	default:
		e.storeRequest(s, s.text)
	}
}

// defaultRequest lowers a default to the limit and to what bounds leave to the container.
func (e *expansion) defaultRequest(r request, s setting, l limit) {
	q, err := manifest.ParseQuantity(s.text)
	if err != nil {
		return
	}
	text := s.text
	if l.below(q) {
		q, text = l.quantity, l.text
	}
	if room, c := e.roomFor(r, text, q); c != nil {
		if room.Sign() <= 0 {
			e.warn("%s %s (%s) is left out: %s leaves nothing to it", s.parameter.Name, s.asked, s.from, c.By)
			return
		}
		text, s.by = room.String(), c.By
	}
	if s.by != "" && !s.parameter.Type.Same(s.asked, text) {
		e.warn("%s %s (%s) lowered to %s by %s", s.parameter.Name, s.asked, s.from, text, s.by)
	}
	e.storeRequest(s, text)
}

func (e *expansion) storeRequest(s setting, text string) {
	e.values.put(Setting{Name: s.parameter.Name, Value: text, From: s.from, By: s.by})
	e.write(s.at, s.parameter.Type, text, Setting{From: s.from, By: s.by})
}

// roomFor is what a bound on the whole pod leaves to a default request, where that is too
// much for it. The bound counts as no lower than what the pod asks for without the
// request, and than what the stored one asks for.
func (e *expansion) roomFor(r request, text string, q resource.Quantity) (room resource.Quantity, c *policy.Limit) {
	limit, ok := e.Policies.Limit(r.bound, policy.AllBounds)
	if !ok {
		return room, nil
	}
	name := "requests." + r.resource
	rest := r.of(e.demandOf(e.imagined(map[string]string{name: text})))
	most := []resource.Quantity{limit.Max, r.of(e.demandOf(e.imagined(map[string]string{name: ""})))}
	if e.old != nil {
		most = append(most, r.of(*e.old))
	}
	for _, m := range most {
		if room.Cmp(m) < 0 {
			room = m.DeepCopy()
		}
	}
	if rest.Cmp(room) <= 0 {
		return room, nil
	}
	rest.Sub(q)
	room.Sub(rest)
	return room, &limit
}

// raiseRequest keeps the cluster's default request from ending up above a limit that
// the manifest states: the limit becomes the request, as Kubernetes itself would have it.
func (e *expansion) raiseRequest(r request, s setting, l limit) {
	fill := e.Knative.ResourceDefault("requests", r.resource)
	if _, settled := e.after.get(s.at.name); !settled && fill != nil && l.below(*fill) {
		e.write(s.at, s.parameter.Type, l.text, Setting{From: "limits." + r.resource})
	}
}

// requestOf is the request that a container ends up with: its own, else what Knative
// fills in, else, as Kubernetes has it, its limit; nil for none.
func (e *expansion) requestOf(c manifest.Object, name string) *resource.Quantity {
	for _, list := range []string{"requests", "limits"} {
		if v := manifest.Map(c, "resources", list)[name]; v != nil {
			q, err := manifest.Quantity(v)
			if err != nil || q.Sign() <= 0 {
				return nil
			}
			return &q
		}
		if q := e.Knative.ResourceDefault(list, name); q != nil {
			return q
		}
	}
	return nil
}
