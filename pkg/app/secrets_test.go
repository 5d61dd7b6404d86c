package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/kubetorch/webhook/pkg/admission"
)

// TestLogsHoldNothingOfAPodThatIsSecret sends workloads full of secrets, those that are
// admitted and those that are refused for them, and logs as much as there is.
func TestLogsHoldNothingOfAPodThatIsSecret(t *testing.T) {
	const secret = "s3cret"
	pod := `{"serviceAccountName": "s3cret-account", "imagePullSecrets": [{"name": "s3cret-pull"}],
		"volumes": [{"name": "s3cret-volume", "secret": {"secretName": "s3cret-files"}}, {"name": "p", "projected": {"sources": [{"secret": {"name": "s3cret-projected"}}]}}],
		"containers": [{"image": "example.com/app", "args": ["--token=s3cret-arg"],
			"env": [{"name": "TOKEN", "value": "s3cret-value"}, {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s3cret-ref", "key": "s3cret-key"}}} BAD],
			"envFrom": [{"secretRef": {"name": "s3cret-from"}}], "volumeMounts": [{"name": "s3cret-volume", "mountPath": "/s3cret"}]}]}`
	faults := map[string]string{
		"nothing wrong":               "",
		"a variable of a wrong type":  `, {"name": "A", "value": {"s3cret": true}}`,
		"a variable with two sources": `, {"name": "A", "value": "s3cret-two", "valueFrom": {"secretKeyRef": {"name": "s3cret-ref", "key": "k"}}}`,
		"a variable of a wrong name":  `, {"name": "s3cret=x", "value": "s3cret-three"}`,
	}
	objects := map[string]string{
		"Service":    `{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "app", "namespace": "team", "labels": LABELS}, "spec": {"template": {"spec": POD}}}`,
		"Deployment": `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "namespace": "team", "labels": LABELS}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD}}}`,
	}
	var lines strings.Builder
	log := funcr.New(func(prefix, args string) { lines.WriteString(prefix + " " + args + "\n") }, funcr.Options{Verbosity: 10})
	e := working()
	handlers := map[string]http.Handler{
		MutatePath:   admission.Handler(e.mutate, admission.Options{Path: MutatePath, Log: log}),
		ValidatePath: admission.Handler(e.validate, admission.Options{Path: ValidatePath, Log: log}),
	}
	for kind, object := range objects {
		for fault, bad := range faults {
			for _, labels := range []string{`{}`, `{"kubetorch.com/autoscale": "true"}`} {
				raw := strings.NewReplacer("LABELS", labels, "POD", strings.ReplaceAll(pod, "BAD", bad)).Replace(object)
				for path, handler := range handlers {
					var review admissionv1.AdmissionReview
					review.APIVersion, review.Kind, review.Request = "admission.k8s.io/v1", "AdmissionReview", service(t, nil)
					if kind == "Deployment" {
						review.Request.Kind.Group, review.Request.Kind.Kind = "apps", kind
					}
					review.Request.Object.Raw = []byte(raw)
					body, err := json.Marshal(review)
					require.NoError(t, err)
					request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(body)))
					request.Header.Set("Content-Type", "application/json")
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, request)
					require.Equal(t, 200, w.Code, "%s with %s", kind, fault)
				}
			}
		}
	}
	assert.Contains(t, lines.String(), `"refused"`)
	assert.Contains(t, lines.String(), `"admitted"`)
	assert.NotContains(t, lines.String(), secret)
}
