package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Files in a lab's folder through which the programs inside and outside of its namespaces
// meet: the one inside writes which port it wants, and serves the API server on the socket;
// the one outside listens on the port, and says so.
const (
	forwardWanted = "forward"
	forwardDone   = "forwarded"
	forwardSocket = "apiserver.sock"
)

// Forward makes a lab's API server reachable from outside of its network namespace, on the
// same loopback address, so that its kubeconfig holds there too.
func (c *ControlPlane) Forward(ctx context.Context) error {
	server, err := url.Parse(c.server)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", filepath.Join(labDir(), forwardSocket))
	if err != nil {
		return fmt.Errorf("forwarding the API server: %w", err)
	}
	c.closeWithStop(listener)
	go pipe(listener, "tcp", server.Host)
	if err := os.WriteFile(filepath.Join(labDir(), forwardWanted), []byte(server.Port()), 0o600); err != nil {
		return fmt.Errorf("forwarding the API server: %w", err)
	}
	return await(ctx, "the API server's port outside of the lab", time.Minute, func(context.Context) error {
		text, err := os.ReadFile(filepath.Join(labDir(), forwardDone))
		if err == nil && len(text) > 0 {
			err = errors.New(string(text))
		}
		return err
	})
}

// forward is the part of Forward outside of the namespaces. It ends with ctx.
func forward(ctx context.Context, dir string) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		port, err := os.ReadFile(filepath.Join(dir, forwardWanted))
		if err == nil && len(port) > 0 {
			listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+strings.TrimSpace(string(port)))
			answer := ""
			if err != nil {
				answer = err.Error()
			} else {
				context.AfterFunc(ctx, func() { listener.Close() })
				go pipe(listener, "unix", filepath.Join(dir, forwardSocket))
			}
			_ = os.WriteFile(filepath.Join(dir, forwardDone), []byte(answer), 0o600) // who waits gives up in time
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// pipe passes connections on until the listener is closed.
func pipe(listener net.Listener, network, address string) {
	for {
		from, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			to, err := net.Dial(network, address)
			if err != nil {
				return
			}
			defer to.Close()
			done := make(chan struct{}, 2)
			for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1]) // a connection that ends takes the other with it
					done <- struct{}{}
				}()
			}
			<-done
		}()
	}
}
