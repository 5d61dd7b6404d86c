package audit_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/cluster/clustertest"
)

// TestTheAuditCountsDevicesHoweverTheyAreClaimed in what is listed of a cluster, and in files.
func TestTheAuditCountsDevicesHoweverTheyAreClaimed(t *testing.T) {
	requests := func(gpus int) string {
		return fmt.Sprintf(`devices: {requests: [{name: g, exactly: {deviceClassName: gpu.nvidia.com, count: %d}}]}`, gpus)
	}
	const claiming = `metadata: {labels: {a: b}}, spec: {containers: [{name: c}], resourceClaims: [{name: g, resourceClaimTemplateName: gpus}]}`
	ofPod := func(name string, gpus int) string {
		return fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {namespace: ml, name: %s, uid: uid-%s, annotations: {resource.kubernetes.io/pod-claim-name: g}, ownerReferences: [{%s, controller: true}]}, spec: {%s}}`,
			name, name, controller("v1", "Pod", "alone"), requests(gpus))
	}
	texts := []string{
		made("resource.k8s.io/v1", "ResourceClaimTemplate", "gpus", "", `spec: {spec: {`+requests(3)+`}}`),
		made("batch/v1", "Job", "train", "", `spec: {parallelism: 2, template: {`+claiming+`}}`),
		made("v1", "Pod", "alone", "", claiming[len(`metadata: {labels: {a: b}}, `):]), ofPod("alone-g", 3), ofPod("forged", 4),
		made("resource.k8s.io/v1", "ResourceClaim", "shared", "", `spec: {`+requests(5)+`}`),
		made("resource.k8s.io/v1", "ResourceClaim", "small", "", `spec: {`+requests(1)+`}`),
	}
	in := input(t, []string{two}, texts...)
	want := []string{"strict Deny gpusPerPod Job ml/train", "strict Deny gpusPerPod Pod ml/alone",
		"strict Deny gpusPerPod ResourceClaim ml/forged", "strict Deny gpusPerPod ResourceClaim ml/shared"}
	assert.Equal(t, want, lines(audit.Run(in)))
	uses := []audit.KindUse{{Kind: "ResourceClaim", Objects: 3, GPUs: 10}, {Kind: "Job", Objects: 1, GPUs: 6}, {Kind: "Pod", Objects: 1, GPUs: 3}}
	_, use := audit.Budgets(in, budget(t, `{max: 40}`))
	assert.Equal(t, uses, use[0].Kinds)

	in.Objects = clustertest.List(t, objects(t, texts...)...).All()
	assert.Equal(t, want, lines(audit.Run(in)), "what is kept of a list says the same")
	_, use = audit.Budgets(in, budget(t, `{max: 40}`))
	assert.Equal(t, uses, use[0].Kinds)
}

// Claims that look at devices in use take none of them, where the namespace's label allows such claims.
func TestTheAuditCountsNoAdministratorsClaimsWhereTheirNamespaceAllowsThem(t *testing.T) {
	for label, want := range map[string][]string{"true": nil, "false": {"strict Deny gpusPerPod ResourceClaim ml/mine"}} {
		in := input(t, []string{two}, made("resource.k8s.io/v1", "ResourceClaim", "mine", "",
			`spec: {devices: {requests: [{name: g, exactly: {deviceClassName: gpu.nvidia.com, count: 5, adminAccess: true}}]}}`))
		in.Namespaces["ml"]["resource.kubernetes.io/admin-access"] = label
		assert.Equal(t, want, lines(audit.Run(in)), label)
	}
}
