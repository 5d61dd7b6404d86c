package controlplane

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// balancer does for several replicas what a Service does for pods: it accepts
// connections on one port and passes each on to the next ready replica.
type balancer struct {
	listener net.Listener
	replicas []*Replica
	next     atomic.Uint64
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

func startBalancer(replicas []*Replica) (*balancer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the load balancer: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &balancer{listener: listener, replicas: replicas, cancel: cancel}
	for _, r := range replicas {
		b.running.Go(func() { b.probe(ctx, r) })
	}
	b.running.Go(func() { b.accept(ctx) })
	return b, nil
}

func (b *balancer) port() int { return b.listener.Addr().(*net.TCPAddr).Port }

// Close stops accepting and cuts the connections passed on.
func (b *balancer) Close() error {
	b.cancel()
	err := b.listener.Close()
	b.running.Wait()
	return err
}

// probe keeps track of whether a replica is ready.
func (b *balancer) probe(ctx context.Context, r *Replica) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		r.endpoint.Store(r.Ready(ctx) == nil)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (b *balancer) accept(ctx context.Context) {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.running.Go(func() { b.forward(ctx, conn) })
	}
}

// forward passes one connection on until either side closes it.
func (b *balancer) forward(ctx context.Context, from net.Conn) {
	defer from.Close()
	to := b.dial(ctx)
	if to == nil {
		return
	}
	defer to.Close()
	stop := context.AfterFunc(ctx, func() {
		from.Close()
		to.Close()
	})
	defer stop()
	var copying sync.WaitGroup
	copying.Go(func() {
		// A broken connection ends the forwarding like a closed one.
		_, _ = io.Copy(to, from)
		to.Close()
	})
	_, _ = io.Copy(from, to)
	from.Close()
	copying.Wait()
}

// dial connects to the next ready replica that accepts, or returns nil.
func (b *balancer) dial(ctx context.Context) net.Conn {
	first := b.next.Add(1)
	dialer := net.Dialer{Timeout: time.Second}
	for offset := range uint64(len(b.replicas)) {
		r := b.replicas[(first+offset)%uint64(len(b.replicas))]
		if !r.endpoint.Load() {
			continue
		}
		if conn, err := dialer.DialContext(ctx, "tcp", r.Address); err == nil {
			return conn
		}
	}
	return nil
}
