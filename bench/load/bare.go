package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/kubetorch/webhook/bench/reviews"
)

const constant = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"` + reviews.UID + `","allowed":true}}` + "\n"

// Bare are the names of the servers that admit everything: one that answers a constant, and
// controller-runtime's.
var Bare = []string{"constant", "controller-runtime"}

var found = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// Start runs this program as a bare server, by "-serve NAME". It runs until stop is called.
func Start(name string) (s *Server, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	process := exec.Command(self, "-serve", name)
	process.Stderr = os.Stderr
	// It ends with this process, whose end closes its standard input.
	if _, err := process.StdinPipe(); err != nil {
		return nil, nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := process.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() {
		_ = process.Process.Signal(os.Interrupt)
		_ = process.Wait()
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address := found.FindString(lines.Text()); address != "" {
			return &Server{Name: name, Address: address, PID: process.Process.Pid, Mutate: "/mutate", Validate: "/validate"}, stop, nil
		}
	}
	stop()
	return nil, nil, fmt.Errorf("%s ended before it served", name)
}

// Serve is what Start runs. It serves until ctx or standard input ends, and says on standard
// output where.
func Serve(ctx context.Context, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	dir, err := os.MkdirTemp("", "kubetorch-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	certificate, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{pair}}
	fmt.Printf("https://%s\n", listener.Addr())
	switch name {
	case "constant":
		server := &http.Server{TLSConfig: config, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, constant)
			}
		})}
		go func() { <-ctx.Done(); _ = server.Close() }()
		if err := server.ServeTLS(listener, "", ""); err != http.ErrServerClosed {
			return err
		}
		return nil
	case "controller-runtime":
		port := listener.Addr().(*net.TCPAddr).Port
		listener.Close()
		for file, data := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
				return err
			}
		}
		server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, CertDir: dir, TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.MinVersion, c.NextProtos = config.MinVersion, config.NextProtos
		}}})
		hook := &admission.Webhook{Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") })}
		server.Register("/mutate", hook)
		server.Register("/validate", hook)
		return server.Start(ctx)
	}
	return fmt.Errorf("no server %q", name)
}
