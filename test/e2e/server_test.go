package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatIsNoAdmissionReviewGetsAClearAnswer(t *testing.T) {
	t.Parallel()
	const v1 = `"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"`
	for name, c := range map[string]struct {
		method, path, contentType string
		body                      io.Reader
		code                      int
	}{
		"a GET":                              {http.MethodGet, "/mutate", "application/json", nil, http.StatusMethodNotAllowed},
		"text":                               {http.MethodPost, "/mutate", "text/plain", strings.NewReader("{}"), http.StatusUnsupportedMediaType},
		"an empty body":                      {http.MethodPost, "/validate", "application/json", strings.NewReader(""), http.StatusBadRequest},
		"no JSON":                            {http.MethodPost, "/mutate", "application/json", strings.NewReader("{"), http.StatusBadRequest},
		"another kind":                       {http.MethodPost, "/mutate", "application/json", strings.NewReader(`{"apiVersion":"v1","kind":"Pod"}`), http.StatusBadRequest},
		"no request":                         {http.MethodPost, "/mutate", "application/json", strings.NewReader(`{` + v1 + `}`), http.StatusBadRequest},
		"a null request":                     {http.MethodPost, "/mutate", "application/json", strings.NewReader(`{` + v1 + `,"request":null}`), http.StatusBadRequest},
		"a review of the version before":     {http.MethodPost, "/mutate", "application/json", strings.NewReader(`{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"a"}}`), http.StatusBadRequest},
		"a body of more than 7 MiB":          {http.MethodPost, "/mutate", "application/json", bytes.NewReader(make([]byte, 7<<20+1)), http.StatusRequestEntityTooLarge},
		"a path that is not there":           {http.MethodPost, "/other", "application/json", strings.NewReader("{}"), http.StatusNotFound},
		"a review whose object is null":      {http.MethodPost, "/mutate", "application/json", strings.NewReader(`{` + v1 + `,"request":{"uid":"a","operation":"CREATE","kind":{"group":"serving.knative.dev","version":"v1","kind":"Service"},"object":null}}`), http.StatusOK},
		"a review whose object is no object": {http.MethodPost, "/validate", "application/json", strings.NewReader(`{` + v1 + `,"request":{"uid":"a","operation":"CREATE","kind":{"group":"serving.knative.dev","version":"v1","kind":"Service"},"object":[]}}`), http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, body := post(t, c.method, c.path, c.contentType, c.body)
			assert.Equal(t, c.code, code, body)
			if c.code == http.StatusOK {
				assert.Contains(t, body, `"allowed":false`)
				assert.Contains(t, body, `"uid":"a"`)
				assert.Contains(t, body, `"code":400`)
			}
		})
	}
	code, _ := post(t, http.MethodGet, "/readyz", "", nil)
	assert.Equal(t, http.StatusOK, code, "still ready afterwards")
	_, metrics := post(t, http.MethodGet, "/metrics", "", nil)
	assert.NotRegexp(t, `(?m)^\w*panics_total(\{[^}]*\})? [1-9]`, metrics)
}

// insecure is for one request: the API server verifies the certificate in every other test.
func insecure() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

// tryGet is a GET of a server that may not listen yet.
func tryGet(ctx context.Context, path string) (int, string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+hook.Replicas[0].Address+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	response, err := insecure().Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(answer)
}

func post(t *testing.T, method, path, contentType string, body io.Reader) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "https://"+hook.Replicas[0].Address+path, body)
	require.NoError(t, err)
	request.Header.Set("Content-Type", contentType)
	response, err := insecure().Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(answer)
}

func TestOnlyTLS13IsSpoken(t *testing.T) {
	t.Parallel()
	_, err := tls.Dial("tcp", hook.Replicas[0].Address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	assert.ErrorContains(t, err, "protocol version")
}
