package exactness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// together is how many rounds storm one after the other before they settle, all at the same time: a ledger is
// settled every few seconds, and with it all others. What they made is deleted then, so that the webhook has less
// to list, which is what makes it slow to settle and to start again.
const together = 5

// course is all rounds, and what became of them.
type course struct {
	t     *testing.T
	r     *rand.Rand
	begun time.Time
	seen  *witnesses
	other *harness.Rejecter

	// made is how many rounds there are.
	made  int
	kills int64
	// stormed and settled are how long that took.
	stormed, settled time.Duration

	mu sync.Mutex
	// done is how many rounds have settled.
	done  int
	tally tally
	found counts
	// full is how many budgets of all were used to the last GPU; the others are sums over them, in GPUs.
	full, budgets            int
	most, held, claims, live int64
}

// run goes through so many rounds. While some settle the next ones are prepared.
func (c *course) run(rounds int) {
	group := c.prepare(min(together, rounds))
	for len(group) > 0 {
		begun := time.Now()
		if !c.storm(group) {
			return
		}
		settled := time.Now()
		c.stormed += settled.Sub(begun)
		var settling sync.WaitGroup
		for _, e := range group {
			settling.Go(func() { c.settle(e) })
		}
		group = c.prepare(min(together, rounds-c.made))
		settling.Wait()
		c.settled += time.Since(settled)
		if c.t.Failed() {
			return
		}
	}
}

// prepare makes some rounds, with what their users find.
func (c *course) prepare(n int) (group []*round) {
	for range n {
		c.made++
		group = append(group, newRound(c.t, c.r, c.made, c.seen))
	}
	for _, e := range group {
		e.await(c.t)
		e.makeClaims(c.t, c.r)
	}
	return group
}

// storm has rounds storm, while replicas are killed and another webhook rejects some. It tells whether all held.
func (c *course) storm(group []*round) bool {
	c.other.Percent.Store(15)
	stop := killReplicas(c.t, c.r)
	defer func() {
		c.kills += stop()
		c.other.Percent.Store(0)
	}()
	for _, e := range group {
		begun, n := time.Now(), uint64(e.number)
		stopClass := changeClass(c.t, rand.New(rand.NewPCG(*seed, n)))
		users := workloads
		if *rounds == 1 {
			users = alone
		}
		e.storm(*seed+n, users, *concurrent)
		stopClass()
		c.t.Logf("%s stormed for %.1fs, until %.1fs: %v (%s)", e.budget, time.Since(begun).Seconds(),
			time.Since(c.begun).Seconds(), &e.tally, e.detail())
		if !e.holds(c.t) {
			return false
		}
	}
	return true
}

// settle has a round settle, and asserts that it held all the time.
func (c *course) settle(e *round) {
	begun, waited := time.Now(), len(e.waiting)
	if !e.settle(c.t) {
		return
	}
	e.holds(c.t)
	for _, err := range e.unexpected {
		c.t.Errorf("an answer that no client should get: %v", err)
	}
	c.t.Logf("%s settled for %.1fs, until %.1fs, in %d looks; of %d who waited %d wait still, after %d asked again",
		e.budget, time.Since(begun).Seconds(), time.Since(c.begun).Seconds(), e.looks, waited, len(e.waiting), e.late)
	c.sum(e)
	e.witness.close()
	e.clear(context.Background())
}

// sum adds up what became of a round.
func (c *course) sum(e *round) {
	found := counted(e.witness.history())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	c.tally.add(&e.tally)
	for i, n := range found {
		c.found[i] += n
	}
	for _, l := range e.limits {
		if l.part {
			continue
		}
		c.budgets++
		c.most, c.held = c.most+l.max, c.held+l.peaks.held
		c.claims, c.live = c.claims+whole(l.peaks.claims), c.live+whole(l.peaks.live)
		if l.peaks.held == l.max {
			c.full++
		}
	}
}

// String tells how close the rounds came to their limits.
func (c *course) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%v; %v; replicas killed %d times, a DeviceClass changed %d times; "+
		"%d of %d budgets were used to the last GPU; of %d GPUs ledgers held %d at most, objects claimed %d, and live pods had %d\n"+
		"%d rounds held and settled, in %.1fs of storms, %.1fs of settling, %.1fs in all",
		&c.tally, c.found, c.kills, classChanges.Load(), c.full, c.budgets, c.most, c.held, c.claims, c.live,
		c.done, c.stormed.Seconds(), c.settled.Seconds(), time.Since(c.begun).Seconds())
}
