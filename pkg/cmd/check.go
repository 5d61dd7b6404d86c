package cmd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kubetorch/webhook/pkg/app"
	"github.com/kubetorch/webhook/pkg/certificate"
	"github.com/kubetorch/webhook/pkg/cmd/options"
	"github.com/kubetorch/webhook/pkg/registration"
)

func newCheck() *cobra.Command {
	var o options.Check
	c := &cobra.Command{
		Use:   "check [--kubeconfig FILE] [--context NAME] [--dial]",
		Short: "Check that a cluster asks the webhook about everything that bounds and budgets are about",
		Long: `Check that both webhook configurations are there, that they have their rules, and that
nothing in them lets through what bounds and budgets are about. Nothing is changed. It is what
the condition Ready of policies and budgets says, without a replica that could write it.

With --dial, which needs the cluster's network, the Service is called too, and has to answer
with a certificate that the configurations verify. helm test does that.

The exit code is 1 if something is not as it should be, 2 if the cluster cannot be read.`,
		Example: `  kubetorch-webhook check
  kubetorch-webhook check --wait 2m
  kubetorch-webhook check --kinds-file kinds.yaml   # with kinds that the webhook was given beside its own`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return runCheck(c.Context(), &o, c.OutOrStdout()) },
	}
	o.AddFlags(c.Flags())
	return c
}

func runCheck(ctx context.Context, o *options.Check, out io.Writer) error {
	if err := o.Validate().ToAggregate(); err != nil {
		return err
	}
	config, err := clusterConfig(o.Cluster)
	if err != nil {
		return err
	}
	reader, err := client.New(config, client.Options{})
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	service := types.NamespacedName{Namespace: o.Namespace, Name: o.Service}
	expected, err := registration.NewExpected(service, o.KnativeNamespace, o.Excluded.With(o.Namespace, o.KnativeNamespace))
	if err != nil {
		return err
	}
	verifies := func(bundle []byte) error {
		if len(bundle) == 0 {
			return errors.New("it is empty")
		}
		return nil
	}
	if o.Dial {
		verifies = func(bundle []byte) error { return dial(ctx, certificate.ServiceNames(service)[0], bundle) }
	}
	for begun := time.Now(); ; {
		err := registration.Check(ctx, registration.RegistrarOptions{Reader: reader, Configuration: o.Configuration, Expected: expected.WithKinds(o.Kinds.Operators().Kinds), Verifies: verifies})
		if err == nil {
			_, err := fmt.Fprintln(out, "both webhook configurations are as they should be")
			return Failed(err)
		}
		if time.Since(begun) >= o.Wait {
			return Failed(err)
		}
		select {
		case <-ctx.Done():
			return Failed(ctx.Err())
		case <-time.After(time.Second):
		}
	}
}

// dial calls the webhook as an API server does.
func dial(ctx context.Context, name string, bundle []byte) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return errors.New("it holds no certificate")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+name+app.ReadyPath, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
		return fmt.Errorf("%s answers %s: %s", request.URL, response.Status, text)
	}
	return nil
}
