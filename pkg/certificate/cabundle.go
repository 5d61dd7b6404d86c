package certificate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// injectors are cert-manager's annotations on a configuration whose caBundle its
// cainjector fills in. Two writers would undo each other's work.
var injectors = []string{
	certmanagerv1.WantInjectAnnotation,
	certmanagerv1.WantInjectFromSecretAnnotation,
	certmanagerv1.WantInjectAPIServerCAAnnotation,
}

// cache limits what is cached of Secrets and webhook configurations to the three objects, so
// that names in RBAC rules are enough to read them. It is one of its own: a certificate does
// not wait until policies and the rest of a manager's cache can be read.
func (m *Managed) cache(mgr ctrl.Manager) (cache.Cache, error) {
	configuration := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", m.Configuration)}
	return cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {
				Namespaces: map[string]cache.Config{m.Secret.Namespace: {}},
				Field:      fields.OneTermEqualSelector("metadata.name", m.Secret.Name),
			},
			&admissionregistrationv1.MutatingWebhookConfiguration{}:   configuration,
			&admissionregistrationv1.ValidatingWebhookConfiguration{}: configuration,
		},
		DefaultTransform: cache.TransformStripManagedFields(),
	})
}

// SetupWithManager makes the manager run it in every replica, whenever one of the three
// objects changes and from time to time.
func (m *Managed) SetupWithManager(mgr ctrl.Manager) error {
	own, err := m.cache(mgr)
	if err != nil {
		return err
	}
	if err := mgr.Add(own); err != nil {
		return err
	}
	everyReplica := false
	// Whatever changed, the same thing is to be done.
	request := []reconcile.Request{{NamespacedName: types.NamespacedName{Name: m.Configuration}}}
	one := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return request })
	err = ctrl.NewControllerManagedBy(mgr).
		Named("certificates").
		WithOptions(controller.Options{
			NeedLeaderElection: &everyReplica,
			RateLimiter:        workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](50*time.Millisecond, 5*time.Second),
		}).
		WatchesRawSource(source.Kind[client.Object](own, &corev1.Secret{}, one)).
		WatchesRawSource(source.Kind[client.Object](own, &admissionregistrationv1.MutatingWebhookConfiguration{}, one)).
		WatchesRawSource(source.Kind[client.Object](own, &admissionregistrationv1.ValidatingWebhookConfiguration{}, one)).
		// There may be nothing yet to see.
		WatchesRawSource(source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			queue.Add(request[0])
			return nil
		})).
		Complete(m)
	if err != nil {
		return err
	}
	return mgr.Add(m)
}

// configuration is a webhook configuration as it was read.
type configuration struct {
	object  client.Object
	entries []entry
}

// entry is what is looked at of one webhook of a configuration.
type entry struct {
	name   string
	config admissionregistrationv1.WebhookClientConfig
}

// readConfigurations reads those that there are.
func readConfigurations(ctx context.Context, r client.Reader, name string) ([]*configuration, error) {
	var mutating admissionregistrationv1.MutatingWebhookConfiguration
	var validating admissionregistrationv1.ValidatingWebhookConfiguration
	var all []*configuration
	for _, o := range []client.Object{&mutating, &validating} {
		err := r.Get(ctx, types.NamespacedName{Name: name}, o)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %T %s: %w", o, name, err)
		}
		all = append(all, &configuration{object: o})
	}
	for _, c := range all {
		switch c.object {
		case &mutating:
			for _, w := range mutating.Webhooks {
				c.entries = append(c.entries, entry{w.Name, w.ClientConfig})
			}
		case &validating:
			for _, w := range validating.Webhooks {
				c.entries = append(c.entries, entry{w.Name, w.ClientConfig})
			}
		}
	}
	return all, nil
}

// injected is whether the caBundle is cert-manager's to fill in.
func (c *configuration) injected() bool {
	for _, annotation := range injectors {
		if c.object.GetAnnotations()[annotation] != "" {
			return true
		}
	}
	return false
}

// repair sets the caBundles that are not the trusted CAs, and nothing else. The patch fails
// if the configuration changed since it was read; another step then begins.
func (c *configuration) repair(ctx context.Context, w client.Writer, trusted [][]byte, log logr.Logger) (again bool, err error) {
	if c.injected() {
		return false, nil
	}
	patch, err := bundlePatch(c.object.GetResourceVersion(), c.entries, bytes.Join(trusted, nil))
	if err != nil || patch == nil {
		return false, err
	}
	err = w.Patch(ctx, c.object, client.RawPatch(types.JSONPatchType, patch))
	switch {
	case apierrors.IsNotFound(err), apierrors.IsInvalid(err), apierrors.IsConflict(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("patching the caBundle of %T %s: %w", c.object, c.object.GetName(), err)
	}
	log.Info("updated the caBundle", "type", fmt.Sprintf("%T", c.object), "name", c.object.GetName(), "cas", len(trusted))
	return true, nil
}

// bundlePatch is the JSON patch that sets the caBundles, nil if all are right. Its test
// fails it if the configuration is not the version that was read. Entries that go to a URL
// are somebody else's.
func bundlePatch(version string, entries []entry, bundle []byte) ([]byte, error) {
	operations := []manifest.PatchOperation{{Op: "test", Path: "/metadata/resourceVersion", Value: version}}
	for i, e := range entries {
		if e.config.Service != nil && !bytes.Equal(e.config.CABundle, bundle) {
			operations = append(operations, manifest.PatchOperation{Op: "add", Path: fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i), Value: bundle})
		}
	}
	if len(operations) == 1 {
		return nil, nil
	}
	return json.Marshal(operations)
}

// inAll is whether all entries that go to a Service trust a CA.
func inAll(configurations []*configuration, crt []byte) bool {
	for _, c := range configurations {
		for _, e := range c.entries {
			if e.config.Service != nil && !holds(certificates(e.config.CABundle, time.Time{}), crt) {
				return false
			}
		}
	}
	return true
}
