package review

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

// besideLeft are the claim of a root with a new pod, and those of what holds GPUs beside the pods of the root:
// for these the ledger as a whole has to have room.
func (r *Request) besideLeft(w World, c Claim) []Claim {
	claims := append([]Claim{c}, r.podsBeside(r.related.left)...)
	for _, left := range []struct {
		kind    schema.GroupKind
		objects []manifest.Object
		usage   func(manifest.Object) workload.Usage
	}{
		{RevisionKind, r.related.leftRevisions, func(o manifest.Object) workload.Usage { return workload.RevisionUsage(o, w.Knative, r.gpus) }},
		{workload.ResourceClaimKind, r.related.leftClaims, func(o manifest.Object) workload.Usage { return workload.ClaimUsage(o, r.gpus) }},
	} {
		for _, o := range left.objects {
			claims = append(claims, beside(o, left.kind, left.usage(o))...)
		}
	}
	if len(claims) > 1 {
		claims[0].Settled = false
	}
	return claims
}

// podsBeside are the claims of pods that hold GPUs by themselves, beside others in their place.
func (r *Request) podsBeside(pods []manifest.Object) (claims []Claim) {
	for _, o := range pods {
		claims = append(claims, beside(o, workload.PodKind, workload.PodUsage(o, r.gpus))...)
	}
	return claims
}

// beside is the claim of an object for which the ledger as a whole has to have room; none without GPUs.
func beside(o manifest.Object, kind schema.GroupKind, u workload.Usage) []Claim {
	if u.Claim == 0 {
		return nil
	}
	return []Claim{{Key: key(o, kind.Kind), Kind: kind.Kind, Name: manifest.Text(o, "metadata", "name"), New: u.Parts, Demand: u, Beyond: true}}
}
