// Every kind that makes pods is bounded in every version in which it is served.

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

func TestEveryServedVersionOfEveryKindIsBounded(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	newPolicy(t, ns, eachBound)
	require.NoError(t, made(t, ns, knativeObject(t, "Deployment", "target", "1", 1)))
	d, err := discovery.NewDiscoveryClientForConfig(cluster.RESTConfig())
	require.NoError(t, err)
	_, lists, err := d.ServerGroupsAndResources()
	require.NoError(t, err)
	tried := map[string]int{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		require.NoError(t, err)
		for _, r := range list.APIResources {
			gvr, ok := resourceOf[r.Kind]
			if !ok || gvr.Group != gv.Group || gvr.Resource != r.Name || r.Kind == "Deployment" {
				continue
			}
			tried[r.Kind]++
			u := knativeObject(t, r.Kind, "greedy", "9999", 1)
			u.SetAPIVersion(list.GroupVersion)
			err := made(t, ns, u)
			assert.ErrorContains(t, err, "asks for up to 9999 pods; policy policy-"+ns+" allows at most 10 (bounds.maxScale.max)", "%s %s", list.GroupVersion, r.Kind)
			if apierrors.IsForbidden(err) {
				assert.Equal(t, r.Kind, status(t, err).Details.Kind)
			}
			u = knativeObject(t, r.Kind, "modest", "2", 1)
			u.SetAPIVersion(list.GroupVersion)
			assert.NoError(t, made(t, ns, u), "%s %s", list.GroupVersion, r.Kind)
		}
	}
	for kind := range resourceOf {
		if kind != "Deployment" {
			assert.NotZero(t, tried[kind], kind)
		}
	}
	// What is within bounds is Knative's to run.
	eventually(t, autoscalers, ns, "modest-00001")
}
