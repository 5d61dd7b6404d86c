package certificate

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

var caSecret = types.NamespacedName{Namespace: "kubetorch-system", Name: "kubetorch-webhook-ca"}

func newCA(t *testing.T) []byte {
	t.Helper()
	files, err := issue([]string{"localhost"}, time.Now())
	require.NoError(t, err)
	return files.ca
}

func service(bundle []byte) admissionregistrationv1.WebhookClientConfig {
	return admissionregistrationv1.WebhookClientConfig{
		CABundle: bundle,
		Service:  &admissionregistrationv1.ServiceReference{Namespace: "kubetorch-system", Name: "kubetorch-webhook"},
	}
}

// world is what the controller sees, before and after.
type world struct {
	secret     []byte // nil: there is no Secret
	mutating   []admissionregistrationv1.WebhookClientConfig
	validating []admissionregistrationv1.WebhookClientConfig
	annotation string
}

func (w world) objects() (objects []client.Object) {
	if w.secret != nil {
		objects = append(objects, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: caSecret.Namespace, Name: caSecret.Name},
			Data:       map[string][]byte{"ca.crt": w.secret},
		})
	}
	meta := metav1.ObjectMeta{Name: "kubetorch-webhook"}
	if w.annotation != "" {
		meta.Annotations = map[string]string{w.annotation: "kubetorch-system/x"}
	}
	if w.mutating != nil {
		o := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: meta}
		for i, c := range w.mutating {
			o.Webhooks = append(o.Webhooks, admissionregistrationv1.MutatingWebhook{Name: string(rune('a' + i)), ClientConfig: c})
		}
		objects = append(objects, o)
	}
	if w.validating != nil {
		o := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: meta}
		for i, c := range w.validating {
			o.Webhooks = append(o.Webhooks, admissionregistrationv1.ValidatingWebhook{Name: string(rune('a' + i)), ClientConfig: c})
		}
		objects = append(objects, o)
	}
	return objects
}

func TestCABundlesFollowTheSecret(t *testing.T) {
	ca, old := newCA(t), newCA(t)
	type configs = []admissionregistrationv1.WebhookClientConfig
	url := admissionregistrationv1.WebhookClientConfig{URL: new("https://example.com"), CABundle: old}
	tests := map[string]struct {
		before      world
		mutating    configs
		validating  configs
		wantPatches int
	}{
		"empty bundles are filled in": {
			before:   world{secret: ca, mutating: configs{service(nil), service(nil)}, validating: configs{service(nil)}},
			mutating: configs{service(ca), service(ca)}, validating: configs{service(ca)}, wantPatches: 2,
		},
		"bundles of an old authority are replaced": {
			before:   world{secret: ca, mutating: configs{service(old)}, validating: configs{service(ca), service(old)}},
			mutating: configs{service(ca)}, validating: configs{service(ca), service(ca)}, wantPatches: 2,
		},
		"right bundles are not written again": {
			before:   world{secret: ca, mutating: configs{service(ca)}, validating: configs{service(ca)}},
			mutating: configs{service(ca)}, validating: configs{service(ca)},
		},
		"entries that go to a URL are left alone": {
			before:   world{secret: ca, mutating: configs{url, service(nil)}, validating: configs{service(ca)}},
			mutating: configs{url, service(ca)}, validating: configs{service(ca)}, wantPatches: 1,
		},
		"one configuration is not installed": {
			before:     world{secret: ca, validating: configs{service(nil)}},
			validating: configs{service(ca)}, wantPatches: 1,
		},
		"there is no Secret yet": {
			before:   world{mutating: configs{service(old)}, validating: configs{service(nil)}},
			mutating: configs{service(old)}, validating: configs{service(nil)},
		},
		"the Secret is damaged": {
			before:   world{secret: []byte("nonsense"), mutating: configs{service(old)}, validating: configs{service(nil)}},
			mutating: configs{service(old)}, validating: configs{service(nil)},
		},
		"cert-manager injects from a Certificate": {
			before:   world{secret: ca, annotation: "cert-manager.io/inject-ca-from", mutating: configs{service(old)}, validating: configs{service(nil)}},
			mutating: configs{service(old)}, validating: configs{service(nil)},
		},
		"cert-manager injects from a Secret": {
			before:   world{secret: ca, annotation: "cert-manager.io/inject-ca-from-secret", mutating: configs{service(old)}, validating: configs{service(nil)}},
			mutating: configs{service(old)}, validating: configs{service(nil)},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			patches := 0
			c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(test.before.objects()...).
				WithInterceptorFuncs(interceptor.Funcs{
					Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
						patches++
						assert.Equal(t, types.JSONPatchType, p.Type())
						return c.Patch(ctx, o, p, opts...)
					},
				}).Build()
			bundles := &CABundles{Client: c, Secret: caSecret, Configuration: "kubetorch-webhook"}
			for range 2 { // the second time there is nothing to do
				_, err := bundles.Reconcile(t.Context(), reconcile.Request{})
				require.NoError(t, err)
			}
			assert.Equal(t, test.wantPatches, patches)

			var mutating admissionregistrationv1.MutatingWebhookConfiguration
			var validating admissionregistrationv1.ValidatingWebhookConfiguration
			key := types.NamespacedName{Name: "kubetorch-webhook"}
			require.NoError(t, client.IgnoreNotFound(c.Get(t.Context(), key, &mutating)))
			require.NoError(t, client.IgnoreNotFound(c.Get(t.Context(), key, &validating)))
			var gotMutating, gotValidating configs
			for _, w := range mutating.Webhooks {
				gotMutating = append(gotMutating, w.ClientConfig)
			}
			for _, w := range validating.Webhooks {
				gotValidating = append(gotValidating, w.ClientConfig)
			}
			assert.Equal(t, test.mutating, gotMutating)
			assert.Equal(t, test.validating, gotValidating)
		})
	}
}

func TestBundlePatchGuardsTheEntryItWrites(t *testing.T) {
	patch, err := bundlePatch([]entry{{"a", service([]byte("new"))}, {"b", service([]byte("old"))}}, []byte("new"))
	require.NoError(t, err)
	assert.JSONEq(t, `[
		{"op": "test", "path": "/webhooks/1/name", "value": "b"},
		{"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": "bmV3"}
	]`, string(patch))
	assert.True(t, json.Valid(patch))
}

func TestCABundlesAreTriedAgain(t *testing.T) {
	refused := errors.New("the API server is away")
	w := world{
		secret:     newCA(t),
		mutating:   []admissionregistrationv1.WebhookClientConfig{service(nil)},
		validating: []admissionregistrationv1.WebhookClientConfig{service(nil)},
	}
	c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(w.objects()...).
		WithInterceptorFuncs(interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				if _, ok := o.(*admissionregistrationv1.MutatingWebhookConfiguration); ok {
					return refused
				}
				return c.Patch(ctx, o, p, opts...)
			},
		}).Build()
	_, err := (&CABundles{Client: c, Secret: caSecret, Configuration: "kubetorch-webhook"}).Reconcile(t.Context(), reconcile.Request{})
	assert.ErrorIs(t, err, refused, "the controller backs off and tries again")

	var validating admissionregistrationv1.ValidatingWebhookConfiguration
	require.NoError(t, c.Get(t.Context(), types.NamespacedName{Name: "kubetorch-webhook"}, &validating))
	assert.Equal(t, w.secret, validating.Webhooks[0].ClientConfig.CABundle, "one failure does not hold up the other")
}
