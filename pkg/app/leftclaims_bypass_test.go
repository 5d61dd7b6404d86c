// A claim that was made for a pod is used by another pod, and goes on when its own pod is gone, while the root
// of that pod makes another with a claim of its own.

package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/workload"
)

// TestAClaimThatOutlivesItsPodIsNoRoomForTheNextOne asks for the pod that takes the place of one which is gone,
// with a budget of 10 GPUs and a root that was admitted with 8.
func TestAClaimThatOutlivesItsPodIsNoRoomForTheNextOne(t *testing.T) {
	const four = "{name: g, resourceClaimTemplateName: four}"
	set := func(claims string) string {
		return claiming(of("apps/v1", "StatefulSet", "set", "replicas: 2", 0), claims)
	}
	setPod := func(name string) string {
		return claiming(podOf(name, "set", ownerOf("apps/v1", "StatefulSet", "set"), 0), four)
	}
	user := claiming(podOf("user", "x", "", 0), "{name: g, resourceClaimName: set-0-g}")
	made := func(pod string) string { return resourceClaim(pod+"-g", madeFor(pod, "g"), gpuRequests(4)) }
	deleted := func(claim string) string {
		return strings.Replace(claim, "metadata: {", "metadata: {deletionTimestamp: x, finalizers: [resource.kubernetes.io/delete-protection], ", 1)
	}
	inUse := func(claim string, uids ...string) string {
		users := ""
		for _, uid := range uids {
			users += "{resource: pods, name: p, uid: " + uid + "}, "
		}
		return strings.Replace(claim, "spec: {", "status: {allocation: {}, reservedFor: ["+users+"]}, spec: {", 1)
	}
	deployment := claiming(of("apps/v1", "Deployment", "set", "replicas: 2", 0), four)
	replicaSet := strings.Replace(claiming(of("apps/v1", "ReplicaSet", "set", "replicas: 2", 0), four), "uid: set-uid", "uid: rs-uid, ownerReferences: ["+ownerOf("apps/v1", "Deployment", "set")+"]", 1)
	rsPod := func(name string) string {
		return claiming(podOf(name, "set", strings.Replace(ownerOf("apps/v1", "ReplicaSet", "set"), "set-uid", "rs-uid", 1), 0), four)
	}
	const card = "acme.com/card"
	cards := func(o string) string { return strings.ReplaceAll(o, "nvidia.com/gpu", card) }
	extended := cards(of("apps/v1", "StatefulSet", "set", "replicas: 2", 4))
	extendedPod := cards(podOf("set-1", "set", ownerOf("apps/v1", "StatefulSet", "set"), 4))
	ray := fmt.Sprintf(`{apiVersion: %s, kind: RayCluster, metadata: {name: ray, namespace: team, uid: ray-uid}, spec: {headGroupSpec: {template: {spec: {}}}, workerGroupSpecs: [{replicas: 2, template: {spec: {resourceClaims: [%s], containers: [{name: c, image: a}]}}}]}}`, rayAPI, four)
	rayPod := claiming(podOf("ray-1", "ray", ownerOf(rayAPI, "RayCluster", "ray"), 0), four)
	statefulSets, replicaSets := account("statefulset-controller"), account("replicaset-controller")
	const full = "2 of 10 are free in budget b"
	for name, c := range map[string]struct {
		root    string
		there   []string
		user    string
		next    string
		refused string
	}{
		"none is left":                                      {set(four), []string{setPod("set-0"), made("set-0")}, statefulSets, setPod("set-1"), ""},
		"one of a pod that is gone":                         {set(four), []string{user, made("set-0")}, statefulSets, setPod("set-1"), full},
		"that nobody uses, until it is deleted":             {set(four), []string{made("set-0")}, statefulSets, setPod("set-1"), full},
		"being deleted, while another pod uses it":          {set(four), []string{user, inUse(deleted(made("set-0")), "set-0-uid", "user-uid")}, statefulSets, setPod("set-1"), full},
		"being deleted, after its own pod":                  {set(four), []string{inUse(deleted(made("set-0")), "set-0-uid")}, statefulSets, setPod("set-1"), ""},
		"of a pod that has ended":                           {set(four), []string{ended(setPod("set-0")), user, made("set-0")}, statefulSets, setPod("set-1"), full},
		"of another pod of its name":                        {set(four), []string{strings.Replace(setPod("set-0"), "set-0-uid", "new-uid", 1), user, made("set-0")}, statefulSets, setPod("set-1"), full},
		"of whatever root":                                  {set(four), []string{made("other-0")}, statefulSets, setPod("set-1"), full},
		"one that fits beside":                              {set(four), []string{strings.Replace(made("set-0"), "count: 4", "count: 2", 1)}, statefulSets, setPod("set-1"), ""},
		"of something else than GPUs":                       {set(four), []string{strings.Replace(made("set-0"), "gpu.nvidia.com", "compute-domain-daemon.nvidia.com", 1)}, statefulSets, setPod("set-1"), ""},
		"of a Deployment":                                   {deployment, []string{replicaSet, made("set-a")}, replicaSets, rsPod("set-b"), full},
		"of a Deployment, of a pod that is there":           {deployment, []string{replicaSet, rsPod("set-a"), made("set-a")}, replicaSets, rsPod("set-b"), ""},
		"of what an operator makes":                         {ray, []string{made("ray-0")}, rayMaker, rayPod, full},
		"of what an operator makes, of a pod that is there": {ray, []string{strings.ReplaceAll(rayPod, "ray-1", "ray-0"), made("ray-0")}, rayMaker, rayPod, ""},
		"the scheduler's for a resource":                    {extended, []string{resourceClaim("set-0-ext", extendedFor("set-0"), gpuRequests(4))}, statefulSets, extendedPod, full},
		"the scheduler's, of a pod that is there": {extended, []string{strings.Replace(strings.ReplaceAll(extendedPod, "set-1", "set-0"), "spec: {", "status: {extendedResourceClaimStatus: {resourceClaimName: set-0-ext}}, spec: {", 1),
			resourceClaim("set-0-ext", extendedFor("set-0"), gpuRequests(4))}, statefulSets, extendedPod, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, ledgers := standalone()
			s := *e.current.Load()
			s.policies = s.policies.WithClasses([]workload.DeviceClass{{Name: "gpu.nvidia.com", ExtendedResource: card}})
			e.current.Store(&s)
			remember(t, e.remembered, append(c.there, c.root, claimTemplate("four", gpuRequests(4)))...)
			hold(t, ledgers, c.root, 8)
			answer := e.validate(t.Context(), requestOf(t, step{user: c.user, object: c.next}))
			if c.refused == "" {
				require.True(t, answer.Allowed, "%+v", answer.Result)
				return
			}
			require.False(t, answer.Allowed)
			assert.Contains(t, answer.Result.Message, c.refused)
		})
	}
}
