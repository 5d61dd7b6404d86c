// Package app runs the webhook: in a cluster with [Cluster], or with policies from
// files and no cluster at all with [Standalone].
//
// It does all the reading that verdicts need and none of the deciding. One TLS
// listener serves /mutate and /validate, which hand each request with a snapshot of
// policies and Knative configuration to package review, and /healthz, /readyz and
// /metrics.
//
// What a verdict needs and cannot be read makes the verdict a refusal that the client
// may retry, never an admission.
package app
