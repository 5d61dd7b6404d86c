package manifests

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestWhichResourceClaimsAreSent: of two entries, by who makes them, exactly one has what may take devices.
func TestWhichResourceClaimsAreSent(t *testing.T) {
	all := entries(t)
	type object = map[string]any
	claim := func(metadata object, requests ...any) object {
		return object{"metadata": metadata, "spec": object{"devices": object{"requests": requests}}}
	}
	request := object{"name": "a"}
	owned := object{"name": "c", "ownerReferences": []any{object{"kind": "Pod", "uid": "p", "controller": true}}, "annotations": object{"resource.kubernetes.io/pod-claim-name": "g"}}
	other := object{"name": "c", "ownerReferences": owned["ownerReferences"], "annotations": object{"resource.kubernetes.io/pod-claim-name": "h"}}
	const protection = "resource.kubernetes.io/delete-protection"
	held := func(status object, finalizers ...any) object {
		o := claim(object{"name": "c", "finalizers": finalizers}, request)
		o["status"] = status
		return o
	}
	reserved, allocated := object{"reservedFor": []any{object{"name": "p"}}}, object{"allocation": object{}}
	for name, test := range map[string]struct {
		object, old any
		sent        bool
		// tenant is whether it is sent by anybody but the controllers only.
		tenant bool
	}{
		"one that pods use, without its protection":    {object: held(reserved), old: held(reserved, protection), sent: true, tenant: true},
		"one with devices, without its protection":     {object: held(allocated, "other"), old: held(allocated, "other", protection), sent: true, tenant: true},
		"one that nobody uses, without its protection": {object: held(object{}), old: held(object{}, protection)},
		"one that pods use, without another finalizer": {object: held(reserved, protection), old: held(reserved, protection, "other")},
		"a new one":                         {object: claim(object{"name": "c"}, request), old: nil, sent: true},
		"a new one of a pod":                {object: claim(owned, request), old: nil, sent: true},
		"one without requests":              {object: claim(object{"name": "c"}), old: nil, sent: false},
		"one that is being deleted":         {object: claim(object{"name": "c", "deletionTimestamp": "x"}, request), old: claim(owned, request), sent: false},
		"an update of nothing that matters": {object: claim(object{"name": "c", "ownerReferences": owned["ownerReferences"], "annotations": owned["annotations"], "labels": object{"a": "b"}}, request), old: claim(owned, request), sent: false},
		"one that gets an owner":            {object: claim(owned, request), old: claim(object{"name": "c"}, request), sent: false},
		"one that loses its owner":          {object: claim(object{"name": "c", "annotations": owned["annotations"]}, request), old: claim(owned, request), sent: true},
		"one that is for another claim":     {object: claim(other, request), old: claim(owned, request), sent: true},
		"one that loses its annotations":    {object: claim(object{"name": "c", "ownerReferences": owned["ownerReferences"]}, request), old: claim(owned, request), sent: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, user := range []string{"eve", "system:serviceaccount:kube-system:job-controller", "system:serviceaccount:evil:resource-claim-controller"} {
				assert.Equal(t, test.sent, matchesFor(t, all["validate-resourceclaims.kubetorch.com"], user, test.object, test.old), user)
				assert.False(t, matchesFor(t, all["validate-controlled-resourceclaims.kubetorch.com"], user, test.object, test.old), user)
			}
			for _, user := range []string{"system:kube-controller-manager", "system:serviceaccount:kube-system:resource-claim-controller", "system:kube-scheduler", "system:serviceaccount:kube-system:generic-garbage-collector"} {
				assert.False(t, matchesFor(t, all["validate-resourceclaims.kubetorch.com"], user, test.object, test.old), user)
				assert.Equal(t, test.sent && !test.tenant, matchesFor(t, all["validate-controlled-resourceclaims.kubetorch.com"], user, test.object, test.old), user)
			}
		})
	}
	templates := all["validate-resourceclaimtemplates.kubetorch.com"]
	assert.True(t, matches(t, templates, object{"metadata": object{}, "spec": claim(object{}, request)}, nil))
	assert.False(t, matches(t, templates, object{"metadata": object{}, "spec": object{"spec": object{}}}, nil), "without requests")
}

// TestOnlyTheSchedulerSaysWhichClaimHoldsAPodsExtendedResources.
func TestOnlyTheSchedulerSaysWhichClaimHoldsAPodsExtendedResources(t *testing.T) {
	type object = map[string]any
	pod := func(status object) object {
		return object{"metadata": object{}, "spec": object{"resourceClaims": []any{object{"name": "a"}}}, "status": status}
	}
	named := pod(object{"phase": "Pending", "extendedResourceClaimStatus": object{"resourceClaimName": "mine"}})
	e := entries(t)["validate-pod-status.kubetorch.com"]
	for user, sent := range map[string]bool{"eve": true, "system:kube-scheduler": false, "system:node:n": false} {
		assert.Equal(t, sent, matchesFor(t, e, user, named, pod(object{"phase": "Pending"})), user)
		assert.False(t, matchesFor(t, e, user, named, named), "%s: unchanged", user)
	}
	assert.True(t, matchesFor(t, e, "system:kube-scheduler", pod(object{"phase": "Failed"}), pod(object{"phase": "Pending"})), "nor does it say that a pod has ended")
}
