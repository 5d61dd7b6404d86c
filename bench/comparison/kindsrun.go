package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/bench/comparison/install"
	"github.com/kubetorch/webhook/test/controlplane"
)

// kindsEntrant is a contender with what became of every kind and of the mixed rounds.
type kindsEntrant struct {
	contender
	version  string
	outcomes []outcome
	rounds   []mixed
}

// mixed is the outcome of a round of creates of all kinds at once.
type mixed struct {
	admitted, refused, failed int
	failure                   error
	// asked are the GPUs that the admitted objects ask for; live those of their pods in the end, and
	// most at any time. short is how many of them lack pods.
	asked, live, most, short int
	// pods of the admitted objects in the end, by kind, of those that they ask for.
	kinds map[string][2]int
}

// runKinds lets one contender after the other have a control plane with nodes, so that no two need the
// machine at once: outcomes are compared, not times. With an error comes the table of those that were through.
func runKinds(ctx context.Context, o options) (string, error) {
	var tools []string
	contenders := o.contenders(kindsName)
	for _, c := range contenders {
		tools = append(tools, c.Tools()...)
	}
	paths, err := controlplane.EnsureTools(ctx, os.Stderr, tools...)
	if err != nil {
		return "", err
	}
	var entrants []*kindsEntrant
	var failures []error
	for _, c := range contenders {
		e := &kindsEntrant{contender: c}
		if err := e.run(ctx, o, paths); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", c.Name(), err))
			progress("%v", failures[len(failures)-1])
			continue
		}
		entrants = append(entrants, e)
	}
	if len(entrants) == 0 {
		return "", errors.Join(failures...)
	}
	return kindsTable(entrants, o), errors.Join(failures...)
}

func (e *kindsEntrant) run(ctx context.Context, o options, tools map[string]string) (err error) {
	options := e.Options()
	options.KeepLogs, options.Scheduler, options.Nodes = o.keepLogs, true, nodes
	progress("%s: starting", e.Name())
	cluster, err := controlplane.Start(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	if o.keepLogs {
		progress("%s: logs are in %s", e.Name(), cluster.LogDir())
	}
	for _, team := range teams {
		if err := install.Apply(ctx, cluster, namespace(team)); err != nil {
			return err
		}
	}
	if e.version, err = e.Install(ctx, cluster, tools, kindRules); err != nil {
		return err
	}
	race, err := newRace(cluster, cmp.Or(options.RequestTimeout, time.Minute), o.clients)
	if err != nil {
		return err
	}
	t := &trials{client: race.client, clients: race.clients}
	err = t.all(ctx, func(one outcome) {
		progress("%s: %s: refused at %s, %d GPUs live of %d", e.Name(), one.kind, one.refused, one.live, budget)
		e.outcomes = append(e.outcomes, one)
	})
	if err != nil {
		return err
	}
	for round := range o.kindRounds {
		m, err := t.mixed(ctx, randomMix(o.seed, o.mix))
		if err != nil {
			return err
		}
		progress("%s: round %d: %d objects admitted, %d refused, %d failed, %d GPUs live of %d (%d at most), %d workloads lack pods",
			e.Name(), round+1, m.admitted, m.refused, m.failed, m.live, budget, m.most, m.short)
		progress("%s: pods there and asked for, by kind: %v", e.Name(), m.kinds)
		if m.failure != nil {
			progress("%s: one of the failures: %v", e.Name(), m.failure)
		}
		e.rounds = append(e.rounds, m)
	}
	return nil
}

// create is an object of a kind with a claim in a namespace.
type create struct {
	kind podKind
	team string
	claim
}

// randomMix returns n creates: of random kinds but CronJobs, in random namespaces, of 1 to 4 GPUs and 1
// to 4 pods. The same seed gives the same creates.
func randomMix(seed uint64, n int) []create {
	random := rand.New(rand.NewPCG(seed, 1))
	kinds := raceKinds()
	mix := make([]create, n)
	for i := range mix {
		c := create{kinds[random.IntN(len(kinds))], teams[random.IntN(len(teams))], claim{1 + random.IntN(4), 1 + random.IntN(4)}}
		if c.kind.resource == pods {
			c.maxScale = 1
		}
		mix[i] = c
	}
	return mix
}

// mixed creates objects of all kinds at once and looks at what comes of them.
func (t *trials) mixed(ctx context.Context, mix []create) (mixed, error) {
	var m mixed
	if err := t.clear(ctx); err != nil {
		return m, err
	}
	var (
		mu       sync.Mutex
		workers  sync.WaitGroup
		next     = make(chan int)
		admitted = map[string]int{} // pods by workload
	)
	for _, client := range t.clients {
		workers.Go(func() {
			for i := range next {
				c, name := mix[i], fmt.Sprintf("mix-%d", i)
				_, err := client.Resource(c.kind.resource).Namespace(c.team).Create(ctx, c.kind.object(name, c.claim), metav1.CreateOptions{})
				mu.Lock()
				switch {
				case err == nil:
					m.admitted++
					m.asked += c.total()
					admitted[c.team+"/"+name] = c.maxScale
				case refusal(err):
					m.refused++
				default:
					m.failed++
					m.failure = err
				}
				mu.Unlock()
			}
		})
	}
	for i := range mix {
		next <- i
	}
	close(next)
	workers.Wait()
	live, err := t.quiet(ctx, &m)
	if err != nil {
		return m, err
	}
	m.kinds = map[string][2]int{}
	for i, c := range mix {
		name := fmt.Sprintf("%s/mix-%d", c.team, i)
		count, has := admitted[name]
		if live.of[name] < count {
			m.short++
		}
		if has || live.of[name] > 0 {
			of := m.kinds[c.kind.name]
			m.kinds[c.kind.name] = [2]int{of[0] + live.of[name], of[1] + count}
		}
	}
	if m.live == 0 && m.failure != nil {
		return m, fmt.Errorf("nothing was admitted: %w", m.failure)
	}
	return m, nil
}

// quiet waits until pods have not changed for a while.
func (t *trials) quiet(ctx context.Context, m *mixed) (live livePods, err error) {
	const quiet = 20 * time.Second
	since, last := time.Now(), -1
	return live, install.Await(ctx, "pods to be made", func(ctx context.Context) error {
		if live, err = t.live(ctx); err != nil {
			return err
		}
		if live.gpus != last {
			since, last = time.Now(), live.gpus
		}
		m.live, m.most = live.gpus, max(m.most, live.gpus)
		if time.Since(since) < quiet {
			return fmt.Errorf("pods change")
		}
		return nil
	})
}
