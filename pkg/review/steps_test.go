package review_test

import (
	"context"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/review"
)

// The steps of a request where all that they read can be read.

func mutate(r *review.Request, w review.World) *admissionv1.AdmissionResponse {
	return must(r.Mutate(context.Background(), w))
}

func validate(r *review.Request, w review.World) *admissionv1.AdmissionResponse {
	return must(r.Validate(context.Background(), w))
}

func claimsOf(r *review.Request, w review.World) []review.Claim {
	return must(r.Claims(context.Background(), w))
}

func become(w review.World, deployment, live manifest.Object) (service manifest.Object, v review.Verdict, fixed int64) {
	c, fixed, err := review.Become(context.Background(), w, deployment, live)
	if err != nil {
		panic(err)
	}
	return c.Service, c.Verdict, fixed
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
