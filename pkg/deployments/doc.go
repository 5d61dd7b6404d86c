// Package deployments makes Knative Services of labelled Deployments and lets the two
// take over from each other. It does the reading and writing; what to do next is decided
// by package handover.
//
// Everything is derived from the objects in the cluster, each time anew, and every step
// is one write that may be repeated: a controller that was killed anywhere goes on where
// the objects are. One replica works at a time, see [Lead].
package deployments
