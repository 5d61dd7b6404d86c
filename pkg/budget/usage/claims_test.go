package usage

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/kubetorch/webhook/pkg/cluster/clustertest"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/workload"
)

func templateOf(name string, gpus int) string {
	return fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: %s, namespace: a, uid: t-%s}, spec: {spec: {devices: {requests: [{name: g, exactly: {deviceClassName: gpu.nvidia.com, count: %d}}]}}}}`, name, name, gpus)
}

// claimOf is a ResourceClaim with further metadata.
func claimOf(name, metadata string, gpus int) string {
	return fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: %s, namespace: a, uid: c-%s%s}, spec: {devices: {requests: [{name: g, exactly: {deviceClassName: gpu.nvidia.com, count: %d}}]}}, status: {allocation: {}}}`, name, name, metadata, gpus)
}

func madeFor(uid, annotation, value string) string {
	return fmt.Sprintf(`, annotations: {resource.kubernetes.io/%s: "%s"}, ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: %s, controller: true}]`, annotation, value, uid)
}

func claimsPod(metadata, claims, status string) string {
	return `{apiVersion: v1, kind: Pod, metadata: {` + metadata + `}, spec: {containers: [{name: c}], resourceClaims: [` + claims + `]}, status: {` + status + `}}`
}

// TestWhatResourceClaimsHold is a count of what is stored, whoever wrote it.
func TestWhatResourceClaimsHold(t *testing.T) {
	const gone = `, deletionTimestamp: "2026-01-01T00:00:00Z"`
	const ofTemplate, shared = "{name: g, resourceClaimTemplateName: t}", "{name: g, resourceClaimName: mine}"
	job := strings.Replace(plain("batch/v1", "Job", byItself("j", "j"), "parallelism: 3, ", "0"), "spec: {containers", "spec: {resourceClaims: ["+ofTemplate+"], containers", 1)
	jobPod := func(name string) string {
		return claimsPod(owned(name, "uid-"+name, "batch/v1", "Job", "j"), ofTemplate, "phase: Running")
	}
	bare := claimsPod(byItself("p", "p"), ofTemplate, "phase: Running")
	extended := strings.Replace(podOf("p", byItself("p", "p"), "4", "Running"), "status: {", "status: {extendedResourceClaimStatus: {resourceClaimName: ext}, ", 1)
	for name, test := range map[string]struct {
		objects []string
		want    map[string]sums
	}{
		"a template times the pods of a root":          {[]string{templateOf("t", 2), job}, map[string]sums{"Job j": {gpus: 6}}},
		"a template that is not there holds nothing":   {[]string{job}, map[string]sums{}},
		"claims that were made are the pods' own":      {[]string{templateOf("t", 2), job, jobPod("a"), claimOf("a-g", madeFor("uid-a", "pod-claim-name", "g"), 2)}, map[string]sums{"Job j": {gpus: 6}}},
		"made of a template that had more":             {[]string{templateOf("t", 1), job, jobPod("a"), claimOf("a-g", madeFor("uid-a", "pod-claim-name", "g"), 8)}, map[string]sums{"Job j": {gpus: 8}}},
		"made of a template that is gone":              {[]string{job, jobPod("a"), claimOf("a-g", madeFor("uid-a", "pod-claim-name", "g"), 8)}, map[string]sums{"Job j": {gpus: 8}}},
		"a pod by itself":                              {[]string{templateOf("t", 2), bare}, map[string]sums{"Pod p": {gpus: 2}}},
		"made by hand, whoever names it":               {[]string{claimOf("mine", "", 4), claimsPod(byItself("p", "p"), shared, ""), claimsPod(byItself("q", "q"), shared, "")}, map[string]sums{"ResourceClaim mine": {gpus: 4}}},
		"of a pod that has ended":                      {[]string{templateOf("t", 2), strings.Replace(bare, "Running", "Succeeded", 1), claimOf("p-g", madeFor("p", "pod-claim-name", "g"), 2)}, map[string]sums{"ResourceClaim p-g": {gpus: 2}}},
		"of a pod that is gone":                        {[]string{claimOf("p-g", madeFor("p", "pod-claim-name", "g"), 2)}, map[string]sums{"ResourceClaim p-g": {gpus: 2}}},
		"of one that is gone, for a finalizer":         {[]string{claimOf("p-g", gone+madeFor("p", "pod-claim-name", "g"), 2)}, map[string]sums{}},
		"that another pod uses still":                  {[]string{strings.Replace(claimOf("p-g", gone+madeFor("p", "pod-claim-name", "g"), 2), "allocation: {}", "reservedFor: [{resource: pods, name: q, uid: q}]", 1)}, map[string]sums{"ResourceClaim p-g": {gpus: 2}}},
		"made by hand, that waits for a finalizer":     {[]string{claimOf("mine", gone, 4)}, map[string]sums{}},
		"a second one that says it is the pod's":       {[]string{templateOf("t", 2), bare, claimOf("p-g", madeFor("p", "pod-claim-name", "g"), 2), claimOf("p-h", madeFor("p", "pod-claim-name", "g"), 3)}, map[string]sums{"Pod p": {gpus: 2}, "ResourceClaim p-h": {gpus: 3}}},
		"one for a claim that the pod has not":         {[]string{templateOf("t", 2), bare, claimOf("p-h", madeFor("p", "pod-claim-name", "h"), 3)}, map[string]sums{"Pod p": {gpus: 2}, "ResourceClaim p-h": {gpus: 3}}},
		"one for a pod that names its claim itself":    {[]string{claimsPod(byItself("p", "p"), shared, ""), claimOf("mine", madeFor("p", "pod-claim-name", "g"), 3)}, map[string]sums{"ResourceClaim mine": {gpus: 3}}},
		"the scheduler's for extended resources":       {[]string{extended, claimOf("ext", madeFor("p", "extended-resource-claim", "true"), 4)}, map[string]sums{"Pod p": {gpus: 4}}},
		"with more than the pod asks for":              {[]string{extended, claimOf("ext", madeFor("p", "extended-resource-claim", "true"), 6)}, map[string]sums{"Pod p": {gpus: 6}}},
		"one that only says so":                        {[]string{extended, claimOf("ext", madeFor("p", "extended-resource-claim", "true"), 4), claimOf("evil", madeFor("p", "extended-resource-claim", "true"), 4)}, map[string]sums{"Pod p": {gpus: 4}, "ResourceClaim evil": {gpus: 4}}},
		"of a pod that the status names none of":       {[]string{strings.Replace(extended, "resourceClaimName: ext", "resourceClaimName: other", 1), claimOf("ext", madeFor("p", "extended-resource-claim", "true"), 4)}, map[string]sums{"Pod p": {gpus: 4}, "ResourceClaim ext": {gpus: 4}}},
		"of something else than GPUs":                  {[]string{strings.Replace(claimOf("nic", "", 4), "gpu.nvidia.com", "compute-domain-daemon.nvidia.com", 1)}, map[string]sums{}},
		"templates of another namespace are not known": {[]string{strings.Replace(templateOf("t", 2), "namespace: a", "namespace: b", 1), job}, map[string]sums{}},
	} {
		t.Run(name, func(t *testing.T) {
			full := objects(t, test.objects...)
			assert.Equal(t, test.want, counted(All(world(), full)))
			var listed []manifest.Object
			for _, i := range full.All() {
				listed = append(listed, i.Object())
			}
			assert.Equal(t, test.want, counted(All(world(), clustertest.List(t, listed...))), "what is kept of a list")
		})
	}
}

// Claims that look at devices in use take none of them, where the namespace's label allows such claims.
func TestAdministratorsClaimsHoldNothingWhereTheirNamespaceAllowsThem(t *testing.T) {
	admin := func(claim string) string { return strings.Replace(claim, "count: ", "adminAccess: true, count: ", 1) }
	for label, want := range map[string]map[string]sums{
		"true": {"ResourceClaim plain": {gpus: 1}}, "false": {"ResourceClaim plain": {gpus: 1}, "ResourceClaim mine": {gpus: 4}, "Pod p": {gpus: 2}},
	} {
		full := objects(t, admin(claimOf("mine", "", 4)), claimOf("plain", "", 1), admin(templateOf("t", 2)),
			claimsPod(byItself("p", "p"), "{name: g, resourceClaimTemplateName: t}", "phase: Running"))
		full.Namespaces = map[string]map[string]string{"a": {workload.AdminAccessLabel: label}}
		assert.Equal(t, want, counted(All(world(), full)), label)
	}
}
