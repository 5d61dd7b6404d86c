// Package quota holds what this project counts against the very evaluators that a ResourceQuota of
// Kubernetes counts with. It is a module of its own, so that nothing else depends on Kubernetes'
// programs.
package quota
