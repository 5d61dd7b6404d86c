package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Limits of one connection. The handlers of admissions set a shorter one for the body, from
// the timeout that the API server states.
const (
	// headerTimeout is for the TLS handshake and for the header of a request.
	headerTimeout = 5 * time.Second
	// readTimeout is for a whole request, and writeTimeout until it is answered: longer
	// than the longest timeout of a webhook configuration.
	readTimeout, writeTimeout = 31 * time.Second, 35 * time.Second
	// idleTimeout is how long a connection may wait for its next request. API servers keep
	// theirs for 90 s, and try again on a new one.
	idleTimeout = 95 * time.Second
	// maxHeader is the largest header, in bytes.
	maxHeader = 64 << 10
	// dialTimeout is for the readiness check.
	dialTimeout = 3 * time.Second
)

// listener is the TLS listener and the HTTP server behind it.
type listener struct {
	address string
	tls     *tls.Config
	mux     *http.ServeMux
	// connected may add to what the requests of a connection know of it.
	connected func(ctx context.Context, c net.Conn) context.Context
	// grace is how long requests under way may take once ctx ended.
	grace       time.Duration
	started     atomic.Bool
	connections connections
}

// Start serves until ctx ends, and then until what is under way was answered.
func (l *listener) Start(ctx context.Context) error {
	socket, err := tls.Listen("tcp", l.address, l.tls)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           l.mux,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader,
		ConnContext:    l.connected,
		ConnState:      l.connections.follow,
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { //nolint:contextcheck // ctx has ended by then
		ending, cancel := context.WithTimeout(context.Background(), l.grace)
		defer cancel()
		l.connections.drain(ending)
		err := server.Shutdown(ending)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		stopped <- err
	})
	defer stop()
	go l.connections.tend(ctx)
	l.started.Store(true)
	if err := server.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// reachable is nil if the listener answers a dial.
func (l *listener) reachable(ctx context.Context) error {
	if !l.started.Load() {
		return errors.New("the listener has not been started yet")
	}
	// Only whether it answers is asked; nobody is told anything over this connection.
	connection, err := (&tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: &tls.Config{InsecureSkipVerify: true}}).DialContext( //nolint:gosec // its own port
		ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("the listener cannot be reached: %w", err)
	}
	return connection.Close()
}
