package dryrun

import (
	"context"
	"encoding/json"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/review"
)

// mostTypes is how many types of GPUs are tried for one refusal.
const mostTypes = 8

// Search looks for numbers of pods with which a request would be admitted that is refused for its number of pods.
type Search struct {
	World review.World
	// Budgets hold in the namespace of the request by its labels, if these are known.
	Budgets *policy.Budgets
	Labels  map[string]string
	Known   bool
	// Room tells whether the budgets that refuse have room for charges.
	Room func(ctx context.Context, charges []review.BudgetCharge) (bool, error)

	err error // of reading: nothing is known then
}

// Fitting is what would fit, as a refusal ends with it.
func (s *Search) Fitting(ctx context.Context, refused *review.Request) review.Fitting {
	if !refused.ForPods() {
		return review.Fitting{Tried: true}
	}
	what, fits := s.Fits(ctx, refused.Raw())
	return review.Fitting{Words: Sentence(what, fits), Tried: what != ""}
}

// Fits are numbers of pods that are admitted, as the workload is and with GPUs of each other type that budgets or
// policies name for it and of which more fit. what is the field that has the number; it is empty for kinds that have none.
func (s *Search) Fits(ctx context.Context, raw *admissionv1.AdmissionRequest) (what string, fits []Fit) {
	object, err := manifest.Decode(raw.Object.Raw)
	if err != nil || (raw.SubResource != "" && raw.SubResource != "scale") || (raw.Operation != admissionv1.Create && raw.Operation != admissionv1.Update) {
		return "", nil
	}
	scale, ok := scaleOf(object)
	if !ok || scale.pods < 1 {
		return "", nil
	}
	s.World.Live, s.World.Reader = remembered(s.World.Live), remembered(s.World.Reader)
	asIs, err := admit(ctx, s.World, withObject(raw, raw.Object.Raw))
	if err != nil {
		return scale.name, nil
	}
	// Of a type that has more room, no more is suggested than was asked for.
	asked := min(askedFor(asIs.Claims, scale.pods), mostTried)
	as := Largest(asked, s.fits(ctx, raw, object, scale, ""))
	if as > 0 {
		fits = append(fits, scale.fit(object, as, ""))
	}
	if scale.labelled && asIs.Request != nil {
		types := asIs.Request.GPUTypes(s.World, s.Budgets, s.Labels, s.Known)
		for _, kind := range types[:min(len(types), mostTypes)] {
			with := s.fits(ctx, raw, object, scale, kind)
			if as < asked && with(as+1) { // of most types no more fit
				fits = append(fits, scale.fit(object, largestFrom(as+1, asked+1, with), kind))
			}
		}
	}
	if s.err != nil {
		return scale.name, nil
	}
	return scale.name, fits
}

// askedFor is how many pods a workload asks for that claims GPUs, else what it states.
func askedFor(claims []review.Claim, stated int64) int64 {
	most := int64(0)
	for i := range claims {
		if claims[i].Demand.Claim > 0 {
			most = max(most, claims[i].Demand.PeakPods)
		}
	}
	if most == 0 {
		return stated
	}
	return most
}

// fits tries numbers of pods, with GPUs of a type if it is not empty.
func (s *Search) fits(ctx context.Context, raw *admissionv1.AdmissionRequest, object manifest.Object, scale scale, kind string) func(int64) bool {
	return func(n int64) bool {
		if s.err == nil {
			s.err = ctx.Err() // each try takes time of a processor
		}
		if s.err != nil {
			return false
		}
		changed, _ := scale.with(object, n, kind)
		fits, err := s.admits(ctx, raw, changed)
		if err != nil {
			s.err = err
		}
		return fits
	}
}

// admits tells whether an object is admitted in place of that of a request.
func (s *Search) admits(ctx context.Context, raw *admissionv1.AdmissionRequest, object manifest.Object) (bool, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return false, err
	}
	r, err := admit(ctx, s.World, withObject(raw, text))
	if err != nil || !r.Allowed || r.Request == nil {
		return r.Allowed, err
	}
	charges, refused := r.Request.Charges(s.Budgets, r.Claims, s.Labels, s.Known, false)
	if len(refused) > 0 || len(charges) == 0 {
		return len(refused) == 0, nil
	}
	return s.Room(ctx, charges)
}

// withObject is a request with another object, which is asked about and not stored.
func withObject(raw *admissionv1.AdmissionRequest, object []byte) *admissionv1.AdmissionRequest {
	asked, dry := *raw, true
	asked.Object, asked.DryRun = runtime.RawExtension{Raw: object}, &dry
	return &asked
}

func (s *scale) fit(object manifest.Object, pods int64, kind string) Fit {
	_, lowered := s.with(object, pods, kind)
	return Fit{Pods: pods, Type: kind, Lowered: lowered}
}
