package install

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// Item 54 of the checklist, first half. A replica whose account may do nothing yet, in a
// namespace of its own, becomes ready by itself once it has what the manifests give it.
func TestAReplicaIsReadyOnceItCanAnswer(t *testing.T) {
	installed(t)
	own := newNamespace(t)
	store(t, serviceAccounts, own, `{apiVersion: v1, kind: ServiceAccount, metadata: {name: early}}`)
	kubeconfig, err := cluster.ServiceAccountKubeconfig(t.Context(), own, "early")
	require.NoError(t, err)
	address := freeAddress(t)
	process, err := cluster.StartProcess("early", []string{"POD_NAMESPACE=" + own, "POD_NAME=early"}, program,
		"serve", "--kubeconfig", kubeconfig, "--listen", address, "--webhook-configuration", "early", "--service", "early")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, process.Stop()) })

	get := func(path string) (int, string) { return ask(address, http.MethodGet, path, "") }
	// It listens, but has nothing that an API server could verify, and knows nothing.
	harness.Eventually(t, "the first answer", func() bool {
		connection, err := net.Dial("tcp", address)
		return err == nil && connection.Close() == nil
	})
	require.Never(t, func() bool { code, _ := get("/readyz"); return code == http.StatusOK }, time.Second, tick)

	grant(t, own, `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: early}, rules: [{apiGroups: [""], resources: [secrets], verbs: [create, get, list, watch, update]}]}`, "Role", "early")
	grant(t, own, `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: leases}, rules: [{apiGroups: [coordination.k8s.io], resources: [leases], verbs: ["*"]}]}`, "Role", "leases")
	made := store(t, clusterRoles, "", `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: early-configurations}, rules: [{apiGroups: [admissionregistration.k8s.io], resources: [mutatingwebhookconfigurations, validatingwebhookconfigurations], verbs: [get, list, watch, patch]}]}`)
	t.Cleanup(func() {
		_ = client.Resource(clusterRoles).Delete(context.Background(), made.GetName(), metav1.DeleteOptions{})
	})
	grant(t, own, "", "ClusterRole", made.GetName())
	harness.Eventually(t, "a certificate alone is not enough", func() bool {
		code, why := get("/readyz")
		return code == http.StatusServiceUnavailable && !strings.Contains(why, "certificate: ") && strings.Contains(why, "snapshot: ")
	})

	grant(t, own, "", "ClusterRole", name)
	harness.Await(t, "readiness", func() (bool, string) { code, why := get("/readyz"); return code == http.StatusOK, why })
}

// grant binds a role to the account early, for the time of the test.
func grant(t *testing.T, own, role, kind, name string) {
	t.Helper()
	if role != "" {
		store(t, roles, own, role)
	}
	binding := fmt.Sprintf(`{apiVersion: rbac.authorization.k8s.io/v1, kind: %%s, metadata: {name: early-%s}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %s, name: %s}, subjects: [{kind: ServiceAccount, name: early, namespace: %s}]}`, name, kind, name, own)
	if kind == "Role" {
		store(t, roleBindings, own, fmt.Sprintf(binding, "RoleBinding"))
		return
	}
	made := store(t, clusterRoleBindings, "", fmt.Sprintf(binding, "ClusterRoleBinding"))
	t.Cleanup(func() {
		_ = client.Resource(clusterRoleBindings).Delete(context.Background(), made.GetName(), metav1.DeleteOptions{})
	})
}

// Item 54, second half: no entry sends requests to where nobody answers.
func TestEveryEntryReachesAPathThatEveryReplicaServes(t *testing.T) {
	installed(t)
	object, err := json.Marshal(parse(deployment("plain", "")))
	require.NoError(t, err)
	for _, e := range entries(t) {
		for _, r := range hook.Replicas {
			t.Run(e.name+" "+r.Address, func(t *testing.T) {
				answer := review(t, r.Address, e.path, admissionv1.AdmissionRequest{
					UID: "a", Operation: admissionv1.Create, Name: "plain", Namespace: seeds, DryRun: new(true),
					Kind:     metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"},
					Resource: metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"},
					Object:   runtime.RawExtension{Raw: object},
				})
				assert.Equal(t, &admissionv1.AdmissionResponse{UID: "a", Allowed: true}, answer)
			})
		}
	}
}

// A replica that is to stop says so first, answers until the delay is over, and leaves.
func TestAReplicaThatStopsIsUnreadyFirstAndServesOn(t *testing.T) {
	installed(t)
	r := hook.Replicas[0]
	object, err := json.Marshal(parse(deployment("plain", labelled)))
	require.NoError(t, err)
	require.NoError(t, r.Process().Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		code, why := ask(r.Address, http.MethodGet, "/readyz", "")
		return code == http.StatusServiceUnavailable && strings.Contains(why, "shutting down")
	}, shutdownDelay/2, tick)
	for range 5 {
		answer := review(t, r.Address, "/mutate", admissionv1.AdmissionRequest{
			UID: "a", Operation: admissionv1.Create, Name: "plain", Namespace: seeds, DryRun: new(true),
			Kind:     metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"},
			Resource: metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"},
			Object:   runtime.RawExtension{Raw: object},
		})
		assert.True(t, answer.Allowed)
	}
	code, _ := ask(r.Address, http.MethodGet, "/healthz", "")
	assert.Equal(t, http.StatusOK, code)
	<-r.Process().Done()
	assert.NoError(t, r.Process().Err(), "it leaves by itself, with code 0")
	require.NoError(t, r.Restart(t.Context()))
}
