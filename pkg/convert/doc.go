// Package convert turns a Deployment into the Knative Service that pkg/expand then
// expands. It is pure, and gives the same result for a Deployment as its author wrote it
// and as the API server hands it over: what equals a default of the API server
// (k8s.io/kubernetes pkg/apis/core/v1/defaults.go and pkg/apis/apps/v1/defaults.go)
// counts as not stated.
//
// What a Knative Service can hold is in Knative's pkg/apis/serving/fieldmask.go and in
// the schema of its CRD. The tables in podspec.go, container.go and deployment.go have a
// row for every field of a Deployment: it is kept, or left out, or refused with what to do
// about it. Fields that depend on a flag of config-features are kept here and judged by
// Knative's own validation, which knows the flags.
package convert
