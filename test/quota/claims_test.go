package quota

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	quotav1 "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/dynamic-resource-allocation/deviceclass/extendedresourcecache"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/quota/v1/evaluator/core"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// rounds is how many random inputs each comparison has.
const rounds = 100_000

// perWorld is how many claims are drawn over the same DeviceClasses.
const perWorld = 100

// reasons are why a claim counts for less than a ResourceQuota counts over all classes of GPUs, and by how much.
type reasons struct {
	// alternatives: of a request's alternatives only one is taken, whatever its class; a
	// ResourceQuota has a limit for each class, and counts the largest of each.
	alternatives int64
	// admin: with adminAccess no device is taken from anybody, where the namespace allows it.
	admin int64
	// unlisted: what is asked for of a class that no policy lists is nothing that is counted, but refused
	// under a bound or a budget; a ResourceQuota that names no such class does not limit it.
	unlisted bool
}

// tally is how often each reason held.
type tally map[string]int

func (n tally) add(why reasons, same bool) {
	for reason, holds := range map[string]bool{
		"the same": same, "less: alternatives of several classes": why.alternatives > 0,
		"less: adminAccess where the namespace allows it": why.admin > 0, "refused: a class that nobody lists": why.unlisted,
	} {
		if holds {
			n[reason]++
		}
	}
}

func (n tally) log(t *testing.T) {
	for _, reason := range slices.Sorted(maps.Keys(n)) {
		t.Logf("%s: %d", reason, n[reason])
	}
}

// TestClaimsCountLikeAResourceQuota: claims by themselves, and those that are made for pods of templates. What a
// pod only names counts nothing with the pod.
func TestClaimsCountLikeAResourceQuota(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	evaluator := core.NewResourceClaimEvaluator(nil, extendedresourcecache.NewExtendedResourceCache(klog.Background()), nil, nil)
	seen := tally{}
	var w *world
	for drawn, next := 0, 0; drawn < rounds; {
		if drawn >= next {
			w, next = randomWorld(t, r), drawn+perWorld
		}
		admin, p := r.IntN(2) == 0, randomPod(t, r, 1+r.IntN(3), 40)
		drawn += len(p.templated) + len(p.named)
		known := w.counted(p, admin)
		var sum int64
		unlisted := false
		for _, claim := range slices.Concat(p.templated, p.named) {
			n, why := compare(t, evaluator, w, claim, admin)
			if slices.Contains(p.templated, claim) {
				sum, unlisted = sum+n.GPUs, unlisted || why.unlisted
			}
			seen.add(why, why == reasons{})
			alone := workload.ClaimUsage(toManifest(t, "ResourceClaim", claim), known)
			require.Equal(t, n.GPUs, alone.GPUs.PerPod)
			require.Equal(t, why.unlisted, len(alone.GPUs.Unknown) > 0)
		}
		ours := workload.PodUsage(toManifest(t, "Pod", p.Pod), known)
		require.Equal(t, sum, ours.GPUs.PerPod, "claim %d: a pod counts what its templates do", drawn)
		require.Equal(t, unlisted, len(ours.GPUs.Unknown) > 0, "claim %d: %v", drawn, ours.GPUs.Unknown)
	}
	seen.log(t)
	require.Len(t, seen, 4, "every kind of input was drawn")
}

// compare counts one claim as a ResourceQuota does, as the arithmetic below and as we do.
func compare(t *testing.T, evaluator quotav1.Evaluator, w *world, claim *resourceapi.ResourceClaim, admin bool) (workload.ClaimCount, reasons) {
	usage, err := evaluator.Usage(claim)
	require.NoError(t, err)
	quota := int64(0)
	for _, class := range gpuClasses {
		q := usage[core.V1ResourceByDeviceClass(class)]
		quota += q.Value()
	}
	spec := toObject(t, claim.Spec)
	ours := w.known.CountClaim(spec, field.NewPath("spec"), admin)
	why := differences(claim, admin)
	require.Equal(t, why.unlisted, len(ours.Unknown) > 0, "%v: %v", spec, ours.Unknown)
	require.LessOrEqual(t, allocatable(claim, admin), ours.GPUs, "below what can be allocated: %v", spec)
	require.LessOrEqual(t, ours.GPUs, quota, "above the ResourceQuota: %v", spec)
	require.Equal(t, quota-why.alternatives-why.admin, ours.GPUs, "a difference without a reason: %v", spec)
	return ours, why
}

func toObject(t *testing.T, v any) manifest.Object {
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	o, err := manifest.Decode(raw)
	require.NoError(t, err)
	return o
}

func devices(class string, mode resourceapi.DeviceAllocationMode, count int64) int64 {
	switch {
	case !isGPU(class):
		return 0
	case mode == resourceapi.DeviceAllocationModeAll:
		return resourceapi.AllocationResultsMaxSize
	}
	return count
}

// looksOn tells whether a request is one for adminAccess that the namespace allows.
func looksOn(e *resourceapi.ExactDeviceRequest, admin bool) bool {
	return admin && e.AdminAccess != nil && *e.AdminAccess
}

// allocatable is the most GPUs that may be given for a claim, by every choice of alternatives: no claim gets more
// than AllocationResultsMaxSize devices. What the allocator itself gives is another test.
func allocatable(claim *resourceapi.ResourceClaim, admin bool) int64 {
	sums := []int64{0}
	for _, request := range claim.Spec.Devices.Requests {
		var choices []int64
		for _, s := range request.FirstAvailable {
			choices = append(choices, devices(s.DeviceClassName, s.AllocationMode, s.Count))
		}
		if e := request.Exactly; e != nil {
			n := devices(e.DeviceClassName, e.AllocationMode, e.Count)
			if looksOn(e, admin) {
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
			why.unlisted = why.unlisted || isUnlisted(s.DeviceClassName)
		}
		sum, largest := int64(0), int64(0)
		for _, n := range byClass {
			sum, largest = sum+n, max(largest, n)
		}
		why.alternatives += sum - largest
		switch e := request.Exactly; {
		case e == nil:
		case looksOn(e, admin):
			why.admin += devices(e.DeviceClassName, e.AllocationMode, e.Count)
		default:
			why.unlisted = why.unlisted || isUnlisted(e.DeviceClassName)
		}
	}
	return why
}
