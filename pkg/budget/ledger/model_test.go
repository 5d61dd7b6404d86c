package ledger

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// The model is an API server that stores objects and one GPUBudget, webhook replicas whose
// requests, and controllers whose rounds, are cut into single steps that interleave at
// random. Time is the model's; every actor has a clock of its own that is off by any amount.
//
// After every step: no stored claim is above its entry in the ledger, and no admission
// took the ledger above the budget. After an episode, once time has passed: the ledger
// equals a recount.

const (
	modelTimeout = 60 * time.Second // the API server's request timeout
	modelWait    = modelTimeout + time.Second
	modelKeys    = 14
)

// steps is a million for the tests; LEDGER_STEPS asks for more.
func steps() int {
	if n, err := strconv.Atoi(os.Getenv("LEDGER_STEPS")); err == nil {
		return n
	}
	return 1_000_000
}

type stored struct {
	version int
	claim   Amount
}

// model is everything outside the webhook.
type model struct {
	t       *testing.T
	r       *rand.Rand
	now     time.Duration
	objects map[int]stored // absent: deleted or not created
	version int

	budget     v1alpha1.GPUBudget // the stored one
	writes     int                // its resourceVersion
	generation int64

	requests    []*request
	controllers []*rounds
	replicas    [3]replica
	tokens      int
	quiet       bool
	// named is the base that the status names, whether or not it is still stored.
	named *Base
	// bases are those that are stored, by the name of their part.
	bases map[string]*Base
	// allowed is the maximum, or what was there already when everything was counted.
	allowed int64

	admitted, refused, retried, rebuilt, lowered, overtaken, rebased, folded, lost int
}

// replica is what one webhook process knows.
type replica struct {
	// knows is the generation of the budget that its cache has; 0: it has none.
	knows  int64
	cached snapshotOf
	base   *Base // the latest that it has read
}

type snapshotOf struct {
	budget v1alpha1.GPUBudget
	writes int
	over   *Base // that a writer puts it over
}

// request is one admission request on its way.
type request struct {
	id       int
	want     Amount // the zero Amount deletes
	deadline time.Duration
	replica  int
	stage    int
	old      stored
	existed  bool
	base     snapshotOf
	dryRun   bool
	rejected bool // by a later admission step
}

// rounds is a controller.
type rounds struct {
	offset  time.Duration // of its clock
	tracker Tracker
	known   *Base // the latest that it has read
	stage   int
	base    snapshotOf
	live    Claims
	listed  time.Duration
	acked   time.Duration // when every replica had seen the generation
	ackedIs int64
	ackedAt int64 // how often the ledger was settled then
}

func (m *model) key(id int) Key {
	if id%3 == 0 {
		return ForMade("d", "ns", strconv.Itoa(id))
	}
	return derived(strconv.Itoa(id))
}

func (m *model) namespace(id int) string { return "ns" + strconv.Itoa(id%2) }

func (m *model) snapshot() snapshotOf {
	return snapshotOf{budget: *m.budget.DeepCopy(), writes: m.writes}
}

// write is an update of the budget's status with compare-and-swap.
func (m *model) write(base snapshotOf, status v1alpha1.GPUBudgetStatus) bool {
	if base.writes != m.writes {
		return false
	}
	if named := status.Base; named != nil && !m.named.Is(named) {
		if m.named = m.stored(named); m.named == nil {
			m.named = base.over // deleted meanwhile
		}
	}
	m.budget.Status = *status.DeepCopy()
	m.writes++
	return true
}

func counted(b *v1alpha1.GPUBudget) bool {
	return len(b.Status.Conditions) == 1 && b.Status.Conditions[0].ObservedGeneration == b.Generation
}

// book is a ledger as somebody reads it who has read a base before; nil if its base is lost.
func (m *model) book(b *v1alpha1.GPUBudget, known **Base) *Book {
	if !(*known).Is(b.Status.Base) {
		*known = nil
		if b.Status.Base != nil {
			if *known = m.stored(b.Status.Base); *known == nil {
				return nil
			}
		}
	}
	book, err := ReadOver(*known, &b.Status)
	require.NoError(m.t, err)
	return book
}

// stored is the base that a status names; nil if it was deleted.
func (m *model) stored(named *v1alpha1.LedgerBase) *Base {
	if len(named.Parts) > 0 {
		return m.bases[named.Parts[0].Name]
	}
	empty, err := ReadBase(named, nil)
	require.NoError(m.t, err)
	return empty
}

// truth is the ledger of the model, whether or not anybody can still read it.
func (m *model) truth() *Book { return m.book(&m.budget, &m.named) }

// fold stores a new base. Nothing names it yet.
func (m *model) fold(b *Book) *Book {
	parts := b.Parts()
	if len(parts) == 0 {
		return b.flat()
	}
	m.tokens++
	from := &v1alpha1.LedgerBase{Namespace: "system"}
	for i, part := range parts {
		from.Parts = append(from.Parts, v1alpha1.LedgerPart{Name: fmt.Sprintf("%d-%d", m.tokens, i), SHA256: Digest(part)})
	}
	base, err := ReadBase(from, parts)
	require.NoError(m.t, err)
	m.bases[from.Parts[0].Name] = base
	over, recent := b.Over(base)
	require.Zero(m.t, recent)
	m.folded++
	return over
}

// place has a ledger stand in the status, over the base that there is, or over a new one.
func (m *model) place(b *Book, base *Base) *Book {
	switch m.r.IntN(5) {
	case 0:
		return m.fold(b)
	case 1:
		return b.flat()
	case 2:
		over, _ := b.Over(m.stored(&v1alpha1.LedgerBase{}))
		return over
	}
	if over, _ := b.Over(base); over != nil {
		return over
	}
	return m.fold(b)
}

// step lets one actor do one thing.
func (m *model) step() {
	if m.r.IntN(4) == 0 {
		m.now += time.Duration(m.r.Int64N(int64(modelTimeout / 8)))
	}
	switch n := m.r.IntN(20); {
	case n < 3 && len(m.requests) < 6 && !m.quiet:
		m.requests = append(m.requests, m.newRequest())
	case n == 3 && !m.quiet && m.r.IntN(20) == 0:
		m.changeBudget()
	case n == 4:
		r := &m.replicas[m.r.IntN(3)]
		r.knows, r.cached = m.generation, m.snapshot() // its watch catches up
	case n == 5 && m.r.IntN(10) == 0:
		c := m.controllers[m.r.IntN(len(m.controllers))]
		*c = rounds{offset: c.offset} // it crashes; or another one takes over
	case n == 6 && m.r.IntN(30) == 0 && !m.quiet: // somebody deletes a base
		for _, name := range slices.Sorted(maps.Keys(m.bases)) {
			if m.r.IntN(2) == 0 {
				delete(m.bases, name)
			}
		}
	case n < 11:
		m.controllerStep(m.controllers[m.r.IntN(len(m.controllers))])
	case len(m.requests) > 0:
		i := m.r.IntN(len(m.requests))
		if m.requestStep(m.requests[i]) {
			m.requests = append(m.requests[:i], m.requests[i+1:]...)
		}
	}
}

func (m *model) newRequest() *request {
	q := &request{id: m.r.IntN(modelKeys), replica: m.r.IntN(3), deadline: m.now + modelTimeout,
		dryRun: m.r.IntN(10) == 0, rejected: m.r.IntN(6) == 0}
	if m.r.IntN(5) > 0 {
		q.want.GPUs = m.r.Int64N(12)
		if m.r.IntN(4) == 0 {
			q.want.Overlap = m.r.Int64N(4)
		}
	}
	return q
}

func (m *model) changeBudget() {
	m.generation++
	m.budget.Generation = m.generation
	m.budget.Spec.Max = new(m.r.Int64N(60))
	m.budget.Spec.Rollout = []v1alpha1.RolloutPolicy{v1alpha1.RolloutAllow, v1alpha1.RolloutStrict}[m.r.IntN(2)]
	m.budget.Spec.MaxPerNamespace = nil
	if m.r.IntN(2) == 0 {
		m.budget.Spec.MaxPerNamespace = new(m.r.Int64N(40))
	}
	m.writes++
}

// requestStep does the next thing of a request, and tells whether it has ended.
func (m *model) requestStep(q *request) (ended bool) {
	if m.now > q.deadline || m.r.IntN(60) == 0 {
		return true // timed out, or the replica was killed: what it charged stays
	}
	switch q.stage {
	case 0: // the API server reads the object, and asks the webhook
		q.old, q.existed = m.objects[q.id]
		if !q.existed && q.want == (Amount{}) {
			return true
		}
		q.stage = 3
		if rises(q.old.claim, q.want) {
			q.stage = 1
			q.base = m.replicas[q.replica].cached
			if m.replicas[q.replica].knows == 0 {
				q.stage = 3 // it has not heard of the budget
			}
		}
	case 1: // the webhook reads the budget, where its cache does not do
		if q.base.writes != m.writes {
			q.base = m.snapshot()
		}
		q.stage = 2
	case 2: // and writes it
		if !counted(&q.base.budget) {
			m.retried++
			return true
		}
		book := m.book(&q.base.budget, &m.replicas[q.replica].base)
		if book == nil {
			m.retried++
			return true
		}
		limits := Limits{Max: *q.base.budget.Spec.Max, MaxPerNamespace: q.base.budget.Spec.MaxPerNamespace, Strict: q.base.budget.Spec.Rollout == v1alpha1.RolloutStrict}
		m.tokens++
		outcome := book.Charge(limits, strconv.Itoa(m.tokens), Charge{Key: m.key(q.id), Namespace: m.namespace(q.id), Amount: q.want, Rises: true})
		if !outcome.Fits || q.dryRun {
			m.refused++
			return true
		}
		status := q.base.budget.Status
		book.Write(&status, limits.Max)
		if !m.write(q.base, status) {
			q.stage, m.overtaken = 1, m.overtaken+1
			return false
		}
		if outcome.Raised > 0 {
			all := m.truth().totals().held()
			require.LessOrEqual(m.t, all.GPUs, limits.Max, "an admission took the ledger above the budget")
		}
		q.stage = 3
	case 3: // the API server stores the object, if nobody else has meanwhile
		if q.rejected {
			return true
		}
		if now, exists := m.objects[q.id]; exists != q.existed || now.version != q.old.version {
			q.stage = 0
			return false
		}
		m.version++
		m.objects[q.id] = stored{version: m.version, claim: q.want}
		if q.want == (Amount{}) {
			delete(m.objects, q.id)
		}
		m.admitted++
		return true
	}
	return false
}

func rises(old, now Amount) bool { return !old.covers(now) }

func (m *model) list() Claims {
	live := Claims{}
	for id, o := range m.objects {
		if o.claim != (Amount{}) {
			if live[m.namespace(id)] == nil {
				live[m.namespace(id)] = map[Key]Amount{}
			}
			live[m.namespace(id)][m.key(id)] = o.claim
		}
	}
	return live
}

func (m *model) controllerStep(c *rounds) {
	switch c.stage {
	case 0:
		c.base, c.stage = m.snapshot(), 1
	case 1:
		c.listed, c.live, c.stage = m.now+c.offset, m.list(), 2
	case 2:
		c.stage = 0
		status := *c.base.budget.Status.DeepCopy()
		if counted(&c.base.budget) {
			c.ackedIs = 0
			book := m.book(&c.base.budget, &c.known)
			if book == nil { // nothing may rise from now on
				m.lost++
				status.Conditions = nil
				m.write(c.base, status)
				return
			}
			settled, _, commit := c.tracker.Settle(book, Listed{Live: c.live}, nil, time.Time{}.Add(c.listed), modelWait)
			for range 2 { // onto what was charged meanwhile
				if settled.Equal(book) {
					commit(book)
					return
				}
				placed := m.place(settled, c.known)
				placed.Write(&status, *c.base.budget.Spec.Max)
				c.base.over = placed.base
				if m.write(c.base, status) {
					if commit(settled); settled.totals().held().GPUs < book.totals().held().GPUs {
						m.lowered++
					}
					return
				}
				m.rebased++
				now := m.snapshot()
				if !counted(&now.budget) || now.budget.Generation != c.base.budget.Generation {
					return
				}
				next := m.book(&now.budget, &c.known)
				if next == nil {
					return
				}
				if settled = Rebase(settled, book, next); settled == nil {
					return
				}
				c.base, book, status = now, next, *now.budget.Status.DeepCopy()
			}
			return
		}
		for _, r := range m.replicas {
			if r.knows < c.base.budget.Generation {
				c.ackedIs = 0
				return
			}
		}
		if c.ackedIs != c.base.budget.Generation || c.ackedAt != status.Settlements {
			c.ackedIs, c.acked, c.ackedAt = c.base.budget.Generation, m.now+c.offset, status.Settlements
			return
		}
		if c.listed-c.acked < modelWait {
			return
		}
		book := c.tracker.Rebuild(c.live, nil, c.base.budget.Status.Settlements)
		if m.book(&c.base.budget, &c.known) == nil {
			flying, err := InFlight(&status)
			require.NoError(m.t, err)
			book.Keep(flying, nil)
		}
		book = m.place(book, nil)
		book.Write(&status, *c.base.budget.Spec.Max)
		c.base.over = book.base
		status.Conditions = conditionsFor(c.base.budget.Generation)
		if m.write(c.base, status) {
			m.allowed = max(*m.budget.Spec.Max, m.truth().totals().held().GPUs)
			m.rebuilt++
		}
	}
}

// check holds the invariant.
func (m *model) check() {
	if !counted(&m.budget) {
		return
	}
	book := m.truth()
	var sum int64
	for _, o := range m.objects {
		sum += o.claim.GPUs
	}
	require.LessOrEqual(m.t, sum, m.allowed, "what is stored is above the budget, and above what was there before it")
	for id, o := range m.objects {
		if held := book.amount(m.namespace(id), m.key(id)); !held.covers(o.claim) {
			require.FailNow(m.t, "a stored claim is above the ledger", "object %d claims %+v, the ledger holds %+v", id, o.claim, held)
		}
	}
}

// settleDown lets time pass without new requests until the ledger is a recount.
func (m *model) settleDown() {
	m.quiet, m.requests = true, nil
	for i := range m.replicas {
		m.replicas[i] = replica{knows: m.generation, cached: m.snapshot()}
	}
	for range 8 {
		for _, c := range m.controllers {
			for range 3 {
				m.controllerStep(c)
			}
		}
		m.now += modelWait
	}
	for _, c := range m.controllers {
		for c.stage != 0 {
			m.controllerStep(c)
		}
		for range 3 {
			m.controllerStep(c)
		}
	}
	require.True(m.t, counted(&m.budget))
	require.Equal(m.t, (&Tracker{}).Rebuild(m.list(), nil, 0).settled, m.truth().flat().settled, "the ledger is not what a recount gives")
	require.Empty(m.t, m.budget.Status.Reservations)
	m.quiet = false
}

func TestModelOfTheLedger(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LEDGER_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	total := steps()
	t.Logf("LEDGER_SEED=%d, %d steps", seed, total)
	const perEpisode = 2000
	var sum model
	for done := 0; done < total; done += perEpisode {
		t.Run(fmt.Sprintf("episode %d of seed %d", done/perEpisode, seed), func(t *testing.T) {
			m := &model{t: t, r: rand.New(rand.NewPCG(seed, uint64(done))), objects: map[int]stored{}, bases: map[string]*Base{}, generation: 1}
			m.budget.Generation = 1
			m.budget.Spec.Max = new(m.r.Int64N(60))
			for range 2 {
				m.controllers = append(m.controllers, &rounds{offset: time.Duration(m.r.Int64N(int64(100 * time.Hour)))})
			}
			for range perEpisode {
				m.step()
				m.check()
			}
			m.settleDown()
			m.check()
			sum.admitted += m.admitted
			sum.refused += m.refused
			sum.retried += m.retried
			sum.rebuilt += m.rebuilt
			sum.lowered += m.lowered
			sum.overtaken += m.overtaken
			sum.rebased += m.rebased
			sum.folded += m.folded
			sum.lost += m.lost
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("admitted %d, refused %d, not counted yet %d, recounts %d, lowered %d, write conflicts %d, bases %d, lost ones seen %d", sum.admitted, sum.refused, sum.retried, sum.rebuilt, sum.lowered, sum.overtaken, sum.folded, sum.lost)
	require.Positive(t, sum.admitted)
	require.Positive(t, sum.refused)
	require.Positive(t, sum.retried)
	require.Positive(t, sum.rebuilt)
	require.Positive(t, sum.lowered)
	require.Positive(t, sum.overtaken)
	require.Positive(t, sum.rebased)
	require.Positive(t, sum.folded)
	require.Positive(t, sum.lost)
}
