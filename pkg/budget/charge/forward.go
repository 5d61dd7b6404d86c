package charge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// Path is where a replica takes what others are asked to charge.
	Path = "/charge"

	// forwardTimeout is how long the writer may take to answer, connectTimeout to be connected to. After
	// that a replica decides itself: charging the same twice raises a claim once.
	forwardTimeout, connectTimeout = 2 * time.Second, 500 * time.Millisecond
	// maxForwarded is the largest demand, and the largest answer, in bytes; the largest object that an API server stores
	// has a thousand charges of 200 bytes at most.
	maxForwarded = 1 << 20
	// maxForwarding is how many demands of other replicas are decided at the same time.
	maxForwarding = 2000
)

// Identity is how replicas know each other.
type Identity struct {
	// Certificate is what this replica shows others, and Peer is nil for one that another replica may show.
	Certificate func() (*tls.Certificate, error)
	Peer        func(*x509.Certificate) error
}

// Forwarder has the writer decide demands.
type Forwarder struct {
	writer  *Writer
	client  *http.Client
	metrics *WriteMetrics
}

// NewForwarder makes a forwarder. Metrics may be nil.
func NewForwarder(w *Writer, id Identity, metrics *WriteMetrics) *Forwarder {
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		// A replica's certificate names the Service, and an address is not in it: Peer says whose it is.
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errors.New("the writer shows no certificate")
			}
			return id.Peer(s.PeerCertificates[0])
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return id.Certificate() },
	}
	return &Forwarder{writer: w, metrics: metrics, client: &http.Client{Transport: &http.Transport{
		TLSClientConfig:     config,
		DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout: connectTimeout,
		MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute,
	}}}
}

// Charge has the writer decide a demand; ok is false where it did not, and this replica is to.
func (f *Forwarder) Charge(ctx context.Context, d *Demand) (answer Answer, ok bool) {
	address := f.writer.Address()
	if address == "" {
		return Answer{}, false
	}
	begun := time.Now()
	answer, err := f.ask(ctx, address, d)
	if ctx.Err() != nil {
		return Answer{}, false // it is the request that has ended
	}
	f.metrics.forwarded(d.Budget, err)
	if err != nil {
		f.writer.Avoid(address, begun, err)
		return Answer{}, false
	}
	f.writer.Answered(address)
	return answer, true
}

func (f *Forwarder) ask(ctx context.Context, address string, d *Demand) (answer Answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	body, err := json.Marshal(d)
	if err != nil {
		return answer, fmt.Errorf("writing what is charged: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+Path, bytes.NewReader(body))
	if err != nil {
		return answer, fmt.Errorf("asking replica %s: %w", address, err)
	}
	response, err := f.client.Do(request)
	if err != nil {
		return answer, fmt.Errorf("asking replica %s: %w", address, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("asking replica %s: it answers %s", address, response.Status)
	}
	if err := readStrictly(response.Body, &answer); err != nil {
		return answer, fmt.Errorf("reading the answer of replica %s: %w", address, err)
	}
	return answer, nil
}

// Handler decides what other replicas are asked to charge. Only those whose certificate is a replica's are
// answered, so the listener has to ask for certificates.
func Handler(c *Charger, id Identity) http.Handler {
	busy := make(chan struct{}, maxForwarding)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.TLS == nil || len(r.TLS.PeerCertificates) == 0:
			http.Error(w, "only the webhook's own replicas may charge: a client certificate is required", http.StatusForbidden)
			return
		case r.Method != http.MethodPost:
			http.Error(w, "only POST is allowed", http.StatusMethodNotAllowed)
			return
		}
		if err := id.Peer(r.TLS.PeerCertificates[0]); err != nil {
			http.Error(w, "only the webhook's own replicas may charge: "+err.Error(), http.StatusForbidden)
			return
		}
		select {
		case busy <- struct{}{}:
			defer func() { <-busy }()
		default:
			http.Error(w, "too many charges at once", http.StatusServiceUnavailable)
			return
		}
		var d Demand
		if err := readStrictly(http.MaxBytesReader(w, r.Body, maxForwarded), &d); err != nil {
			http.Error(w, "reading what is to be charged: "+err.Error(), http.StatusBadRequest)
			return
		}
		answer := c.decide(r.Context(), &d, false)
		body, err := json.Marshal(&answer)
		if err != nil {
			http.Error(w, "writing the answer: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
}

// readStrictly takes no field that this version does not know: it could change what another one means.
func readStrictly(r io.Reader, into any) error {
	decoder := json.NewDecoder(io.LimitReader(r, maxForwarded))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
