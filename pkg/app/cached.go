package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// retryInformer is how long to wait for a kind that the API server does not serve
// yet, such as one whose CustomResourceDefinition is being installed.
const retryInformer = time.Second

// wanted is a kind of which all objects are cached.
type wanted struct {
	name    string
	object  client.Object
	changed func()
	// touched is called after every event, also one that changes nothing that is used.
	touched func()
}

// cached keeps kinds in the manager's cache. A kind that is not served keeps the
// process from being ready, not from running: skipping policies because they cannot
// be read would admit what they forbid.
type cached struct {
	cache  cache.Cache
	wanted []wanted
	log    logr.Logger

	mu        sync.Mutex
	informers map[string]cache.Informer
}

// NeedLeaderElection tells the manager that every replica caches.
func (*cached) NeedLeaderElection() bool { return false }

// Start sets up the informers and ends with the context.
func (c *cached) Start(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, kind := range c.wanted {
		wg.Go(func() { c.follow(ctx, kind) })
	}
	wg.Wait()
	<-ctx.Done()
	return nil
}

// follow retries until the informer of a kind exists.
func (c *cached) follow(ctx context.Context, kind wanted) {
	for said := false; ; {
		informer, err := c.cache.GetInformer(ctx, kind.object, cache.BlockUntilSynced(false))
		if err == nil {
			_, err = informer.AddEventHandler(toEvents(kind.changed))
			if err == nil && kind.touched != nil {
				_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
					AddFunc: func(any) { kind.touched() }, UpdateFunc: func(any, any) { kind.touched() }, DeleteFunc: func(any) { kind.touched() },
				})
			}
			if err == nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.informers == nil {
					c.informers = map[string]cache.Informer{}
				}
				c.informers[kind.name] = informer
				return
			}
		}
		if !said {
			c.log.Error(err, "cannot watch yet, trying again until it works", "kind", kind.name)
			said = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryInformer):
		}
	}
}

// synced is nil once all kinds were listed.
func (c *cached) synced() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, kind := range c.wanted {
		if informer := c.informers[kind.name]; informer == nil || !informer.HasSynced() {
			return fmt.Errorf("waiting for %s", kind.name)
		}
	}
	return nil
}
