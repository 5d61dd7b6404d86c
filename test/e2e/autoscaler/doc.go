// Package autoscaler holds the simulation against Knative's real autoscaler: its process, fed over its statistics
// server as the activator feeds it, in a real API server. Its tests have the build tag autoscaler: they take a quiet
// machine, on which the process logs what it decides in time.
package autoscaler
