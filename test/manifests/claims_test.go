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
	for name, test := range map[string]struct {
		object, old any
		sent        bool
	}{
		"a new one":                         {claim(object{"name": "c"}, request), nil, true},
		"a new one of a pod":                {claim(owned, request), nil, true},
		"one without requests":              {claim(object{"name": "c"}), nil, false},
		"one that is being deleted":         {claim(object{"name": "c", "deletionTimestamp": "x"}, request), claim(owned, request), false},
		"an update of nothing that matters": {claim(object{"name": "c", "ownerReferences": owned["ownerReferences"], "annotations": owned["annotations"], "labels": object{"a": "b"}}, request), claim(owned, request), false},
		"one that gets an owner":            {claim(owned, request), claim(object{"name": "c"}, request), false},
		"one that loses its owner":          {claim(object{"name": "c", "annotations": owned["annotations"]}, request), claim(owned, request), true},
		"one that is for another claim":     {claim(other, request), claim(owned, request), true},
		"one that loses its annotations":    {claim(object{"name": "c", "ownerReferences": owned["ownerReferences"]}, request), claim(owned, request), true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, user := range []string{"eve", "system:serviceaccount:kube-system:job-controller", "system:serviceaccount:evil:resource-claim-controller"} {
				assert.Equal(t, test.sent, matchesFor(t, all["validate-resourceclaims.kubetorch.com"], user, test.object, test.old), user)
				assert.False(t, matchesFor(t, all["validate-controlled-resourceclaims.kubetorch.com"], user, test.object, test.old), user)
			}
			for _, user := range []string{"system:kube-controller-manager", "system:serviceaccount:kube-system:resource-claim-controller", "system:kube-scheduler", "system:serviceaccount:kube-system:generic-garbage-collector"} {
				assert.False(t, matchesFor(t, all["validate-resourceclaims.kubetorch.com"], user, test.object, test.old), user)
				assert.Equal(t, test.sent, matchesFor(t, all["validate-controlled-resourceclaims.kubetorch.com"], user, test.object, test.old), user)
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
