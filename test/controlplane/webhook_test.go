package controlplane

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
)

// asWebhook makes the test binary a webhook that refuses everything. Its value
// is the folder with its certificate.
const asWebhook = "CONTROLPLANE_TEST_AS_WEBHOOK"

const askingConfigMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: asking, labels: {ask: the-webhook}}
`

// testInstallWebhook installs a stand-in for the kubetorch webhook.
func testInstallWebhook(ctx context.Context, t *testing.T, c *ControlPlane) {
	g := generator{dir: t.TempDir()}
	ca := g.pair("ca", pkix.Name{CommonName: "webhook-ca"}, nil, authority)
	g.pair("serving", pkix.Name{CommonName: "webhook"}, ca, func(c *x509.Certificate) {
		c.DNSNames = []string{"kubetorch-webhook.kubetorch-system.svc"}
	})
	require.NoError(t, g.err)

	w, err := c.InstallWebhook(ctx, WebhookOptions{
		Binary: os.Args[0], Manifests: filepath.Join("testdata", "webhook"),
		Replicas: 2, ExtraArgs: []string{"-verdict", "not today"}, Env: []string{asWebhook + "=" + g.dir},
	})
	require.NoError(t, err)
	require.Len(t, w.Replicas, 2)

	ask := func() error {
		_, _, err := c.Kubectl(ctx, strings.NewReader(askingConfigMap), "create", "-f", "-")
		return err
	}
	require.ErrorContains(t, ask(), `admission webhook "validate.example.com" denied the request: not today`)

	out, _, err := c.Kubectl(ctx, nil, "-n", "kubetorch-system", "get", "deployment", "kubetorch-webhook", "-o", "jsonpath={.spec.replicas}")
	require.NoError(t, err)
	assert.Equal(t, "0", out)

	t.Run("the other replica takes over", func(t *testing.T) {
		for _, r := range w.Replicas {
			require.NoError(t, r.Process().Stop())
			// The API server may meet the broken connection first.
			eventually(t, func() error {
				if err := ask(); err == nil || !strings.Contains(err.Error(), "not today") {
					return fmt.Errorf("want a refusal, got: %w", err)
				}
				return nil
			})
			require.NoError(t, r.Restart(ctx))
		}
	})

	t.Run("stopped replicas do not answer", func(t *testing.T) {
		require.NoError(t, w.Stop())
		require.ErrorContains(t, ask(), "failed calling webhook")
		require.NoError(t, w.Replicas[0].Restart(ctx))
		require.NoError(t, w.Replicas[1].Restart(ctx))
	})
}

// serveWebhook is the stand-in: it takes the arguments of the real one, states
// its caBundle with the rights of its ServiceAccount, and refuses.
func serveWebhook(certDir string, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "")
	listen := flags.String("listen", "", "")
	verdict := flags.String("verdict", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := stateCABundle(*kubeconfig, filepath.Join(certDir, "ca.crt")); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /validate", func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Result: &metav1.Status{Message: *verdict}}
		if err := json.NewEncoder(w).Encode(review); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	return http.ListenAndServeTLS(*listen, filepath.Join(certDir, "serving.crt"), filepath.Join(certDir, "serving.key"), mux)
}

func stateCABundle(kubeconfig, caFile string) error {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	for _, resource := range []schema.GroupVersionResource{mutatingHooks, validatingHooks} {
		// The other replica states it at the same time.
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			return setCABundle(client.Resource(resource), base64.StdEncoding.EncodeToString(ca))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func setCABundle(configurations dynamic.ResourceInterface, bundle string) error {
	o, err := configurations.Get(context.Background(), webhookName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	webhooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
	if err != nil {
		return err
	}
	for _, w := range webhooks {
		if err := unstructured.SetNestedField(w.(map[string]any), bundle, "clientConfig", "caBundle"); err != nil {
			return err
		}
	}
	if err := unstructured.SetNestedSlice(o.Object, webhooks, "webhooks"); err != nil {
		return err
	}
	_, err = configurations.Update(context.Background(), o, metav1.UpdateOptions{})
	return err
}
