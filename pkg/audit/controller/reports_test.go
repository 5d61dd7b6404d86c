package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/policy"
)

func TestClusterReportsFollowThePolicies(t *testing.T) {
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{clusterReports: "ClusterReportList"})
	a := &Auditor{Client: client, OpenReports: true}
	names := func() (names []string) {
		listed, err := client.Resource(clusterReports).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, o := range listed.Items {
			names = append(names, o.GetName())
		}
		return names
	}
	writes := func() (n int) {
		for _, action := range client.Actions() {
			if action.GetVerb() != "list" {
				n++
			}
		}
		client.ClearActions()
		return n
	}
	report := audit.Report{Objects: 3, Policies: []policy.Description{{Name: "a"}, {Name: "b"}}}
	require.NoError(t, a.report(t.Context(), time.Now(), report))
	assert.Equal(t, []string{"kubetorch-policy-a", "kubetorch-policy-b"}, names())
	assert.Equal(t, 2, writes())

	require.NoError(t, a.report(t.Context(), time.Now().Add(time.Hour), report))
	assert.Zero(t, writes(), "nothing changed but the time")

	report.Policies = report.Policies[:1]
	report.Findings = []audit.Finding{{Policy: "a", Enforcement: v1alpha1.Deny, ObjectViolation: v1alpha1.ObjectViolation{Kind: "Service", Name: "x", Bound: "maxScale.max"}}}
	require.NoError(t, a.report(t.Context(), time.Now(), report))
	assert.Equal(t, []string{"kubetorch-policy-a"}, names(), "that of a policy that is gone is deleted")
	assert.Equal(t, 2, writes())

	a.OpenReports = false
	report.Policies = nil
	require.NoError(t, a.report(t.Context(), time.Now(), report))
	assert.Zero(t, writes(), "nobody asked for it")
}
