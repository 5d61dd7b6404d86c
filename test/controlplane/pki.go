package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity bounds certificates and service account tokens alike; it only has
// to outlast a control plane that a developer keeps running.
const validity = 30 * 24 * time.Hour

// keyPair is a certificate and its key on disk and in PEM.
type keyPair struct {
	certFile, keyFile string
	certPEM, keyPEM   []byte
	cert              *x509.Certificate
	key               *ecdsa.PrivateKey
}

// pki holds the certificates of one control plane.
type pki struct {
	ca, frontProxyCA      *keyPair
	apiserver, frontProxy *keyPair
	admin, kcm, scheduler *keyPair
	admission             *keyPair // that the API server shows to webhooks
	node, proxy           *keyPair // of a lab's kubelet and kube-proxy
	// Files of the key that signs service account tokens.
	saKeyFile, saPublicFile string
}

// newPKI generates all keys and certificates into dir. addresses are those of the API server
// beside 127.0.0.1: the ClusterIP of the kubernetes Service among them.
func newPKI(dir string, addresses ...net.IP) (*pki, error) {
	g := generator{dir: dir}
	p := &pki{}
	p.ca = g.pair("ca", pkix.Name{CommonName: "ca"}, nil, authority)
	p.frontProxyCA = g.pair("front-proxy-ca", pkix.Name{CommonName: "front-proxy-ca"}, nil, authority)
	p.apiserver = g.pair("apiserver", pkix.Name{CommonName: "kube-apiserver"}, p.ca, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
		c.IPAddresses = append([]net.IP{net.IPv4(127, 0, 0, 1)}, addresses...)
	})
	p.frontProxy = g.pair("front-proxy", pkix.Name{CommonName: frontProxyUser}, p.frontProxyCA, client)
	p.admin = g.pair("admin", pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}, p.ca, client)
	p.kcm = g.pair("kcm", pkix.Name{CommonName: "system:kube-controller-manager"}, p.ca, client)
	p.scheduler = g.pair("scheduler", pkix.Name{CommonName: "system:kube-scheduler"}, p.ca, client)
	p.admission = g.pair("admission", pkix.Name{CommonName: AdmissionClientName}, p.ca, client)
	p.node = g.pair("node", pkix.Name{CommonName: "system:node:" + nodeName, Organization: []string{"system:nodes"}}, p.ca, client)
	p.proxy = g.pair("kube-proxy", pkix.Name{CommonName: "system:kube-proxy"}, p.ca, client)
	p.saKeyFile, p.saPublicFile = g.signingKey("sa")
	if g.err != nil {
		return nil, fmt.Errorf("generating certificates: %w", g.err)
	}
	return p, nil
}

func authority(c *x509.Certificate) {
	c.IsCA = true
	c.BasicConstraintsValid = true
	c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
}

func client(c *x509.Certificate) {
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
}

// generator writes keys and certificates until the first error.
type generator struct {
	dir string
	err error
}

// pair issues a certificate, self-signed if issuer is nil.
func (g *generator) pair(name string, subject pkix.Name, issuer *keyPair, shape func(*x509.Certificate)) *keyPair {
	p := &keyPair{certFile: filepath.Join(g.dir, name+".crt"), keyFile: filepath.Join(g.dir, name+".key")}
	p.key = g.newKey()
	p.keyPEM = g.writeKey(p.keyFile, p.key)
	if g.err != nil {
		return p
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		g.err = err
		return p
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(validity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	shape(template)
	parent, parentKey := template, p.key
	if issuer != nil {
		parent, parentKey = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, p.key.Public(), parentKey)
	if err != nil {
		g.err = err
		return p
	}
	if p.cert, g.err = x509.ParseCertificate(der); g.err != nil {
		return p
	}
	p.certPEM = g.writePEM(p.certFile, "CERTIFICATE", der)
	return p
}

// signingKey writes a key and its public half.
func (g *generator) signingKey(name string) (keyFile, publicFile string) {
	keyFile, publicFile = filepath.Join(g.dir, name+".key"), filepath.Join(g.dir, name+".pub")
	key := g.newKey()
	g.writeKey(keyFile, key)
	if g.err != nil {
		return "", ""
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		g.err = err
		return "", ""
	}
	g.writePEM(publicFile, "PUBLIC KEY", der)
	return keyFile, publicFile
}

func (g *generator) newKey() *ecdsa.PrivateKey {
	if g.err != nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.err = err
	return key
}

func (g *generator) writeKey(file string, key *ecdsa.PrivateKey) []byte {
	if g.err != nil {
		return nil
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		g.err = err
		return nil
	}
	return g.writePEM(file, "EC PRIVATE KEY", der)
}

func (g *generator) writePEM(file, kind string, der []byte) []byte {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if g.err == nil {
		g.err = os.WriteFile(file, text, 0o600)
	}
	return text
}
