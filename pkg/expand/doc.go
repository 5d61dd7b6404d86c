// Package expand expands labelled Knative Services: it reads what a workload states
// (intent.go), resolves what it leaves out (autoscale.go, compute.go), writes both into
// the object (editor.go) and remembers what it wrote (record.go). It is pure: the same
// input gives the same patch, and expanding twice changes nothing. A Deployment that stays
// one has its resources filled in by the same code (deployment.go).
package expand
