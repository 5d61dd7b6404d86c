package certificate

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// injectors are cert-manager's annotations on a configuration whose caBundle its
// cainjector fills in. Two writers would undo each other's work.
var injectors = []string{
	"cert-manager.io/inject-ca-from",
	"cert-manager.io/inject-ca-from-secret",
	"cert-manager.io/inject-apiserver-ca",
}

// CABundles keeps the caBundle of a mutating and a validating webhook configuration
// equal to the authority in a Secret, and touches nothing else in them. Every replica
// runs it: they all write the same value, and a repair then waits for no election.
type CABundles struct {
	// Client reads from a cache that was made with CacheFor.
	Client client.Client
	// Secret is the authority, in its key ca.crt.
	Secret types.NamespacedName
	// Configuration is the name of both configurations.
	Configuration string
}

// CacheFor limits what is cached of Secrets and webhook configurations to the three
// objects, so that names in RBAC rules are enough to read them.
func (c *CABundles) CacheFor() map[client.Object]cache.ByObject {
	configuration := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", c.Configuration)}
	return map[client.Object]cache.ByObject{
		&corev1.Secret{}: {
			Namespaces: map[string]cache.Config{c.Secret.Namespace: {}},
			Field:      fields.OneTermEqualSelector("metadata.name", c.Secret.Name),
		},
		&admissionregistrationv1.MutatingWebhookConfiguration{}:   configuration,
		&admissionregistrationv1.ValidatingWebhookConfiguration{}: configuration,
	}
}

// SetupWithManager makes the manager run it, on every change of one of the three
// objects.
func (c *CABundles) SetupWithManager(mgr ctrl.Manager) error {
	everyReplica := false
	// Whatever changed, the same thing is to be done.
	one := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: c.Configuration}}}
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("ca-bundles").
		WithOptions(controller.Options{NeedLeaderElection: &everyReplica}).
		Watches(&corev1.Secret{}, one).
		Watches(&admissionregistrationv1.MutatingWebhookConfiguration{}, one).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, one).
		Complete(c)
}

// Reconcile compares and repairs both configurations. An error makes the controller
// try again, with backoff.
func (c *CABundles) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var secret corev1.Secret
	if err := c.Client.Get(ctx, c.Secret, &secret); err != nil {
		// The authority is made by the certificate source; its creation is an event.
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	ca := secret.Data[corev1.ServiceAccountRootCAKey]
	if err := checkCA(ca); err != nil {
		log.FromContext(ctx).Info("the CA Secret is unusable, leaving the caBundle alone", "secret", c.Secret, "error", err.Error())
		return reconcile.Result{}, nil
	}

	var mutating admissionregistrationv1.MutatingWebhookConfiguration
	var validating admissionregistrationv1.ValidatingWebhookConfiguration
	return reconcile.Result{}, errors.Join(
		c.repair(ctx, &mutating, ca, func() (entries []entry) {
			for _, w := range mutating.Webhooks {
				entries = append(entries, entry{w.Name, w.ClientConfig})
			}
			return entries
		}),
		c.repair(ctx, &validating, ca, func() (entries []entry) {
			for _, w := range validating.Webhooks {
				entries = append(entries, entry{w.Name, w.ClientConfig})
			}
			return entries
		}),
	)
}

// repair reads one configuration and patches the caBundles that differ.
func (c *CABundles) repair(ctx context.Context, o client.Object, ca []byte, entries func() []entry) error {
	if err := c.Client.Get(ctx, types.NamespacedName{Name: c.Configuration}, o); err != nil {
		return client.IgnoreNotFound(err)
	}
	for _, annotation := range injectors {
		if o.GetAnnotations()[annotation] != "" {
			return nil
		}
	}
	patch, err := bundlePatch(entries(), ca)
	if err != nil || patch == nil {
		return err
	}
	if err := c.Client.Patch(ctx, o, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("patching the caBundle of %T %s: %w", o, c.Configuration, err)
	}
	log.FromContext(ctx).Info("updated the caBundle", "type", fmt.Sprintf("%T", o), "name", c.Configuration)
	return nil
}

// entry is what is looked at of one webhook of a configuration.
type entry struct {
	name   string
	config admissionregistrationv1.WebhookClientConfig
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// bundlePatch is the JSON patch that sets the caBundles, nil if all are right. Each
// write is guarded by a test of the entry's name, so that a configuration whose
// entries moved meanwhile fails the patch instead of getting a field in the wrong
// place. Entries that go to a URL are somebody else's.
func bundlePatch(entries []entry, ca []byte) ([]byte, error) {
	var operations []operation
	for i, e := range entries {
		if e.config.Service == nil || bytes.Equal(e.config.CABundle, ca) {
			continue
		}
		operations = append(operations,
			operation{"test", fmt.Sprintf("/webhooks/%d/name", i), e.name},
			operation{"add", fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i), ca})
	}
	if operations == nil {
		return nil, nil
	}
	return json.Marshal(operations)
}

// checkCA refuses what the API server would refuse as a caBundle.
func checkCA(ca []byte) error {
	block, _ := pem.Decode(ca)
	if block == nil || block.Type != "CERTIFICATE" {
		return errors.New("no certificate in PEM")
	}
	_, err := x509.ParseCertificate(block.Bytes)
	return err
}
