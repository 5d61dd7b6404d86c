// Package registration opens the webhook configurations and watches that they stay as they
// are meant to be.
//
// They are installed without rules, so that nothing is sent to the webhook: an installation
// that cannot start blocks nothing. The first replica that has been ready writes the rules,
// webhooks[].rules, into every entry that is installed. They stay when replicas go: from then
// on what the entries are about is refused while no replica answers. Whoever installs states
// no rules, so neither kubectl apply, helm, Argo CD nor Flux sees a difference.
//
// The rules are those of deploy/base/mutating.yaml and validating.yaml, from which make
// generate writes webhooks.json here and the files that are installed.
package registration
