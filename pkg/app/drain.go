package app

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// leaving is how long callers have to close the connections that they are asked to close.
	leaving = 2 * time.Second
	// unused is how old a connection without a request is before its caller is asked to
	// close it: who just opened it is about to use it. Much older, after headerTimeout, the
	// server closes it. API servers have such connections: one that is opened for a request,
	// which then finds another one free.
	unused = time.Second
	// askTimeout is for writing that, which fits into any buffer.
	askTimeout = time.Second
)

// goodbye asks the caller to close a connection that waits for a request. To close it from
// this side would lose a request that is on its way: HTTP/1.1 has no word for "not
// processed", and a caller repeats a POST only if it knows that none of it was sent. So
// the server says something that nobody asked for. RFC 9112, section 9.2, has a caller without
// a request close the connection. To one that just sent a request it is an interim response, which
// RFC 9110, section 15.2, has it skip; the request is answered, and that answer is the last.
const goodbye = "HTTP/1.1 100 Continue\r\n\r\n"

// connections are those that callers have open.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]*connection
}

// connection is what is known of one.
type connection struct {
	// mu is held while goodbye is written: no answer may begin in the middle of it.
	mu      sync.Mutex
	state   http.ConnState
	changed time.Time
	asked   bool
}

// follow is a hook of the HTTP server, which calls it before it answers a request and after.
func (c *connections) follow(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	known := c.open[conn]
	switch {
	case state == http.StateClosed, state == http.StateHijacked:
		delete(c.open, conn)
	case known == nil:
		if c.open == nil {
			c.open = map[net.Conn]*connection{}
		}
		known = &connection{}
		c.open[conn] = known
	}
	c.mu.Unlock()
	if known != nil {
		known.mu.Lock()
		defer known.mu.Unlock()
		known.state, known.changed, known.asked = state, time.Now(), false
	}
}

// drain has callers close what waits for a request, and returns when nothing is open
// or ctx ended. What callers do not close is left to the server.
func (c *connections) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaving)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		if c.close(http.StateNew, http.StateIdle) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tend has callers close, until ctx ends, what they opened and do not use.
func (c *connections) tend(ctx context.Context) {
	ticker := time.NewTicker(unused / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.close(http.StateNew)
		}
	}
}

// close asks for connections in some states to be closed, and tells how many are open.
func (c *connections) close(states ...http.ConnState) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn, known := range c.open {
		if known.waits(states) {
			go known.ask(conn)
		}
	}
	return len(c.open)
}

// waits tells once whether the connection waits, in one of the states, for a request that
// should not come.
func (c *connection) waits(states []http.ConnState) bool {
	if !c.mu.TryLock() {
		return false // in use
	}
	defer c.mu.Unlock()
	if c.asked || !c.idle() || !slices.Contains(states, c.state) {
		return false
	}
	c.asked = true
	return true
}

func (c *connection) idle() bool {
	return c.state == http.StateIdle || c.state == http.StateNew && time.Since(c.changed) > unused
}

func (c *connection) ask(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok && !secured.ConnectionState().HandshakeComplete {
		return // nobody to talk to
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.idle() {
		return // the answer says it
	}
	_ = conn.SetWriteDeadline(time.Now().Add(askTimeout))
	// Whoever cannot be told is gone.
	_, _ = io.WriteString(conn, goodbye)
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
}
