// Package simulate tells what an autoscaled workload will do under a load: how many pods it
// will have, for how long, and how long requests wait.
//
// The number of pods that a workload wants comes from Knative's own decider
// (knative.dev/serving/pkg/autoscaler/scaling), fed with Knative's own averages
// (pkg/autoscaler/aggregation), every two seconds of simulated time. What Knative's
// PodAutoscaler reconciler makes of it (scale bounds, the initial scale, scale to zero) is
// restated in reconcile.go, since that code reads a wall clock. Pods take their time to
// start and to end, requests take a service time from a distribution, and what finds no free
// place waits in one queue, first in, first out.
//
// The package is pure: no clock, no random numbers beyond a given seed, no files. The same
// input gives the same result.
package simulate
