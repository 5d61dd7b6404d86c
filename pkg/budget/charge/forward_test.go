package charge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// identity is one that replicas share, with a certificate that was just made.
func identity(t testing.TB) Identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return Identity{
		Certificate: func() (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
		},
		Peer: func(other *x509.Certificate) error {
			if !leaf.Equal(other) {
				return errors.New("a stranger")
			}
			return nil
		},
	}
}

// serve has a handler listen as a replica of an identity does, and returns its address.
func serve(t testing.TB, handler http.Handler, id Identity) string {
	t.Helper()
	own, err := id.Certificate()
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{*own}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// leading is a writer that was found at an address.
func leading(address string) *Writer { return &Writer{Log: logr.Discard(), address: address} }

func TestTheReplicaThatLeadsChargesForTheOthers(t *testing.T) {
	shared := identity(t)
	type outcome struct {
		fits, byWriter, avoided bool
		answered, failed        float64
	}
	for name, test := range map[string]struct {
		// writer listens, and returns an address.
		writer func(t *testing.T, c *Charger) string
		want   outcome
	}{
		"the writer decides": {
			func(t *testing.T, c *Charger) string { return serve(t, Handler(c, shared), shared) },
			outcome{fits: true, byWriter: true, answered: 1},
		},
		"this replica leads": {
			func(*testing.T, *Charger) string { return "" },
			outcome{fits: true},
		},
		"nobody listens any more": {
			func(t *testing.T, c *Charger) string {
				server := httptest.NewServer(Handler(c, shared))
				defer server.Close()
				return server.Listener.Addr().String()
			},
			outcome{fits: true, avoided: true, failed: 1},
		},
		"somebody else has the address": {
			func(t *testing.T, c *Charger) string { return serve(t, Handler(c, shared), identity(t)) },
			outcome{fits: true, avoided: true, failed: 1},
		},
		"the writer takes this replica for a stranger, as while certificates are replaced": {
			func(t *testing.T, c *Charger) string { return serve(t, Handler(c, identity(t)), shared) },
			outcome{fits: true, avoided: true, failed: 1},
		},
		"the writer is of a version that takes no charges": {
			func(t *testing.T, _ *Charger) string { return serve(t, http.NotFoundHandler(), shared) },
			outcome{fits: true, avoided: true, failed: 1},
		},
		"the writer's answer has a field that this version does not know": {
			func(t *testing.T, _ *Charger) string {
				return serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.WriteString(w, `{"Fits":true,"Unless":"raining"}`)
				}), shared)
			},
			outcome{fits: true, avoided: true, failed: 1},
		},
		"the writer hangs": {
			func(t *testing.T, _ *Charger) string {
				return serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body) // only then is it seen that the other end has gone
					<-r.Context().Done()
				}), shared)
			},
			outcome{fits: true, avoided: true, failed: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			metrics, err := NewWriteMetrics(prometheus.NewRegistry())
			require.NoError(t, err)
			s := newStore(counted("b", 10))
			byWriter := NewCharger(s, nil)
			w := leading(test.writer(t, byWriter))
			c := NewCharger(s, metrics)
			c.Forward = NewForwarder(w, shared, metrics).Charge
			answer := c.Charge(t.Context(), []Demand{demand("b", "x", 4)}, false)[0]
			assert.Equal(t, test.want, outcome{
				fits: answer.Fits, byWriter: byWriter.workers["b"] != nil, avoided: w.address != "" && w.Address() == "",
				answered: testutil.ToFloat64(metrics.asked.WithLabelValues("b", "answered")),
				failed:   testutil.ToFloat64(metrics.asked.WithLabelValues("b", "error")),
			})
			assert.EqualValues(t, 4, taken(t, s, "b"), "it is charged once")
			refused := c.Charge(t.Context(), []Demand{demand("b", "y", 7)}, false)[0]
			assert.False(t, refused.Admits())
			assert.EqualValues(t, 6, refused.Free)
		})
	}
}

func TestARequestThatHasEndedIsNoFaultOfTheWriter(t *testing.T) {
	shared := identity(t)
	w := leading(serve(t, http.NotFoundHandler(), shared))
	f := NewForwarder(w, shared, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := demand("b", "x", 4)
	_, ok := f.Charge(ctx, &d)
	assert.False(t, ok)
	assert.NotEmpty(t, w.Address())
}

func TestAWriterThatDoesNotAnswerIsAskedLessAndLessOften(t *testing.T) {
	w := leading("a:1")
	why := errors.New("refused")
	w.Avoid("b:1", time.Now(), errors.New("an earlier one"))
	assert.Equal(t, "a:1", w.Address())
	for _, avoided := range []time.Duration{avoidFor, 2 * avoidFor, 4 * avoidFor, 8 * avoidFor, 16 * avoidFor, 32 * avoidFor, avoidLongest, avoidLongest} {
		asked := time.Now()
		w.Avoid("a:1", asked, why)
		w.Avoid("a:1", asked.Add(-time.Second), errors.New("another at the same time"))
		assert.Empty(t, w.Address())
		assert.False(t, w.until.Before(asked.Add(avoided)))
		assert.False(t, w.until.After(time.Now().Add(avoided)))
		w.until = time.Now()
		assert.Equal(t, "a:1", w.Address(), "it is tried again")
		assert.Empty(t, w.Address(), "by one at a time")
	}
	w.Answered("b:1")
	assert.Empty(t, w.Address())
	w.Answered("a:1")
	for range 3 {
		assert.Equal(t, "a:1", w.Address())
	}
	w.Avoid("a:1", time.Now(), why)
	assert.False(t, w.until.After(time.Now().Add(avoidFor)), "as at first")
}

func TestOnlyReplicasMayCharge(t *testing.T) {
	shared, stranger := identity(t), identity(t)
	s := newStore(counted("b", 10))
	address := serve(t, Handler(NewCharger(s, nil), shared), shared)
	body, err := json.Marshal(demand("b", "x", 4))
	require.NoError(t, err)
	unknown := strings.Replace(string(body), "{", `{"Unless":"raining",`, 1)
	for name, test := range map[string]struct {
		id     *Identity
		method string
		body   string
		status int
		taken  int64
	}{
		"nobody in particular":                      {nil, http.MethodPost, string(body), http.StatusForbidden, 0},
		"a stranger":                                {&stranger, http.MethodPost, string(body), http.StatusForbidden, 0},
		"a replica that asks for something else":    {&shared, http.MethodGet, "", http.StatusMethodNotAllowed, 0},
		"a replica that sends no demand":            {&shared, http.MethodPost, "[]", http.StatusBadRequest, 0},
		"a replica of a version that knows more":    {&shared, http.MethodPost, unknown, http.StatusBadRequest, 0},
		"a demand that is larger than all demands":  {&shared, http.MethodPost, strings.Repeat(" ", maxForwarded+1) + string(body), http.StatusBadRequest, 0},
		"a replica that asks for what is to be had": {&shared, http.MethodPost, string(body), http.StatusOK, 4},
	} {
		t.Run(name, func(t *testing.T) {
			before := taken(t, s, "b")
			config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
			if test.id != nil {
				own, err := test.id.Certificate()
				require.NoError(t, err)
				config.Certificates = []tls.Certificate{*own}
			}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
			defer client.CloseIdleConnections()
			request, err := http.NewRequestWithContext(t.Context(), test.method, "https://"+address+Path, strings.NewReader(test.body))
			require.NoError(t, err)
			response, err := client.Do(request)
			require.NoError(t, err)
			defer response.Body.Close()
			assert.Equal(t, test.status, response.StatusCode)
			assert.Equal(t, test.taken, taken(t, s, "b")-before)
		})
	}
}

// What one replica asks another for, and what it is answered, is what it would have decided by itself.
func TestDemandsAndAnswersTravelWhole(t *testing.T) {
	same := func(sent, received any) func() bool {
		return func() bool {
			text, err := json.Marshal(sent)
			require.NoError(t, err)
			require.NoError(t, readStrictly(strings.NewReader(string(text)), received))
			return assert.Equal(t, sent, received)
		}
	}
	require.NoError(t, quick.Check(func(d Demand) bool { return same(&d, &Demand{})() }, nil))
	require.NoError(t, quick.Check(func(a Answer, kind string) bool {
		a.Holders = []v1alpha1.Holder{{Namespace: "a", Kind: kind, Name: "n", GPUs: 4}}
		return same(&a, &Answer{})()
	}, nil))
}

func TestTheWriterIsTheReplicaThatLeads(t *testing.T) {
	lease := func(name string, holder *string, address string) *coordinationv1.Lease {
		l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: coordinationv1.LeaseSpec{HolderIdentity: holder}}
		if address != "" {
			l.Annotations = map[string]string{AddressAnnotation: address}
		}
		return l
	}
	one, two, gone := "one", "two", "gone"
	for name, test := range map[string]struct {
		leader *coordinationv1.Lease
		want   string
	}{
		"another one":                            {lease("webhook", &two, ""), "10.0.0.2:9443"},
		"this one":                               {lease("webhook", &one, ""), ""},
		"one that has handed it over":            {lease("webhook", new(""), ""), ""},
		"one that never was present":             {lease("webhook", &gone, ""), ""},
		"nobody yet":                             {lease("webhook", nil, ""), ""},
		"of another installation":                {lease("other", &two, ""), ""},
		"one of a version that says no address":  {lease("webhook", new("old"), ""), ""},
		"an address on the Lease of the leaders": {lease("webhook", &one, "10.0.0.9:9443"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset(test.leader, lease("replica-one", &one, "10.0.0.1:9443"), lease("replica-two", &two, "10.0.0.2:9443"), lease("replica-old", nil, ""))
			w := &Writer{Client: client, Lease: types.NamespacedName{Namespace: "ns", Name: "webhook"}, Identity: "one", Log: logr.Discard()}
			address, err := w.find(t.Context())
			require.NoError(t, err)
			assert.Equal(t, test.want, address)
		})
	}
}
