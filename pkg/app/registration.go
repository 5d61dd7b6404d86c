package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/pkg/registration"
)

// newRegistrar sets up what opens and watches the webhook configurations.
func newRegistrar(mgr ctrl.Manager, o ClusterOptions, server *endpoints, registry prometheus.Registerer) (*registration.Registrar, error) {
	service := types.NamespacedName{Namespace: o.Namespace, Name: o.Service}
	expected, err := registration.NewExpected(service, o.KnativeNamespace, o.excluded())
	if err != nil {
		return nil, err
	}
	metrics, err := registration.NewStateMetrics(registry)
	if err != nil {
		return nil, err
	}
	r := registration.New(registration.RegistrarOptions{
		Reader: mgr.GetAPIReader(), Writer: mgr.GetClient(), Configuration: o.Configuration, Expected: expected.WithKinds(o.Operators.Kinds),
		Ready: server.checks.since,
		Verifies: func(bundle []byte) error {
			return verifies(server.source, certificate.ServiceNames(service)[0], bundle)
		},
		Metrics: metrics, Log: o.Log.WithName("registration"),
	})
	return r, mgr.Add(r)
}

// registered reads the UID of the validating webhook configuration of a name. It is another one each
// time that the configuration is made, and nobody knows it before.
func registered(reader client.Reader, name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		c := &metav1.PartialObjectMetadata{}
		c.SetGroupVersionKind(admissionregistrationv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"))
		if err := reader.Get(ctx, client.ObjectKey{Name: name}, c); err != nil {
			return "", fmt.Errorf("reading the validating webhook configuration %s: %w", name, err)
		}
		return string(c.UID), nil
	}
}

// verifies is nil if the CAs of a caBundle verify the certificate that is served now.
func verifies(source certificate.Provider, name string, bundle []byte) error {
	if len(bundle) == 0 {
		return errors.New("it is empty")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return errors.New("it holds no certificate")
	}
	served, err := source.GetCertificate(nil)
	if err != nil {
		return err
	}
	intermediates := x509.NewCertPool()
	for _, der := range served.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(c)
		}
	}
	leaf, err := x509.ParseCertificate(served.Certificate[0])
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: intermediates})
	return err
}

// since tells how long ago somebody was first told that this replica is ready, and whether it
// is now.
func (r *readiness) since() (time.Duration, bool) {
	first := r.answered.Load()
	if first == nil || len(r.problems()) > 0 {
		return 0, false
	}
	return time.Since(*first), true
}
