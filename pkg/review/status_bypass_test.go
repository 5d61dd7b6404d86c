// A status, which a tenant may write, says that less is held than is.

package review_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestAStatusThatATenantWroteLowersNothing: it says of a Service and its revisions what suits its author.
func TestAStatusThatATenantWroteLowersNothing(t *testing.T) {
	status := func(of, status, traffic string) string {
		return strings.Replace(of, "spec: {template", "status: {"+status+"}, spec: {"+traffic+"template", 1)
	}
	const names = "traffic: [{revisionName: svc-00001, percent: 100}], "
	earlier := revisionOf("svc-00001", "9", 2, ofConfiguration)
	idle := strings.Replace(earlier, "spec: {", "status: {conditions: [{type: Active, status: \"False\"}]}, spec: {", 1)
	scaled := func(replicas string) string { return plainDeployment("svc-00001-deployment", replicas, 2) }
	service := ksvc("9", 2, "generation: 3")
	for name, test := range map[string]struct {
		object, old    string
		family         []string
		rises, overlap int64
	}{
		"the status names a superseded revision, and then the spec does": {
			object: status(service, "traffic: [{revisionName: svc-00001}]", names), old: status(service, "traffic: [{revisionName: svc-00001}]", ""),
			family: []string{configuration("9", 2, ofService), earlier}, rises: 18},
		"the status names it, and another thing changes": {
			object: status(ksvc("8", 2, "generation: 3"), "traffic: [{revisionName: svc-00001}]", ""), old: status(service, "traffic: [{revisionName: svc-00001}]", ""),
			family: []string{configuration("9", 2, ofService), earlier}, rises: -2, overlap: 18},
		"the status calls it the latest": {
			object: status(service, "observedGeneration: 3, latestCreatedRevisionName: svc-00001", names), old: status(service, "observedGeneration: 3, latestCreatedRevisionName: svc-00001", ""),
			family: []string{configuration("9", 2, ofService), earlier}, rises: 18},
		"the latest is pinned": {
			object: status(service, "observedGeneration: 3, latestCreatedRevisionName: svc-00003", strings.Replace(names, "00001", "00003", 1)), old: status(service, "observedGeneration: 3, latestCreatedRevisionName: svc-00003", ""),
			family: []string{configuration("9", 2, ofService), revisionOf("svc-00003", "9", 2, ofConfiguration)}},
		"a revision with pods says that it has none": {
			object: ksvc("8", 2, "generation: 3"), old: service,
			family: []string{configuration("9", 2, ofService), idle, scaled("3"), revisionOf("svc-00003", "9", 2, ofConfiguration)}, rises: 16, overlap: 18},
		"a revision without pods says so": {
			object: ksvc("8", 2, "generation: 3"), old: service,
			family: []string{configuration("9", 2, ofService), idle, scaled("0"), revisionOf("svc-00003", "9", 2, ofConfiguration)}, rises: -2, overlap: 18},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "says") {
				test.old = strings.Replace(test.old, "spec: {template", "status: {observedGeneration: 3, latestCreatedRevisionName: svc-00003}, spec: {template", 1)
			}
			rises, overlap := claimed(t, test.object, test.old, test.family...)
			assert.Equal(t, []int64{test.rises, test.overlap}, []int64{rises, overlap})
		})
	}
}
