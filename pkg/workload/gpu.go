package workload

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// DefaultGPUResource is what the parameter gpus asks for unless a policy says otherwise.
const DefaultGPUResource = "nvidia.com/gpu"

// BuiltInGPUResources count as GPUs everywhere. A trailing * matches any suffix.
var BuiltInGPUResources = []string{
	"nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-*", "amd.com/gpu", "gpu.intel.com/*",
}

// Unbounded stands for a number without an upper limit, and for numbers too large to
// be one of pods or GPUs.
const Unbounded = math.MaxInt64

// GPUResources is a list of resource names and patterns that count as GPUs.
type GPUResources []string

// Match tells whether a resource name counts as GPUs.
func (g GPUResources) Match(name string) bool {
	return slices.ContainsFunc(g, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return name == pattern
	})
}

// GPUCount is what one pod asks for.
type GPUCount struct {
	// PerPod is the number of GPUs, over all GPU resources.
	PerPod int64
	// Malformed are quantities that are no whole number of GPUs.
	Malformed field.ErrorList
	// Unknown are requests that look like GPUs and cannot be counted.
	Unknown field.ErrorList
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

// CountGPUs counts the GPUs of one pod as the scheduler does (Kubernetes
// component-helpers resource.PodRequests): per resource, the larger of what runs side
// by side (containers and restartable init containers) and the largest init container
// with the restartable ones before it; pod-level resources where they are larger. Each
// container counts with the larger of limit and request.
func CountGPUs(podSpec manifest.Object, path *field.Path, known GPUResources) GPUCount {
	c := gpuCounter{known: known, pod: path}
	if podSpec["initContainers"] == nil && podSpec["resources"] == nil && podSpec["resourceClaims"] == nil && len(manifest.List(podSpec, "containers")) == 1 {
		for _, v := range c.container(manifest.Objects(podSpec, "containers")[0], gpuPlace{containers: "containers"}) {
			c.count.PerPod = SaturatingAdd(c.count.PerPod, v)
		}
		return c.count
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
	for _, v := range c.peak {
		c.count.PerPod = SaturatingAdd(c.count.PerPod, v)
	}
	if claims := manifest.List(podSpec, "resourceClaims"); len(claims) > 0 {
		c.note(gpuPlace{list: "resourceClaims"}, claims)
		c.count.Unknown = append(c.count.Unknown, field.Forbidden(path.Child("resourceClaims"),
			"devices asked for through resource claims cannot be counted as GPUs; ask for a GPU resource instead"))
	}
	return c.count
}

type gpuCounter struct {
	known   GPUResources
	pod     *field.Path
	count   GPUCount
	running map[string]int64 // per resource: what runs side by side
	peak    map[string]int64 // per resource: the most at any time
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
	for _, list := range []string{"limits", "requests"} {
		resources := manifest.Map(o, "resources", list)
		for name, v := range resources {
			at.list, at.name = list, name
			if !c.known.Match(name) {
				if strings.HasPrefix(name, resourcev1.ResourceDeviceClassPrefix) {
					c.note(at, v)
					c.count.Unknown = append(c.count.Unknown, field.Forbidden(c.path(at), "devices of a class that no policy's gpuResources lists cannot be counted as GPUs; ask for a GPU resource instead"))
				} else if strings.Contains(strings.ToLower(name), "gpu") && strings.Contains(name, "/") {
					c.note(at, v)
					c.count.Unknown = append(c.count.Unknown, field.Forbidden(c.path(at),
						"looks like a GPU resource that no policy's gpuResources lists, so it cannot be counted"))
				}
				continue
			}
			c.note(at, v)
			whole, ok := WholeGPUs(v)
			if !ok {
				c.count.Malformed = append(c.count.Malformed, field.Invalid(c.path(at), v, "must be a whole number of GPUs from 0 to 2147483647"))
				whole = Unbounded
			}
			if n == nil {
				n = map[string]int64{}
			}
			n[name] = max(n[name], whole)
		}
	}
	return n
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

// gpuTypeLabels are the node labels that name a GPU product.
var gpuTypeLabels = []string{
	"nvidia.com/gpu.product", "amd.com/gpu.product-name", "gpu.intel.com/product",
	"cloud.google.com/gke-accelerator", "k8s.amazonaws.com/accelerator", "karpenter.k8s.aws/instance-gpu-name",
}

// gpuTypeNames are the names, behind any prefix, of further labels that do: what the
// parameter gpu-type may name.
var gpuTypeNames = []string{"gpu", "gpu-type", "gpu.type", "gpu-product", "gpu.product", "accelerator", "accelerator-type"}

func namesGPUType(label string) bool {
	return slices.Contains(gpuTypeLabels, label) || slices.Contains(gpuTypeNames, label[strings.LastIndex(label, "/")+1:])
}

// GPUType is the one GPU type that a pod's nodeSelector or required node affinity pins
// it to; ok is false where it may land on several.
func GPUType(podSpec manifest.Object) (gpuType string, ok bool) {
	selector := manifest.Texts(podSpec, "nodeSelector")
	for _, label := range gpuTypeLabels {
		if v, found := selector[label]; found {
			return v, true
		}
	}
	for _, label := range slices.Sorted(maps.Keys(selector)) {
		if namesGPUType(label) {
			return selector[label], true
		}
	}
	terms := manifest.Objects(manifest.Map(podSpec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms")
	for _, term := range terms {
		v, pinned := termGPUType(term)
		if !pinned || (ok && v != gpuType) {
			return "", false
		}
		gpuType, ok = v, true
	}
	return gpuType, ok
}

// GPUProduct is the GPU type that well-known labels pin a pod to, empty where none does. A
// label of another name may mean anything, so it takes no pod out of a budget.
func GPUProduct(podSpec manifest.Object) string {
	selector := manifest.Texts(podSpec, "nodeSelector")
	for _, label := range gpuTypeLabels {
		if v := selector[label]; v != "" {
			return v
		}
	}
	product := ""
	terms := manifest.Objects(manifest.Map(podSpec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"), "nodeSelectorTerms")
	for _, term := range terms {
		v := termProduct(term)
		if v == "" || (product != "" && v != product) {
			return ""
		}
		product = v
	}
	return product
}

func termProduct(term manifest.Object) string {
	for _, e := range manifest.Objects(term, "matchExpressions") {
		values := manifest.List(e, "values")
		if manifest.Text(e, "operator") == "In" && len(values) == 1 && slices.Contains(gpuTypeLabels, manifest.Text(e, "key")) {
			v, _ := values[0].(string)
			return v
		}
	}
	return ""
}

func termGPUType(term manifest.Object) (string, bool) {
	for _, e := range manifest.Objects(term, "matchExpressions") {
		values := manifest.List(e, "values")
		if manifest.Text(e, "operator") == "In" && len(values) == 1 && namesGPUType(manifest.Text(e, "key")) {
			v, ok := values[0].(string)
			return v, ok
		}
	}
	return "", false
}
