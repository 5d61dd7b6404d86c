package certificates

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

const caSecret = "kubetorch-webhook-ca"

func installManaged(t *testing.T) {
	t.Helper()
	// As strict as it can be: the API server has to show its certificate for every admission.
	install(t, filepath.Join(root, "deploy"), "--ca-overlap="+overlap.String(),
		"--client-ca-file="+cluster.ClientCA(), "--client-names="+controlplane.AdmissionClientName)
}

// annotate asks for something that has not been asked for before.
func annotate(t *testing.T, annotation string) {
	t.Helper()
	change(t, secrets, namespace, caSecret, func(u *unstructured.Unstructured) {
		annotations := maps.Clone(u.GetAnnotations())
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[annotation] = fmt.Sprint(time.Now().UnixNano())
		u.SetAnnotations(annotations)
	})
}

// settled is the CA that signs if nothing is under way: the Secret and the caBundle hold
// that one alone, and every replica serves from it. Otherwise it says what is not so.
func settled(t *testing.T) (*x509.Certificate, error) {
	t.Helper()
	secret := data(t, caSecret)
	if secret == nil {
		return nil, fmt.Errorf("there is no Secret")
	}
	for _, key := range []string{"next.crt", "next.key", "previous.crt"} {
		if len(secret[key]) > 0 {
			return nil, fmt.Errorf("the Secret has a %s", key)
		}
	}
	if _, err := tls.X509KeyPair(secret["tls.crt"], secret["tls.key"]); err != nil {
		return nil, err
	}
	bundle, err := readBundle(t.Context())
	if err != nil {
		return nil, err
	}
	ca := parse(bundle)
	if ca == nil || !ca.Equal(parse(secret["tls.crt"])) {
		return nil, fmt.Errorf("the caBundle is not the CA that signs")
	}
	for i, leaf := range leaves(t) {
		if err := leaf.CheckSignatureFrom(ca); err != nil {
			return nil, fmt.Errorf("replica %d: %w", i, err)
		}
	}
	return ca, nil
}

// awaitSettled waits until nothing is under way with another CA than the one before.
func awaitSettled(t *testing.T, before *x509.Certificate) (now *x509.Certificate) {
	t.Helper()
	harness.Await(t, "the certificates to settle", func() (bool, string) {
		var problem error
		now, problem = settled(t)
		if problem == nil && before != nil && now.Equal(before) {
			problem = fmt.Errorf("the CA is still the one before")
		}
		return problem == nil, fmt.Sprint(problem)
	})
	return now
}

func TestNoAdmissionFailsWhileCertificatesAndCAsAreReplaced(t *testing.T) {
	installManaged(t)
	ca := awaitSettled(t, nil)
	underLoad(t, func() {
		for range *renewals {
			before := leaves(t)
			annotate(t, certificate.RenewAnnotation)
			awaitNewLeaves(t, before)
		}
		for range *rotations {
			annotate(t, certificate.RotateAnnotation)
			ca = awaitSettled(t, ca)
		}
	})
}

func TestNoAdmissionFailsWhenTheCASecretIsDeletedOrDamaged(t *testing.T) {
	installManaged(t)
	ca := awaitSettled(t, nil)
	underLoad(t, func() {
		require.NoError(t, client.Resource(secrets).Namespace(namespace).Delete(t.Context(), caSecret, metav1.DeleteOptions{}))
		ca = awaitSettled(t, ca)

		change(t, secrets, namespace, caSecret, func(u *unstructured.Unstructured) {
			for key := range data(t, caSecret) {
				setData(t, u, key, []byte("not what it was"))
			}
		})
		ca = awaitSettled(t, ca)

		change(t, secrets, namespace, caSecret, func(u *unstructured.Unstructured) {
			_, key := newPair(t, nil)
			setData(t, u, "tls.key", key)
		})
		awaitSettled(t, ca)
	})
}

func TestAWipedCABundleIsRepairedAndNothingElseIsTouched(t *testing.T) {
	installManaged(t)
	awaitSettled(t, nil)
	foreign := map[string]any{
		"name": "somebody.example.com", "admissionReviewVersions": []any{"v1"}, "sideEffects": "None", "failurePolicy": "Ignore",
		"rules":        []any{map[string]any{"apiGroups": []any{"example.com"}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE"}, "resources": []any{"nothing"}}},
		"clientConfig": map[string]any{"url": "https://127.0.0.1:1/"},
	}
	var wiped []*unstructured.Unstructured
	for _, resource := range hooks {
		wiped = append(wiped, change(t, resource, "", name, func(u *unstructured.Unstructured) {
			entries, _, err := unstructured.NestedSlice(u.Object, "webhooks")
			require.NoError(t, err)
			for _, entry := range entries {
				unstructured.RemoveNestedField(entry.(map[string]any), "clientConfig", "caBundle")
			}
			// What an administrator may have changed by hand.
			entries[0].(map[string]any)["timeoutSeconds"] = int64(9)
			require.NoError(t, unstructured.SetNestedSlice(u.Object, append(entries, foreign), "webhooks"))
			u.SetAnnotations(map[string]string{"example.com/note": "kept"})
		}))
		t.Cleanup(func() {
			// The rest is what the next installation states.
			_, stderr, err := cluster.Kubectl(context.Background(), nil, "patch", resource.Resource, name, "--type=strategic",
				"-p", `{"webhooks": [{"name": "somebody.example.com", "$patch": "delete"}]}`)
			assert.NoError(t, err, stderr)
		})
	}
	harness.Await(t, "the repair", func() (bool, string) {
		if _, err := settled(t); err != nil {
			return false, err.Error()
		}
		problem := admit(0)
		return problem == "", problem
	})
	for i, resource := range hooks {
		repaired, err := client.Resource(resource).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		bundle, err := readBundle(t.Context())
		require.NoError(t, err)
		assert.Equal(t, stripped(t, wiped[i], nil), stripped(t, repaired, bundle))
	}
}

// stripped is a configuration without what writing it changes, and without the caBundles,
// which must be the given one in the entries that go to a Service, and no other.
func stripped(t *testing.T, u *unstructured.Unstructured, bundle []byte) map[string]any {
	t.Helper()
	u = u.DeepCopy()
	u.SetResourceVersion("")
	u.SetGeneration(0)
	u.SetManagedFields(nil)
	entries, _, err := unstructured.NestedSlice(u.Object, "webhooks")
	require.NoError(t, err)
	for _, e := range entries {
		entry := e.(map[string]any)
		want := ""
		if _, ok, _ := unstructured.NestedMap(entry, "clientConfig", "service"); ok && bundle != nil {
			want = encode(bundle)
		}
		got, _, _ := unstructured.NestedString(entry, "clientConfig", "caBundle")
		assert.Equal(t, want, got, "%s %v", u.GetKind(), entry["name"])
		unstructured.RemoveNestedField(entry, "clientConfig", "caBundle")
	}
	require.NoError(t, unstructured.SetNestedSlice(u.Object, entries, "webhooks"))
	return u.Object
}
