// Package gitops holds this webhook against the code that Argo CD and Flux apply and
// compare with. It is a module of its own, so that neither is a dependency of the webhook,
// and each runs with the versions of Kubernetes that it was made for. Its tests need a
// cluster: test/e2e/deployments starts one and runs them.
package gitops
