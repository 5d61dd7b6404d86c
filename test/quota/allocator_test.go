package quota

import (
	"context"
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
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"

	"github.com/kubetorch/webhook/pkg/workload"
)

const (
	// allocations is how many pods the allocator is asked for.
	allocations = 5000
	// patience is how long one pod may take it: it tries every choice of devices.
	patience = 100 * time.Millisecond
)

var features = structured.Features{AdminAccess: true, PrioritizedList: true, PartitionableDevices: true, DeviceTaints: true, ConsumableCapacity: true}

// room is the devices of a cluster, as a pod's node sees them.
type room struct {
	slices []*resourceapi.ResourceSlice
	node   *corev1.Node
	// products by pool and device.
	products map[string]string
}

// randomRoom has devices of the node, of another one and of all nodes.
func randomRoom(r *rand.Rand) *room {
	w := &room{products: map[string]string{}}
	w.node = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "here", Labels: map[string]string{"nvidia.com/gpu.product": discovered(products[r.IntN(len(products))])}}}
	size := 8
	if r.IntN(8) == 0 {
		size = 24
	}
	for i := range 1 + r.IntN(4) {
		driver := []string{"gpu.nvidia.com", "gpu.nvidia.com", "gpu.nvidia.com", "nic.example.com"}[r.IntN(4)]
		slice := &resourceapi.ResourceSlice{Spec: resourceapi.ResourceSliceSpec{Driver: driver,
			Pool: resourceapi.ResourcePool{Name: fmt.Sprint("pool", i), Generation: 1, ResourceSliceCount: 1}}}
		slice.Name = slice.Spec.Pool.Name
		switch r.IntN(5) {
		case 0:
			slice.Spec.NodeName = new("elsewhere")
		case 1, 2:
			slice.Spec.NodeName = new("here")
		default:
			slice.Spec.AllNodes = new(true)
		}
		common := products[r.IntN(3)]
		for j := range 2 + r.IntN(size) {
			d, product := randomDevice(r, j), common
			if r.IntN(4) == 0 {
				product = products[r.IntN(len(products))]
			}
			d.Attributes["gpu.nvidia.com/productName"] = resourceapi.DeviceAttribute{StringValue: new(product)}
			slice.Spec.Devices = append(slice.Spec.Devices, d)
			w.products[slice.Name+"/"+d.Name] = product
		}
		w.slices = append(w.slices, slice)
	}
	return w
}

func randomDevice(r *rand.Rand, i int) resourceapi.Device {
	d := resourceapi.Device{
		Name: fmt.Sprint("d", i),
		Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
			"gpu.nvidia.com/slot": {IntValue: new(int64(i))}, "other.example.com/productName": {StringValue: new("NVIDIA L4")}},
		Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{
			"gpu.nvidia.com/memory": {Value: resource.MustParse([]string{"24Gi", "80Gi"}[r.IntN(2)])}},
	}
	if r.IntN(5) == 0 {
		d.AllowMultipleAllocations = new(true)
	}
	if r.IntN(8) == 0 {
		d.Taints = []resourceapi.DeviceTaint{{Key: "broken", Effect: resourceapi.DeviceTaintEffectNoSchedule}}
	}
	return d
}

// given is what the allocator gave: GPUs, without those that are only looked at, and how many of each product.
type given struct {
	gpus      int64
	byProduct map[string]int64
}

func (g *given) add(w *room, claim *resourceapi.ResourceClaim, results []resourceapi.DeviceRequestAllocationResult) {
	for _, result := range results {
		if (result.AdminAccess != nil && *result.AdminAccess) || !isGPU(classOf(claim, result.Request)) {
			continue
		}
		g.gpus++
		g.byProduct[discovered(w.products[result.Pool+"/"+result.Device])]++
	}
}

// classOf is the class of a request of a claim, or of one of its alternatives.
func classOf(claim *resourceapi.ResourceClaim, name string) string {
	request, alternative, _ := strings.Cut(name, "/")
	for _, had := range claim.Spec.Devices.Requests {
		switch {
		case had.Name != request:
		case had.Exactly != nil:
			return had.Exactly.DeviceClassName
		default:
			i := slices.IndexFunc(had.FirstAvailable, func(s resourceapi.DeviceSubRequest) bool { return s.Name == alternative })
			return had.FirstAvailable[i].DeviceClassName
		}
	}
	return ""
}

// allocate asks Kubernetes' allocator for the devices of claims, as the scheduler does; false if there are none.
func allocate(t *testing.T, w *world, in *room, cache *cel.Cache, claims []*resourceapi.ResourceClaim) ([]resourceapi.AllocationResult, bool) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	state := structured.AllocatedState{AllocatedDevices: sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](), AggregatedCapacity: structured.NewConsumedCapacityCollection()}
	allocator, err := structured.NewAllocator(ctx, features, state, w, in.slices, cache)
	require.NoError(t, err)
	// An error is that of a selector, or of an allocation that takes too long: there are no devices.
	results, err := allocator.Allocate(ctx, in.node, claims)
	return results, err == nil && len(results) == len(claims)
}

// extended adds resources to a pod, and returns the claim that the scheduler makes for those that classes stand
// behind; nil if for none. A device plug-in of the node gives the others, of the node's product.
func extended(r *rand.Rand, w *world, p *pod) (claim *resourceapi.ResourceClaim, plain int64) {
	claim = &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: "extended", Namespace: "ns"}}
	names := []string{"nvidia.com/gpu", "example.com/card", "example.com/board", resourceapi.ResourceDeviceClassPrefix + gpuClasses[r.IntN(len(gpuClasses))]}
	for i := range r.IntN(3) {
		name, n := corev1.ResourceName(names[r.IntN(len(names))]), 1+r.Int64N(3)
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", i), Resources: corev1.ResourceRequirements{
			Limits: corev1.ResourceList{name: *resource.NewQuantity(n, resource.DecimalSI)}}})
		class := w.aliases.GetDeviceClass(name)
		switch {
		case name == "nvidia.com/gpu" && (class == nil || r.IntN(2) == 0):
			plain += n
		case class != nil:
			claim.Spec.Devices.Requests = append(claim.Spec.Devices.Requests, resourceapi.DeviceRequest{Name: fmt.Sprintf("container-%d-request-0", i),
				Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: class.Name, AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: n}})
		}
	}
	if len(claim.Spec.Devices.Requests) == 0 {
		return nil, plain
	}
	return claim, plain
}

// TestNoClaimGetsMoreThanItCounts asks Kubernetes' own allocator for the devices of pods: a claim, and a pod with the
// claims that are made for it, count at least what is given, for a budget of every product too.
func TestNoClaimGetsMoreThanItCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	cache := cel.NewCache(1000, cel.Features{EnableConsumableCapacity: true})
	seen := map[string]int{}
	var w *world
	for i := range allocations {
		if i%10 == 0 {
			w = randomWorld(t, r)
		}
		in, admin, p := randomRoom(r), r.IntN(2) == 0, randomPod(t, r, r.IntN(3), 3)
		scheduled, plain := extended(r, w, p)
		if r.IntN(2) == 0 {
			p.Spec.NodeSelector = map[string]string{"nvidia.com/gpu.product": in.node.Labels["nvidia.com/gpu.product"]}
		}
		known := w.counted(p, admin)
		for _, claim := range p.named {
			usage := workload.ClaimUsage(toManifest(t, "ResourceClaim", claim), known)
			check(t, seen, "a claim", given{byProduct: map[string]int64{}}, usage, w, in, cache, []*resourceapi.ResourceClaim{claim})
		}
		claims := p.templated
		if scheduled != nil {
			claims = append(slices.Clone(claims), scheduled)
		}
		got := given{gpus: plain, byProduct: map[string]int64{}}
		if plain > 0 {
			got.byProduct[in.node.Labels["nvidia.com/gpu.product"]] = plain
		}
		check(t, seen, "a pod", got, workload.PodUsage(toManifest(t, "Pod", p.Pod), known), w, in, cache, claims)
	}
	t.Log(seen)
	for what, least := range map[string]int{"a claim": 400, "a claim: as many as it counts": 200, "a claim: of one product": 50,
		"a pod": 1000, "a pod: as many as it counts": 500, "a pod: of one product": 50} {
		require.Greater(t, seen[what], least, what)
	}
}

// check holds what is given to claims, beside what a pod gets otherwise, against what is counted.
func check(t *testing.T, seen map[string]int, what string, got given, usage workload.Usage, w *world, in *room, cache *cel.Cache, claims []*resourceapi.ResourceClaim) {
	if len(claims) == 0 || len(usage.GPUs.Unknown) > 0 {
		return // nothing is given, or it is refused
	}
	results, ok := allocate(t, w, in, cache, claims)
	if !ok {
		seen[what+": no devices"]++
		return
	}
	for i, result := range results {
		got.add(in, claims[i], result.Devices.Results)
	}
	if got.gpus == 0 {
		return
	}
	seen[what]++
	if len(usage.Parts) > 0 && usage.Parts[0].Type != "" {
		seen[what+": of one product"]++
	}
	if got.gpus == usage.GPUs.PerPod {
		seen[what+": as many as it counts"]++
	}
	require.LessOrEqual(t, got.gpus, usage.GPUs.PerPod, "%s gets more than it counts: %v %v", what, toObjects(t, claims), results)
	for product, n := range got.byProduct {
		counted := int64(0)
		list := workload.NewTypeList([]string{product})
		for _, part := range usage.Parts {
			if list.MayBe(part.Type) {
				counted += part.GPUs
			}
		}
		require.LessOrEqual(t, n, counted, "%s gets more %s than it counts: %v %v, classes %v", what, product, toObjects(t, claims), results, toObject(t, w.classes))
	}
}

func toObjects(t *testing.T, claims []*resourceapi.ResourceClaim) (specs []any) {
	for _, claim := range claims {
		specs = append(specs, toObject(t, claim.Spec))
	}
	return specs
}
