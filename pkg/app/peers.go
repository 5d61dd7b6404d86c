package app

import (
	"cmp"
	"crypto/tls"
	"net"

	"k8s.io/client-go/rest"

	"github.com/kubetorch/webhook/pkg/budget/charge"
)

// identity is how this replica and others know each other: by what they serve with.
func (s *endpoints) identity() charge.Identity {
	return charge.Identity{
		Certificate: func() (*tls.Certificate, error) { return s.source.GetCertificate(&tls.ClientHelloInfo{}) },
		Peer:        s.source.Peer,
	}
}

// reachedAt is the host and port at which other replicas reach this one: where it listens, or else the address that it
// has towards the API server, which is in the same network. It is empty as long as that cannot be told.
func (s *endpoints) reachedAt(config *rest.Config) string {
	host, port, err := net.SplitHostPort(s.address)
	if ip := net.ParseIP(host); err != nil || (host != "" && (ip == nil || !ip.IsUnspecified())) {
		return s.address
	}
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return ""
	}
	// A datagram socket that is connected sends nothing; it knows which address it would send from.
	connection, err := (&net.Dialer{Timeout: dialTimeout}).Dial("udp", net.JoinHostPort(server.Hostname(), cmp.Or(server.Port(), "443")))
	if err != nil {
		return ""
	}
	defer func() { _ = connection.Close() }()                       // it sent nothing
	own, _, _ := net.SplitHostPort(connection.LocalAddr().String()) // it is one of an address and a port
	return net.JoinHostPort(own, port)
}
