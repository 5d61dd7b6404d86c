package quota

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/dynamic-resource-allocation/deviceclass/extendedresourcecache"
	"k8s.io/klog/v2"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Names of DeviceClasses: of GPUs, built in or listed by a policy; of other devices; and in no list.
var (
	gpuClasses      = []string{"gpu.nvidia.com", "mig.nvidia.com", "vfio.gpu.nvidia.com", "gpu.amd.com", "gpu.intel.com", "house", "team-a", "team-b"}
	otherClasses    = []string{"nic.example.com", "fpga-large", "compute-domain-default-channel.nvidia.com"}
	unlistedClasses = []string{"mystery", "teams"}
	allClasses      = slices.Concat(gpuClasses, otherClasses, unlistedClasses)
)

func isGPU(class string) bool      { return slices.Contains(gpuClasses, class) }
func isUnlisted(class string) bool { return slices.Contains(unlistedClasses, class) }

// products as drivers write them, of which the table of products has all but one; one means two of them.
var products = []string{"NVIDIA L4", "NVIDIA H100 NVL", "NVIDIA A100-SXM4-80GB", "Tesla T4", "a100", "gold"}

// selectors of requests and of classes.
var selectors = []string{
	`device.driver == "gpu.nvidia.com"`,
	`device.driver != "nic.example.com"`,
	`device.attributes["gpu.nvidia.com"].productName == "NVIDIA L4"`,
	`device.attributes['gpu.nvidia.com'].productName == 'NVIDIA H100 NVL'`,
	`device.attributes["gpu.nvidia.com"].productName == "NVIDIA A100-SXM4-80GB"`,
	`device.attributes["gpu.nvidia.com"].productName == "a100"`,
	`device.attributes["gpu.nvidia.com"].productName == "gold"`,
	`device.driver == "gpu.nvidia.com" && device.attributes["gpu.nvidia.com"].productName == "Tesla T4"`,
	`device.attributes["gpu.nvidia.com"].productName == "NVIDIA L4" && device.attributes["gpu.nvidia.com"].slot < 6`,
	`device.attributes["gpu.nvidia.com"].productName == "NVIDIA L4" || device.attributes["gpu.nvidia.com"].productName == "NVIDIA H100 NVL"`,
	`!(device.attributes["gpu.nvidia.com"].productName == "NVIDIA L4")`,
	`device.attributes["gpu.nvidia.com"].productName == "NVIDIA L4" ? false : true`,
	`device.attributes["gpu.nvidia.com"].productName != "NVIDIA L4"`,
	`device.attributes["gpu.nvidia.com"].productName.startsWith("NVIDIA")`,
	`'x && device.attributes["gpu.nvidia.com"].productName == "NVIDIA L4" && y' != device.driver`,
	`device.attributes["other.example.com"].productName == "NVIDIA L4"`,
	`device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("40Gi")) >= 0`,
}

// randomSelectors are none, one or, rarely, two.
func randomSelectors(r *rand.Rand) (list []resourceapi.DeviceSelector) {
	for range [...]int{0, 0, 0, 0, 0, 1, 1, 1, 1, 2}[r.IntN(10)] {
		from := selectors
		if r.IntN(2) == 0 {
			from = selectors[2:5] // what is read
		}
		list = append(list, resourceapi.DeviceSelector{CEL: &resourceapi.CELDeviceSelector{Expression: from[r.IntN(len(from))]}})
	}
	return list
}

// world is the DeviceClasses of a cluster, and how they are counted.
type world struct {
	classes map[string]*resourceapi.DeviceClass
	// aliases has which class the scheduler takes for a resource name.
	aliases *extendedresourcecache.ExtendedResourceCache
	known   workload.GPUResources
}

// resourceNames are those that classes may claim.
var resourceNames = []string{"nvidia.com/gpu", "example.com/card", "example.com/board"}

func randomWorld(t *testing.T, r *rand.Rand) *world {
	w := &world{classes: map[string]*resourceapi.DeviceClass{}, aliases: extendedresourcecache.NewExtendedResourceCache(klog.Background())}
	counting := workload.Counting{DeviceClasses: []string{"house", "team-*"}, NotDeviceClasses: []string{"nic.example.com", "fpga-*"}}
	for _, name := range allClasses {
		class := &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.Time{Time: time.Unix(r.Int64N(3), 0)}}}
		if r.IntN(2) == 0 {
			class.Spec.Selectors = randomSelectors(r)
		}
		if r.IntN(3) == 0 {
			class.Spec.ExtendedResourceName = new(resourceNames[r.IntN(len(resourceNames))])
		}
		w.classes[name] = class
		w.aliases.OnAdd(class, false)
		counting.Classes = append(counting.Classes, workload.ReadDeviceClass(toObject(t, class)))
	}
	w.known = workload.NewGPUResources(counting)
	return w
}

// List and Get show the classes to the allocator.
func (w *world) List() ([]*resourceapi.DeviceClass, error) { return nil, nil }

func (w *world) Get(name string) (*resourceapi.DeviceClass, error) { return w.classes[name], nil }

// randomRequest is what a request, or one of its alternatives, says, for up to so many devices.
func randomRequest(r *rand.Rand, most int64) resourceapi.ExactDeviceRequest {
	request := resourceapi.ExactDeviceRequest{
		DeviceClassName: gpuClasses[r.IntN(len(gpuClasses))], Selectors: randomSelectors(r),
		AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 1 + r.Int64N(most),
	}
	switch n := r.IntN(40); {
	case n == 0:
		request.DeviceClassName = unlistedClasses[r.IntN(len(unlistedClasses))]
	case n < 9:
		request.DeviceClassName = otherClasses[r.IntN(len(otherClasses))]
	}
	if r.IntN(5) == 0 {
		request.AllocationMode, request.Count = resourceapi.DeviceAllocationModeAll, 0
	}
	if r.IntN(4) == 0 {
		request.Tolerations = []resourceapi.DeviceToleration{{Operator: resourceapi.DeviceTolerationOpExists}}
	}
	if r.IntN(4) == 0 {
		request.Capacity = &resourceapi.CapacityRequirements{Requests: map[resourceapi.QualifiedName]resource.Quantity{
			"gpu.nvidia.com/memory": resource.MustParse(fmt.Sprintf("%dGi", 5+5*r.IntN(12)))}}
	}
	return request
}

// randomSpec is that of a claim with the defaults of the API, with up to so many devices in a request.
func randomSpec(r *rand.Rand, most int64) (spec resourceapi.ResourceClaimSpec) {
	for i := range [...]int{0, 1, 1, 1, 2, 2, 3}[r.IntN(7)] {
		request := resourceapi.DeviceRequest{Name: fmt.Sprint("r", i)}
		if r.IntN(3) > 0 {
			request.Exactly = new(randomRequest(r, most))
			if r.IntN(4) == 0 {
				request.Exactly.AdminAccess = new(r.IntN(2) == 0)
			}
		} else {
			for j := range 1 + r.IntN(4) {
				e := randomRequest(r, most)
				request.FirstAvailable = append(request.FirstAvailable, resourceapi.DeviceSubRequest{Name: fmt.Sprint("s", j), DeviceClassName: e.DeviceClassName,
					Selectors: e.Selectors, AllocationMode: e.AllocationMode, Count: e.Count, Tolerations: e.Tolerations, Capacity: e.Capacity})
			}
		}
		spec.Devices.Requests = append(spec.Devices.Requests, request)
	}
	return spec
}

// pod is one with claims: some that are made of templates for it, others that it names.
type pod struct {
	corev1.Pod
	templated, named []*resourceapi.ResourceClaim
	templates        []manifest.Object
}

func randomPod(t *testing.T, r *rand.Rand, claims int, most int64) *pod {
	p := &pod{Pod: corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "p"}}}
	for i := range claims {
		name := fmt.Sprint("c", i)
		claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns"}, Spec: randomSpec(r, most)}
		entry := corev1.PodResourceClaim{Name: name}
		if r.IntN(3) > 0 {
			template := resourceapi.ResourceClaimTemplate{ObjectMeta: claim.ObjectMeta, Spec: resourceapi.ResourceClaimTemplateSpec{Spec: claim.Spec}}
			p.templated, p.templates = append(p.templated, claim), append(p.templates, toObject(t, template))
			entry.ResourceClaimTemplateName = &name
		} else {
			p.named = append(p.named, claim)
			entry.ResourceClaimName = &name
		}
		p.Spec.ResourceClaims = append(p.Spec.ResourceClaims, entry)
	}
	return p
}

// counted are the rules of a world with the templates of a pod, in a namespace that allows claims of
// administrators or not.
func (w *world) counted(p *pod, admin bool) workload.GPUResources {
	claims := workload.NewClaims(p.templates, nil)
	claims.AdminAccess = func(string) bool { return admin }
	return w.known.WithClaims(claims, "ns")
}

// discovered is how feature discovery writes the name of a product.
func discovered(product string) string { return strings.ReplaceAll(product, " ", "-") }

func toManifest(t *testing.T, kind string, v any) manifest.Object {
	o := toObject(t, v)
	require.NotNil(t, o)
	o["kind"] = kind
	return o
}
