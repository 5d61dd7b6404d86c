package quota

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/dynamic-resource-allocation/deviceclass/extendedresourcecache"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/quota/v1/evaluator/core"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// rounds is how many random inputs each comparison has.
const rounds = 100_000

var (
	gpuClasses   = []string{"gpu.nvidia.com", "mig.nvidia.com", "gpu.amd.com", "gpu.intel.com", "house"}
	otherClasses = []string{"nic.example.com", "compute-domain-default-channel.nvidia.com"}
	allClasses   = slices.Concat(gpuClasses, otherClasses)
)

func counting() workload.GPUResources {
	return workload.NewGPUResources(workload.Counting{DeviceClasses: []string{"house"}, NotDeviceClasses: []string{"nic.example.com"}})
}

// reasons are why a claim counts for less than a ResourceQuota counts, and by how much.
type reasons struct {
	// alternatives: of a request's alternatives only one is taken, whatever its class; a
	// ResourceQuota has a limit for each class, and counts the largest of each.
	alternatives int64
	// admin: with adminAccess no device is taken from anybody, where the namespace allows it.
	admin int64
}

func TestClaimsCountLikeAResourceQuota(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	evaluator := core.NewResourceClaimEvaluator(nil, extendedresourcecache.NewExtendedResourceCache(klog.Background()), nil, nil)
	known := counting()
	seen := map[string]int{}
	for i := range rounds {
		claim := randomClaim(r)
		admin := r.IntN(2) == 0
		usage, err := evaluator.Usage(claim)
		require.NoError(t, err)
		quota := int64(0)
		for _, class := range gpuClasses {
			q := usage[core.V1ResourceByDeviceClass(class)]
			quota += q.Value()
		}
		spec := toObject(t, claim.Spec)
		ours := known.CountClaim(spec, field.NewPath("spec"), admin)
		require.Empty(t, ours.Unknown, "input %d", i)
		why := differences(claim, admin)
		allocatable := allocatable(claim, admin)
		require.LessOrEqual(t, allocatable, ours.GPUs, "input %d: below what can be allocated: %v", i, spec)
		require.LessOrEqual(t, ours.GPUs, quota, "input %d: above the ResourceQuota: %v", i, spec)
		require.Equal(t, quota-why.alternatives-why.admin, ours.GPUs, "input %d: a difference without a reason: %v", i, spec)
		for reason, n := range map[string]int64{"alternatives of several classes": why.alternatives, "adminAccess": why.admin} {
			if n > 0 {
				seen[reason]++
			}
		}
		if quota == ours.GPUs {
			seen["the same"]++
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%s: %d of %d", reason, seen[reason], rounds)
	}
	require.Len(t, seen, 3, "every kind of input was drawn")
}

func toObject(t *testing.T, v any) manifest.Object {
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	o, err := manifest.Decode(raw)
	require.NoError(t, err)
	return o
}

// randomClaim is a claim with the defaults of the API.
func randomClaim(r *rand.Rand) *resourceapi.ResourceClaim {
	claim := &resourceapi.ResourceClaim{}
	for i := range r.IntN(4) {
		request := resourceapi.DeviceRequest{Name: fmt.Sprint("r", i)}
		if r.IntN(3) == 0 {
			for j := range 1 + r.IntN(4) {
				mode, count := randomMode(r)
				request.FirstAvailable = append(request.FirstAvailable, resourceapi.DeviceSubRequest{
					Name: fmt.Sprint("s", j), DeviceClassName: allClasses[r.IntN(len(allClasses))], AllocationMode: mode, Count: count})
			}
		} else {
			mode, count := randomMode(r)
			request.Exactly = &resourceapi.ExactDeviceRequest{DeviceClassName: allClasses[r.IntN(len(allClasses))], AllocationMode: mode, Count: count}
			if r.IntN(4) == 0 {
				request.Exactly.AdminAccess = new(r.IntN(2) == 0)
			}
		}
		claim.Spec.Devices.Requests = append(claim.Spec.Devices.Requests, request)
	}
	return claim
}

func randomMode(r *rand.Rand) (resourceapi.DeviceAllocationMode, int64) {
	if r.IntN(5) == 0 {
		return resourceapi.DeviceAllocationModeAll, 0
	}
	return resourceapi.DeviceAllocationModeExactCount, 1 + r.Int64N(40)
}

func isGPU(class string) bool { return slices.Contains(gpuClasses, class) }

func devices(class string, mode resourceapi.DeviceAllocationMode, count int64) int64 {
	switch {
	case !isGPU(class):
		return 0
	case mode == resourceapi.DeviceAllocationModeAll:
		return resourceapi.AllocationResultsMaxSize
	}
	return count
}

// allocatable is the most GPUs that the allocator may give for a claim: it tries every choice of
// alternatives, and gives no claim more than AllocationResultsMaxSize devices.
func allocatable(claim *resourceapi.ResourceClaim, admin bool) int64 {
	sums := []int64{0}
	for _, request := range claim.Spec.Devices.Requests {
		var choices []int64
		for _, s := range request.FirstAvailable {
			choices = append(choices, devices(s.DeviceClassName, s.AllocationMode, s.Count))
		}
		if e := request.Exactly; e != nil {
			n := devices(e.DeviceClassName, e.AllocationMode, e.Count)
			if admin && e.AdminAccess != nil && *e.AdminAccess {
				n = 0
			}
			choices = append(choices, n)
		}
		var next []int64
		for _, sum := range sums {
			for _, choice := range choices {
				next = append(next, sum+choice)
			}
		}
		sums = next
	}
	return min(slices.Max(sums), resourceapi.AllocationResultsMaxSize)
}

func differences(claim *resourceapi.ResourceClaim, admin bool) reasons {
	var why reasons
	for _, request := range claim.Spec.Devices.Requests {
		byClass := map[string]int64{}
		for _, s := range request.FirstAvailable {
			byClass[s.DeviceClassName] = max(byClass[s.DeviceClassName], devices(s.DeviceClassName, s.AllocationMode, s.Count))
		}
		sum, largest := int64(0), int64(0)
		for _, n := range byClass {
			sum, largest = sum+n, max(largest, n)
		}
		why.alternatives += sum - largest
		if e := request.Exactly; e != nil && admin && e.AdminAccess != nil && *e.AdminAccess {
			why.admin += devices(e.DeviceClassName, e.AllocationMode, e.Count)
		}
	}
	return why
}
