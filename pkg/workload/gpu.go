package workload

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// Unbounded stands for a number without an upper limit, and for numbers too large to
// be one of pods or GPUs.
const Unbounded = math.MaxInt64

// GPUCount is what one pod asks for.
type GPUCount struct {
	// PerPod is the number of GPUs, over all GPU resources, rounded up.
	PerPod int64
	// less is what rounding added to PerPod; nil if nothing.
	less *big.Rat
	// Malformed are quantities that are no whole number of GPUs.
	Malformed field.ErrorList
	// Unknown are requests that look like GPUs and cannot be counted.
	Unknown field.ErrorList
	// Unlisted are requests for accelerators that no policy counts as GPUs, one for each
	// name, which is the value of the error.
	Unlisted field.ErrorList
	// Assumed are what had to be assumed of claims whose templates are not known.
	Assumed []string
	// products are how many of those that claims or DeviceClasses give may be of each product, of those that
	// anything pins to none under the empty one. It is nil where there are no such GPUs.
	products byType
	// byNode is whether device plug-ins may give any: those are of the node's type.
	byNode bool
	// requests are the GPU requests as they stand.
	requests []gpuRequest
}

// gpuRequest is a request for GPUs, or for what may be some.
type gpuRequest struct {
	gpuPlace
	value any
}

// gpuPlace is where a request stands within the pod.
type gpuPlace struct {
	containers string // the list of containers; empty for the pod itself
	index      int
	list, name string // of resources
}

func (r gpuRequest) text() string {
	if text, ok := r.value.(string); ok {
		return text
	}
	return fmt.Sprint(r.value)
}

// SameRequests tells whether two pods ask for GPUs in the same words.
func (c GPUCount) SameRequests(other GPUCount) bool {
	if len(c.requests) != len(other.requests) {
		return false
	}
	if len(c.requests) == 0 {
		return true
	}
	texts := make(map[gpuPlace]string, len(c.requests))
	for _, r := range c.requests {
		texts[r.gpuPlace] = r.text()
	}
	for _, r := range other.requests {
		if text, ok := texts[r.gpuPlace]; !ok || text != r.text() {
			return false
		}
	}
	return true
}

// Asked tells whether a pod asks for GPUs, or for what may be some.
func (c GPUCount) Asked() bool {
	return c.PerPod > 0 || len(c.Malformed)+len(c.Unknown)+len(c.Unlisted) > 0
}

// CountGPUs counts the GPUs of one pod as the scheduler does (Kubernetes
// component-helpers resource.PodRequests): per resource, the larger of what runs side
// by side (containers and restartable init containers) and the largest init container
// with the restartable ones before it; pod-level resources where they are larger. Each
// container counts with the larger of limit and request.
func CountGPUs(podSpec manifest.Object, path *field.Path, known GPUResources) GPUCount {
	c := gpuCounter{known: known.get(), gpus: known, pod: path}
	plain := podSpec["initContainers"] == nil && podSpec["resources"] == nil && podSpec["resourceClaims"] == nil
	if plain && len(manifest.List(podSpec, "containers")) == 1 {
		c.peak = c.container(manifest.Objects(podSpec, "containers")[0], gpuPlace{containers: "containers"})
		return c.sum()
	}
	var restartable []map[string]int64
	for i, container := range manifest.Objects(podSpec, "initContainers") {
		n := c.container(container, gpuPlace{containers: "initContainers", index: i})
		if manifest.Text(container, "restartPolicy") == "Always" {
			restartable = append(restartable, n)
			c.add(n)
			continue
		}
		for name, v := range n {
			for _, r := range restartable {
				v = SaturatingAdd(v, r[name])
			}
			c.raise(name, v)
		}
	}
	for i, container := range manifest.Objects(podSpec, "containers") {
		c.add(c.container(container, gpuPlace{containers: "containers", index: i}))
	}
	for name, v := range c.container(podSpec, gpuPlace{}) {
		c.raise(name, v)
	}
	for name, v := range c.running {
		c.raise(name, v)
	}
	c.claims(podSpec)
	return c.sum()
}

type gpuCounter struct {
	known   *rules
	gpus    GPUResources
	pod     *field.Path
	count   GPUCount
	running map[string]int64 // per resource: what runs side by side
	peak    map[string]int64 // per resource: the most at any time
	claimed int64            // through resource claims
}

// sum adds the GPUs of all resources, each by its weight, and those of claims. What the scheduler
// claims for extended resources is no further device: of both the larger counts.
func (c *gpuCounter) sum() GPUCount {
	var exact fraction
	for name, n := range c.peak {
		what := c.known.of(name)
		exact.add(n, what.weight)
		if n > 0 {
			c.count.byNode = true
			c.count.products = c.count.products.plus(c.known.classes.given(what.class))
		}
	}
	c.count.PerPod, c.count.less = exact.ceil()
	scheduled := c.gpus.extendedClaim()
	c.count.products = c.count.products.plus(scheduled.products)
	if scheduled.GPUs > c.count.PerPod {
		c.count.PerPod, c.count.less = scheduled.GPUs, nil
	}
	c.count.PerPod = SaturatingAdd(c.count.PerPod, c.claimed)
	if c.count.PerPod == Unbounded {
		c.count.less = nil
	}
	return c.count
}

func (c *gpuCounter) add(n map[string]int64) {
	if c.running == nil && len(n) > 0 {
		c.running = map[string]int64{}
	}
	for name, v := range n {
		c.running[name] = SaturatingAdd(c.running[name], v)
	}
}

func (c *gpuCounter) raise(name string, v int64) {
	if c.peak == nil {
		c.peak = map[string]int64{}
	}
	c.peak[name] = max(c.peak[name], v)
}

func (c *gpuCounter) note(at gpuPlace, v any) {
	c.count.requests = append(c.count.requests, gpuRequest{at, v})
}

// path of a place, as errors show it.
func (c *gpuCounter) path(at gpuPlace) *field.Path {
	path := c.pod
	if at.containers != "" {
		path = path.Child(at.containers).Index(at.index)
	}
	return path.Child("resources", at.list).Key(at.name)
}

// container counts the GPUs of whatever has a resources field.
func (c *gpuCounter) container(o manifest.Object, at gpuPlace) map[string]int64 {
	var n map[string]int64
	put := func(name string, v int64) {
		if n == nil {
			n = map[string]int64{}
		}
		n[name] = max(n[name], v)
	}
	counted, share := false, ""
	unknown := len(c.count.Unknown)
	for _, list := range []string{"limits", "requests"} {
		for name, v := range manifest.Map(o, "resources", list) {
			what := c.known.of(name)
			if what.kind == notGPU || (what.kind == qualifies && what.shareOf == "") {
				continue
			}
			at.list, at.name = list, name
			switch what.kind {
			case gpuName:
				c.note(at, v)
				whole := c.whole(at, v)
				counted = counted || whole > 0
				put(name, whole)
			case qualifies:
				if q, err := manifest.Quantity(v); err != nil || q.Sign() != 0 {
					c.note(at, v)
					share = what.shareOf
				}
			case accelerator:
				c.unlisted(at)
			default:
				c.note(at, v)
				c.count.Unknown = append(c.count.Unknown, field.Forbidden(c.path(at), cannotCount(what)))
			}
		}
	}
	if share != "" && !counted {
		put(share, 1) // a share without a number of GPUs is one of one GPU
	}
	if added := c.count.Unknown[unknown:]; len(added) > 1 {
		slices.SortFunc(added, func(a, b *field.Error) int { return cmp.Compare(a.Field, b.Field) })
	}
	return n
}

// whole is a number of GPUs; what is none counts as unbounded.
func (c *gpuCounter) whole(at gpuPlace, v any) int64 {
	whole, ok := WholeGPUs(v)
	if !ok {
		c.count.Malformed = append(c.count.Malformed, field.Invalid(c.path(at), v,
			"must be a whole number of GPUs from 0 to 2147483647"))
		return Unbounded
	}
	return whole
}

func (c *gpuCounter) unlisted(at gpuPlace) {
	if slices.ContainsFunc(c.count.Unlisted, func(e *field.Error) bool { return e.BadValue == at.name }) {
		return
	}
	e := field.Forbidden(c.path(at), at.name+" is an accelerator that no policy's gpuResources lists, so it counts as no GPU; "+
		"the platform team lists it there, or in notGPUResources to say so")
	e.BadValue = at.name
	c.count.Unlisted = append(c.count.Unlisted, e)
}

// cannotCount words why a request cannot be counted, and what to do about it.
func cannotCount(what counted) string {
	if what.kind == unknownClass {
		return "devices of DeviceClass " + what.class + ", which no policy lists, cannot be counted as GPUs; " +
			"the platform team lists it in gpuDeviceClasses, or in notGPUDeviceClasses if it has none"
	}
	return "looks like a GPU resource that no policy's gpuResources lists, so it cannot be counted; " +
		"the platform team lists it there, or in notGPUResources if it is no number of GPUs"
}

// WholeGPUs reads a quantity that is a whole number from 0 to 2147483647.
func WholeGPUs(v any) (int64, bool) {
	if text, ok := v.(string); ok && 0 < len(text) && len(text) < 10 && strings.Trim(text, "0123456789") == "" {
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil
	}
	q, err := manifest.Quantity(v)
	if err != nil || q.Sign() < 0 || q.CmpInt64(math.MaxInt32) > 0 {
		return 0, false
	}
	n := q.Value() // rounds up: only a whole number equals it
	return n, q.Cmp(*resource.NewQuantity(n, resource.DecimalSI)) == 0
}

// SaturatingAdd adds two numbers that are not negative; too large is Unbounded.
func SaturatingAdd(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return Unbounded
	}
	return a + b
}

// SaturatingMul multiplies two numbers that are not negative; too large is Unbounded.
func SaturatingMul(a, b int64) int64 {
	if a != 0 && b > math.MaxInt64/a {
		return Unbounded
	}
	return a * b
}
