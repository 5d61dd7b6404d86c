// Package handover decides how a labelled Deployment and the Knative Service made from
// it take over from each other. It is pure: [Decide] maps what was observed to the one
// next step, so that a controller that was killed anywhere goes on from the objects.
package handover
