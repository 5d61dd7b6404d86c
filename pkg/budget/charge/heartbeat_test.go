package charge

import (
	"context"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestAReplicaIsWaitedForOnceItCouldAdmitAndAdmitsOnceItKnowsAll(t *testing.T) {
	client := fake.NewClientset()
	seen, known := Seen{Budgets: map[string]string{}, Rules: "r"}, false
	live, rules := map[string]string{"b": "u/1"}, map[string]string{"b": "r"}
	p := &Heartbeat{Client: client, Namespace: "ns", Service: "webhook", Identity: "one", Log: logr.Discard(),
		Seen:    func() (Seen, bool) { return seen, known },
		Address: func() string { return "10.0.0.1:9443" },
		Live:    func(context.Context) (map[string]string, map[string]string, error) { return live, rules, nil }}
	p.init()
	replicas := &Replicas{Client: client, Namespace: "ns", Service: "webhook"}
	all := func() []Seen {
		found, err := replicas.All(t.Context())
		require.NoError(t, err)
		return found
	}

	require.Error(t, p.renew(t.Context()))
	assert.Empty(t, all(), "it has read nothing and can admit nothing, so nobody waits for it")
	require.Error(t, p.Holds())

	known = true
	require.Error(t, p.renew(t.Context()))
	assert.Len(t, all(), 1)
	assert.False(t, Agree(all(), "b", "u/1", "r"), "it is there, and does not know the budget")
	require.Error(t, p.Holds())

	seen.Budgets["b"] = "v/1" // of the same name, made before
	require.Error(t, p.renew(t.Context()))
	seen = Seen{Budgets: map[string]string{"b": "u/1"}, Rules: "old"}
	require.Error(t, p.renew(t.Context()), "it might take for no claim what is one")
	seen.Rules = "r"
	require.NoError(t, p.renew(t.Context()))
	require.NoError(t, p.Holds())
	assert.True(t, Agree(all(), "b", "u/1", "r"))

	leases, err := client.CoordinationV1().Leases("ns").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, leases.Items, 1)
	assert.Equal(t, "10.0.0.1:9443", leases.Items[0].Annotations[AddressAnnotation])
}
