package ledger

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

func charge(name string, gpus int64, overlap ...int64) Charge {
	c := Charge{Key: derived(name), Namespace: "a", Kind: "Service", Name: name, Amount: Amount{GPUs: gpus}}
	if len(overlap) > 0 {
		c.Overlap = overlap[0]
	}
	return c
}

func rising(c Charge) Charge {
	c.Rises = true
	return c
}

func book(t *testing.T, claims Claims) *Book {
	t.Helper()
	var s v1alpha1.GPUBudgetStatus
	(&Tracker{}).Rebuild(claims, nil, 0).Write(&s, 100)
	b, err := Read(&s)
	require.NoError(t, err)
	return b
}

func TestCharge(t *testing.T) {
	in := func(gpus int64) Claims { return Claims{"a": {derived("old"): {GPUs: gpus}}} }
	for name, test := range map[string]struct {
		stored  Claims
		limits  Limits
		charges []Charge
		want    Outcome
	}{
		"what fits exactly is admitted": {
			stored: in(60), limits: Limits{Max: 100}, charges: []Charge{charge("new", 40)},
			want: Outcome{Fits: true, Raised: 40, Free: 0, Of: 100},
		},
		"one GPU too many is refused, and the room is told": {
			stored: in(61), limits: Limits{Max: 100}, charges: []Charge{charge("new", 40)},
			want: Outcome{Raised: 40, Free: 39, Of: 100},
		},
		"only what a claim rises by has to fit": {
			stored: in(60), limits: Limits{Max: 100}, charges: []Charge{charge("old", 100)},
			want: Outcome{Fits: true, Raised: 40, Free: 0, Of: 100},
		},
		"an entry that holds pods as GPUs and as overlap has no room for more of them than are free": {
			stored: Claims{"a": {derived("old"): {GPUs: 16, Overlap: 8}}}, limits: Limits{Max: 17, Strict: true},
			charges: []Charge{{Key: derived("old"), Namespace: "a", Amount: Amount{GPUs: 24}, Rises: true, Held: true, Beyond: true}},
			want:    Outcome{Raised: 0, Free: 0, Of: 17},
		},
		"a pod that its owner was admitted with fits however full it is": {
			stored: Claims{"a": {derived("old"): {GPUs: 16, Overlap: 8}}}, limits: Limits{Max: 17, Strict: true},
			charges: []Charge{{Key: derived("old"), Namespace: "a", Amount: Amount{GPUs: 16}, Rises: true, Held: true}},
			want:    Outcome{Fits: true, Raised: 0, Free: 0, Of: 17},
		},
		"what is in the ledger already fits however full it is": {
			stored: in(200), limits: Limits{Max: 100}, charges: []Charge{charge("old", 200)},
			want: Outcome{Fits: true, Raised: 0, Free: 0, Of: 100},
		},
		"and may not grow": {
			stored: in(200), limits: Limits{Max: 100}, charges: []Charge{charge("old", 201)},
			want: Outcome{Raised: 1, Free: 0, Of: 100},
		},
		"two claims of one admission fit together or not at all": {
			stored: in(60), limits: Limits{Max: 100}, charges: []Charge{charge("pods", 30), charge("plan", 11)},
			want: Outcome{Raised: 41, Free: 40, Of: 100},
		},
		"the share of the namespace is a limit too": {
			stored: in(10), limits: Limits{Max: 100, MaxPerNamespace: new(int64(16))}, charges: []Charge{charge("new", 8)},
			want: Outcome{Raised: 8, Free: 6, Of: 16, PerNamespace: true},
		},
		"the scarcer limit is told": {
			stored: in(10), limits: Limits{Max: 100, MaxPerNamespace: new(int64(20))}, charges: []Charge{charge("new", 8)},
			want: Outcome{Fits: true, Raised: 8, Free: 2, Of: 20, PerNamespace: true},
		},
		"another namespace has a share of its own": {
			stored: Claims{"b": {derived("old"): {GPUs: 20}}}, limits: Limits{Max: 100, MaxPerNamespace: new(int64(20))}, charges: []Charge{charge("new", 20)},
			want: Outcome{Fits: true, Raised: 20, Free: 0, Of: 20, PerNamespace: true},
		},
		"a rollout may overlap": {
			stored: in(60), limits: Limits{Max: 100}, charges: []Charge{charge("old", 60, 60)},
			want: Outcome{Fits: true, Raised: 0, Free: 0, Of: 100},
		},
		"a strict budget wants room for it": {
			stored: in(60), limits: Limits{Max: 100, Strict: true}, charges: []Charge{charge("old", 60, 60)},
			want: Outcome{Raised: 0, Free: 40, Of: 100},
		},
		"the overlap of others takes room": {
			stored: Claims{"a": {derived("old"): {GPUs: 60, Overlap: 30}}}, limits: Limits{Max: 100}, charges: []Charge{charge("new", 11)},
			want: Outcome{Raised: 11, Free: 10, Of: 100},
		},
		"an unbounded claim never fits": {
			stored: Claims{}, limits: Limits{Max: Most - 1}, charges: []Charge{rising(charge("new", math.MaxInt64))},
			want: Outcome{Raised: Most, Free: Most - 1, Of: Most - 1},
		},
		"one that is unbounded already may not grow": {
			stored: in(math.MaxInt64), limits: Limits{Max: 100}, charges: []Charge{rising(charge("old", math.MaxInt64))},
			want: Outcome{Raised: 0, Free: 0, Of: 100},
		},
		"and may be replaced as it is": {
			stored: in(math.MaxInt64), limits: Limits{Max: 100}, charges: []Charge{charge("old", math.MaxInt64, 5)},
			want: Outcome{Fits: true, Raised: 0, Free: 0, Of: 100},
		},
		"nothing more fits beside one": {
			stored: in(math.MaxInt64), limits: Limits{Max: 100}, charges: []Charge{charge("new", 1)},
			want: Outcome{Raised: 1, Free: 0, Of: 100},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := book(t, test.stored)
			assert.Equal(t, test.want, b.Try(test.limits, test.charges...), "what Try says")
			assert.True(t, b.Equal(book(t, test.stored)), "Try changed the ledger")
			assert.Equal(t, test.want, b.Charge(test.limits, "t", test.charges...))
			if !test.want.Fits {
				assert.True(t, b.Equal(book(t, test.stored)), "a refused charge changed the ledger")
				return
			}
			kept := b.totals()
			b.sums = nil
			assert.Equal(t, b.totals(), kept, "the running sums")
		})
	}
}

func TestRefusalTellsWhatIsReserved(t *testing.T) {
	b := book(t, Claims{"a": {derived("x"): {GPUs: 10}}})
	require.True(t, b.Charge(Limits{Max: 100}, "1", charge("x", 30)).Fits)
	assert.Equal(t, Outcome{Raised: 80, Free: 70, Of: 100, Reserved: 20}, b.Charge(Limits{Max: 100}, "2", charge("y", 80)))
}

func TestStatus(t *testing.T) {
	b := book(t, Claims{"a": {derived("x"): {GPUs: 10, Overlap: 2}, derived("y"): {GPUs: 5}}, "b": {derived("z"): {GPUs: 1}}})
	b.Charge(Limits{Max: 100}, "t1", charge("x", 14, 3), charge("new", 6))
	var s v1alpha1.GPUBudgetStatus
	b.Write(&s, 100)
	assert.Equal(t, v1alpha1.GPUBudgetStatus{Used: 16, Reserved: 10, Overlap: 3, Available: 71, Workloads: 4, Settlements: 1,
		Namespaces: s.Namespaces,
		Reservations: []v1alpha1.Reservation{
			{Key: derived("new").String(), Namespace: "a", Kind: "Service", Name: "new", GPUs: 6, Token: "t1"},
			{Key: derived("x").String(), Namespace: "a", Kind: "Service", Name: "x", GPUs: 14, Overlap: 3, Token: "t1"},
		}}, sorted(s))
	require.Len(t, s.Namespaces, 2)
	assert.Equal(t, "a", s.Namespaces[0].Name)
	assert.EqualValues(t, 15, s.Namespaces[0].Used)
	again, err := Read(&s)
	require.NoError(t, err)
	assert.True(t, again.Equal(b), "what was written reads as it was")
}

// sorted puts the reservations in the order of their names.
func sorted(s v1alpha1.GPUBudgetStatus) v1alpha1.GPUBudgetStatus {
	if len(s.Reservations) == 2 && s.Reservations[0].Name > s.Reservations[1].Name {
		s.Reservations = []v1alpha1.Reservation{s.Reservations[1], s.Reservations[0]}
	}
	return s
}

func TestADamagedLedgerIsNotRead(t *testing.T) {
	for name, s := range map[string]v1alpha1.GPUBudgetStatus{
		"claims that end in a key":    {Namespaces: []v1alpha1.NamespaceClaims{{Name: "a", Claims: []byte("short")}}},
		"claims that end in a number": {Namespaces: []v1alpha1.NamespaceClaims{{Name: "a", Claims: append(make([]byte, 16), 0x80)}}},
		"a number beyond all GPUs":    {Namespaces: []v1alpha1.NamespaceClaims{{Name: "a", Claims: append(make([]byte, 16), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0)}}},
		"a key that is none":          {Reservations: []v1alpha1.Reservation{{Key: "x", Namespace: "a", GPUs: 1}}},
		"claims that are wiped":       {Used: 8, Workloads: 1},
		"claims of one namespace of two that are wiped": {Used: 2, Workloads: 2, Namespaces: []v1alpha1.NamespaceClaims{
			{Name: "a", Used: 1, Claims: append(make([]byte, 16), 1, 0)}, {Name: "b", Used: 1}}},
		"reservations that are wiped": {Reserved: 8},
		"sums that are lowered":       {Used: 1, Workloads: 1, Namespaces: []v1alpha1.NamespaceClaims{{Name: "a", Used: 1, Claims: append(make([]byte, 16), 9, 0)}}},
		"overlap that is forgotten":   {Overlap: 3},
		"a negative reservation":      {Reservations: []v1alpha1.Reservation{{Key: derived("x").String(), Namespace: "a", GPUs: -1}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(&s)
			assert.Error(t, err)
		})
	}
}

func TestTenThousandClaimsFitAnObject(t *testing.T) {
	claims := Claims{}
	for i := range 10_000 {
		namespace := "team-" + strconv.Itoa(i%200)
		if claims[namespace] == nil {
			claims[namespace] = map[Key]Amount{}
		}
		claims[namespace][derived(strconv.Itoa(i))] = Amount{GPUs: int64(i % 512)}
	}
	var s v1alpha1.GPUBudgetStatus
	(&Tracker{}).Rebuild(claims, nil, 0).Write(&s, 100)
	size := 0
	for _, n := range s.Namespaces {
		size += len(n.Claims)*4/3 + len(n.Name) + 40
	}
	assert.Less(t, size, 300<<10, "bytes of JSON; the API server stores at most 1.5 MiB")
}

func TestKeys(t *testing.T) {
	const uid = "6f0d3f6e-9a2f-4d5b-8f43-1f6f0c3c1a2b"
	keys := map[string]Key{
		"an object by its UID":                             ForUID(uid),
		"what is made from the Deployment with that UID":   ForMade(uid, "a", "svc"),
		"the same name in another namespace":               ForMade(uid, "b", "svc"),
		"another name":                                     ForMade(uid, "a", "svc2"),
		"names that only differ in where one of them ends": ForMade(uid, "as", "vc"),
		"no UID":                    ForName("Service", "a", "svc"),
		"a UID that is no UUID":     ForUID("svc"),
		"an object of another kind": ForName("Deployment", "a", "svc"),
	}
	seen := map[Key]string{}
	for name, key := range keys {
		assert.Empty(t, seen[key], "%s has the key of another: %s", name, seen[key])
		seen[key] = name
		read, err := ParseKey(key.String())
		require.NoError(t, err)
		assert.Equal(t, key, read)
	}
	assert.Equal(t, uid, ForUID(uid).String(), "the key of an object reads as its UID")
}

// at is a time on the controller's clock.
func at(seconds int) time.Time { return time.Unix(int64(1000+seconds), 0) }

func TestNamespacesThatLabelsBringIn(t *testing.T) {
	const wait = 60 * time.Second
	x, y := derived("x"), derived("y")
	live := Claims{"a": {x: {GPUs: 4}}, "b": {y: {GPUs: 8}}}
	tracker := &Tracker{}
	b := tracker.Rebuild(Claims{"a": live["a"]}, Selected{"a": true}, 0)
	require.True(t, b.Lists("a"))

	b, next, commit := tracker.Settle(b, Listed{Live: live}, Selected{"a": true, "b": true}, at(0), wait)
	commit(b)
	assert.False(t, b.Lists("b"), "b has just been labelled: what was admitted before may not be stored yet")
	assert.Equal(t, wait, next)

	b, _, commit = tracker.Settle(b, Listed{Live: live}, Selected{"a": true, "b": true}, at(60), wait)
	commit(b)
	assert.True(t, b.Lists("b"))
	assert.Equal(t, Amount{GPUs: 8}, b.amount("b", y))

	b, next, commit = tracker.Settle(b, Listed{Live: Claims{"b": live["b"]}}, Selected{"b": true}, at(70), wait)
	commit(b)
	assert.Equal(t, Amount{GPUs: 4}, b.amount("a", x), "a has just lost its label")
	assert.Equal(t, wait, next)
	b, _, commit = tracker.Settle(b, Listed{Live: Claims{"b": live["b"]}}, Selected{"b": true}, at(130), wait)
	commit(b)
	assert.Equal(t, Amount{}, b.amount("a", x))
	b, next, commit = tracker.Settle(b, Listed{Live: Claims{"b": live["b"]}}, Selected{"b": true}, at(131), wait)
	commit(b)
	assert.False(t, b.Lists("a"))
	assert.Zero(t, next)
}

func TestAnEmptyNamespaceIsListedWhereLabelsDecide(t *testing.T) {
	b := (&Tracker{}).Rebuild(Claims{}, Selected{"a": true}, 0)
	assert.True(t, b.Lists("a"))
	b, next, _ := (&Tracker{}).Settle(b, Listed{Live: Claims{}}, Selected{"a": true}, at(0), time.Minute)
	assert.True(t, b.Lists("a"))
	assert.Zero(t, next)
	b, _, _ = (&Tracker{}).Settle(b, Listed{Live: Claims{}}, nil, at(0), time.Minute)
	assert.False(t, b.Lists("a"), "elsewhere it would only take room")
}

func TestWithin(t *testing.T) {
	b := book(t, Claims{"a": {derived("x"): {GPUs: 10, Overlap: 5}}, "b": {derived("y"): {GPUs: 4}}})
	for name, test := range map[string]struct {
		limits Limits
		within bool
		beyond []string
	}{
		"as much as there is":                    {Limits{Max: 14}, true, nil},
		"more":                                   {Limits{Max: 13}, false, nil},
		"overlap counts where it has to fit":     {Limits{Max: 14, Strict: true}, false, nil},
		"a namespace with more than its share":   {Limits{Max: 100, MaxPerNamespace: new(int64(9))}, false, []string{"a"}},
		"namespaces with no more than that each": {Limits{Max: 100, MaxPerNamespace: new(int64(10))}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			within, beyond := b.Within(test.limits)
			assert.Equal(t, test.within, within)
			assert.Equal(t, test.beyond, beyond)
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte{}, "", int64(0))
	f.Add(append(make([]byte, 16), 1, 2), "6f0d3f6e-9a2f-4d5b-8f43-1f6f0c3c1a2b", int64(7))
	f.Fuzz(func(t *testing.T, claims []byte, key string, gpus int64) {
		s := v1alpha1.GPUBudgetStatus{Namespaces: []v1alpha1.NamespaceClaims{{Name: "a", Claims: claims}},
			Reservations: []v1alpha1.Reservation{{Key: key, Namespace: "a", GPUs: gpus}}}
		b, err := read(nil, &s) // whatever the sums are
		if err != nil {
			return
		}
		b.Write(&s, 10)
		again, err := Read(&s)
		require.NoError(t, err)
		require.True(t, again.Equal(b))
	})
}

func TestAPlanKeepsWhatWasChargedForItAndNoMore(t *testing.T) {
	plan := derived("plan")
	plans := func(gpus int64) Claims { return Claims{"a": {plan: {GPUs: gpus}}} }
	tracker := &Tracker{}
	b := book(t, Claims{})
	b, _, _ = tracker.Settle(b, Listed{Plans: plans(9)}, nil, at(0), time.Minute)
	assert.Equal(t, Amount{}, b.amount("a", plan), "nobody charged it")
	require.True(t, b.Charge(Limits{Max: 10}, "t", Charge{Key: plan, Namespace: "a", Amount: Amount{GPUs: 4}, Rises: true}).Fits)
	for i := range 4 {
		var commit func(*Book)
		b, _, commit = tracker.Settle(b, Listed{Plans: plans(9)}, nil, at(100*i), time.Minute)
		commit(b)
		assert.Equal(t, Amount{GPUs: 4}, b.amount("a", plan))
	}
}

func TestRebaseKeepsWhatOthersCharged(t *testing.T) {
	x, y, z := derived("x"), derived("y"), derived("z")
	from := book(t, Claims{"a": {x: {GPUs: 8}, y: {GPUs: 8}}})
	settled := book(t, Claims{"a": {x: {GPUs: 2}, y: {GPUs: 2}}})
	now := book(t, Claims{"a": {x: {GPUs: 8}, y: {GPUs: 8}}})
	now.Charge(Limits{Max: 100}, "t", Charge{Key: y, Namespace: "a", Amount: Amount{GPUs: 8}}, Charge{Key: z, Namespace: "a", Amount: Amount{GPUs: 1}})
	b := Rebase(settled, from, now)
	assert.Equal(t, Amount{GPUs: 2}, b.amount("a", x), "nobody touched it, so it falls")
	assert.Equal(t, Amount{GPUs: 8}, b.amount("a", y), "somebody did")
	assert.Equal(t, Amount{GPUs: 1}, b.amount("a", z), "and this is new")
	assert.Equal(t, "t", b.reservations[y].token)
}

// Two controllers may be at work for a moment, when one takes over from another. What one of
// them saw of an entry says nothing once the other has let it go and it has come back.
func TestWhatAControllerSawBeforeAnotherSettledDoesNotCount(t *testing.T) {
	key, wait := derived("a"), time.Minute
	at := func(seconds int) time.Time { return time.Time{}.Add(time.Duration(seconds) * time.Second) }
	stored := Claims{"ns": {key: {GPUs: 10}}}
	var one, other Tracker
	b := one.Rebuild(stored, nil, 0)

	settled, _, commit := one.Settle(b, Listed{Live: Claims{}}, nil, at(0), wait) // deleted
	commit(settled)
	require.True(t, settled.Equal(b))

	require.True(t, b.Charge(Limits{Max: 10}, "late", Charge{Key: key, Namespace: "ns", Amount: Amount{GPUs: 10}, Rises: true}).Fits)
	require.True(t, b.Charge(Limits{Max: 10}, "made", Charge{Key: key, Namespace: "ns", Amount: Amount{GPUs: 10}, Rises: true}).Fits)
	b, _, commit = other.Settle(b, Listed{Live: stored}, nil, at(55), wait) // what "made" stored
	commit(b)
	require.Empty(t, b.reservations)

	settled, _, _ = one.Settle(b, Listed{Live: Claims{}}, nil, at(61), wait) // deleted again; "late" is under way
	assert.Equal(t, Amount{GPUs: 10}, settled.amount("ns", key))
	assert.Nil(t, Rebase(b, &Book{settled: b.settled}, b), "what was settled meanwhile is not settled onto")
}

// TestOverlapIsHeldToTheShareOfANamespace: where rollouts are allowed their overlap is beside the claims, and
// no more than as many GPUs again.
func TestOverlapIsHeldToTheShareOfANamespace(t *testing.T) {
	limits := Limits{Max: 100, MaxPerNamespace: new(int64(16))}
	overlapping := func(name string, gpus, overlap int64) Charge {
		c := charge(name, gpus)
		c.Overlap = overlap
		return c
	}
	b, err := Read(&v1alpha1.GPUBudgetStatus{})
	require.NoError(t, err)
	require.True(t, b.Charge(limits, "t", overlapping("a", 16, 8)).Fits)
	require.True(t, b.Charge(limits, "t", overlapping("a", 16, 16)).Fits)
	assert.False(t, b.Try(limits, overlapping("a", 16, 17)).Fits)
	refused := b.Try(limits, overlapping("b", 0, 1))
	assert.Equal(t, []bool{false, true}, []bool{refused.Fits, refused.PerNamespace})
	within, beyond := b.Within(limits)
	assert.True(t, within, beyond)
	within, beyond = b.Within(Limits{Max: 100, MaxPerNamespace: new(int64(15))})
	assert.False(t, within)
	assert.NotEmpty(t, beyond)
}

// What nobody was charged for is no room for pods: a count keeps entries for it and raises none.
func TestWhatNobodyWasAskedAboutIsKeptAndNotRaised(t *testing.T) {
	set := derived("set")
	claim := func(gpus int64) Claims { return Claims{"a": {set: {GPUs: gpus}}} }
	listed := Listed{Live: claim(80), Asked: claim(8)}
	settle := func(b *Book, selected Selected) *Book {
		tracker := &Tracker{settlements: b.settlements}
		for i := range 3 {
			var commit func(*Book)
			b, _, commit = tracker.Settle(b, listed, selected, at(100*i), time.Minute)
			commit(b)
		}
		return b
	}
	for name, c := range map[string]struct {
		before Claims
		want   int64
	}{
		"an object without an entry has what was asked about": {Claims{"a": {}}, 8},
		"a smaller entry is raised to what was asked about":   {claim(4), 8},
		"what was charged beyond that is kept":                {claim(40), 40},
		"what is more than may ever come is let go":           {claim(90), 80},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, Amount{GPUs: c.want}, settle(book(t, c.before), nil).amount("a", set))
		})
	}
	all := (&Tracker{}).Rebuild(listed.Live, Selected{}, 0)
	assert.Equal(t, Amount{GPUs: 80}, settle(all, Selected{"a": true}).amount("a", set), "what is there before a budget counts in full")
}
