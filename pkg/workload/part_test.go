package workload

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// randomPart is of one type, of any, or of several, of which each may be up to some number.
func randomPart(r *rand.Rand) Part {
	p := Part{GPUs: r.Int64N(9), Type: []string{"", "a", "b", "c"}[r.IntN(4)]}
	if r.IntN(2) == 0 {
		types := byType{}
		for _, t := range []string{"", "a", "b", "c"} {
			if n := r.Int64N(9); n > 0 && r.IntN(2) == 0 {
				types[t] = n
			}
		}
		if types.sum() >= p.GPUs && len(types) > 0 {
			p = p.of(types)
		}
	}
	return p
}

// someTypes are those that a budget is about, the empty one always among them.
func someTypes(r *rand.Rand) func(string) bool {
	of := map[string]bool{"": true, "a": r.IntN(2) == 0, "b": r.IntN(2) == 0, "c": r.IntN(2) == 0}
	return func(t string) bool { return of[t] }
}

// TestPartsOfSeveralTypes: whatever a budget's types are, what two parts hold together, or one or the other, is no
// less than they hold by themselves, and in all it is just that.
func TestPartsOfSeveralTypes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	several := 0
	for range 50_000 {
		a, b, counts := randomPart(r), randomPart(r), someTypes(r)
		of := func(p Part) int64 {
			n, _ := p.counted(counts)
			return n
		}
		if a.ofType != nil || b.ofType != nil {
			several++
		}
		why := []any{"%+v, %+v", a, b}
		require.GreaterOrEqual(t, of(a.or(b)), max(of(a), of(b)), why...)
		require.Equal(t, max(a.GPUs, b.GPUs), a.or(b).GPUs, why...)
		require.GreaterOrEqual(t, of(a.plus(b)), of(a)+of(b), why...)
		require.LessOrEqual(t, of(a.plus(b)), a.GPUs+b.GPUs, why...)
		require.Equal(t, a.GPUs+b.GPUs, a.plus(b).GPUs, why...)
		for _, rollout := range []Part{{}, {GPUs: r.Int64N(10)}, {GPUs: Unbounded}} {
			claim, overlap := a.withHeld(b, rollout)
			require.GreaterOrEqual(t, of(claim), of(a), why...)
			require.GreaterOrEqual(t, of(claim)+of(overlap), of(b), why...)
			if rollout.GPUs == 0 && a.types().sum() == a.GPUs && b.types().sum() == b.GPUs {
				require.LessOrEqual(t, of(claim), of(a)+of(b), why...)
			}
			require.Equal(t, max(a.GPUs, b.GPUs), claim.GPUs+overlap.GPUs, why...)
			require.LessOrEqual(t, overlap.GPUs, rollout.GPUs, why...)
		}
		together := a.plus(b)
		require.GreaterOrEqual(t, of(together.beyond(a).plus(a)), of(a)+of(b), why...)
		require.Equal(t, b.GPUs, together.beyond(a).GPUs, why...)
		require.GreaterOrEqual(t, of(a.times(3)), 3*of(a), why...)
		require.LessOrEqual(t, of(a.upTo(b)), min(a.GPUs, b.GPUs), why...)
		if a.typesWithin(b) && a.GPUs <= b.GPUs {
			require.LessOrEqual(t, of(a), of(b), why...)
		}
		if !ChangesType([]Part{a}, []Part{b}) {
			require.LessOrEqual(t, min(of(a), a.GPUs), of(b)+max(0, a.GPUs-b.GPUs), why...)
		}
		require.True(t, a.Equal(a), why...)
		own, made := []Part{a, randomPart(r), randomPart(r)}, []Part{b, randomPart(r)}
		claimed := WithMade(own, made)
		why = []any{"%+v, %+v", own, made}
		require.GreaterOrEqual(t, SumOf(claimed, counts), max(SumOf(own, counts), SumOf(made, counts)), why...)
		require.LessOrEqual(t, Sum(claimed), Sum(own)+Sum(made), why...)
		require.Equal(t, Sum(own), Sum(WithMade(own, own)), why...)
		if !ChangesType(made, own) {
			require.LessOrEqual(t, SumOf(made, counts), SumOf(own, counts)+max(0, Sum(made)-Sum(own)), why...)
		}
	}
	require.Greater(t, several, 10_000)
}

// TestTypesOfAPart are what budgets of types count.
func TestTypesOfAPart(t *testing.T) {
	count := func(p Part, types ...string) int64 {
		n, _ := p.counted(func(of string) bool {
			if slices.Contains(types, of) {
				return true
			}
			return of == ""
		})
		return n
	}
	p := Part{GPUs: 5, Type: "a"}.or(Part{GPUs: 2, Type: "b"})
	held := func(claim, held Part) Part {
		claim, _ = claim.withHeld(held, Part{})
		return claim
	}
	any6 := Part{GPUs: 6}.plus(Part{GPUs: 3, Type: "a"})
	for name, test := range map[string]struct {
		part  Part
		types []string
		want  int64
	}{
		"the one type":                    {p, []string{"a"}, 5},
		"the other":                       {p, []string{"b"}, 2},
		"both, no more than in all":       {p, []string{"a", "b"}, 5},
		"none of them":                    {p, []string{"c"}, 0},
		"together":                        {Part{GPUs: 5, Type: "a"}.plus(Part{GPUs: 2, Type: "b"}), []string{"a", "b"}, 7},
		"with some of any":                {Part{GPUs: 5, Type: "a"}.plus(Part{GPUs: 2}), []string{"b"}, 2},
		"any may be all of them":          {Part{GPUs: 5, Type: "a"}.or(Part{GPUs: 5}), []string{"b"}, 5},
		"what is left of several":         {p.beyond(Part{GPUs: 4, Type: "a"}), []string{"b"}, 1},
		"others beside those of any type": {held(Part{GPUs: 6}, any6), []string{"b"}, 6},
		"any beside those of a type":      {held(Part{GPUs: 6, Type: "a"}, Part{GPUs: 6, Type: "a"}.plus(Part{GPUs: 6})), []string{"b"}, 6},
		"what is left is of the others":   {any6.beyond(Part{GPUs: 6}), []string{"b"}, 0},
		"of a type as of several":         {Part{GPUs: 5, Type: "a"}.or(Part{Type: "b"}), []string{"b"}, 0},
		"nothing has whatever others":     {Part{}.or(Part{GPUs: 3, Type: "b"}), []string{"b"}, 3},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, count(test.part, test.types...)) })
	}
}

// TestWhatIsMadeOfSeveralTypes: what an operator made is part of what its object asks for as far as that may be of the
// same types.
func TestWhatIsMadeOfSeveralTypes(t *testing.T) {
	either := Part{GPUs: 4, Type: "a"}.or(Part{GPUs: 1, Type: "b"})
	both := Part{GPUs: 4, Type: "a"}.plus(Part{GPUs: 2, Type: "b"})
	for name, test := range map[string]struct {
		own, made []Part
		want      map[string]int64 // "" is in all
	}{
		"of a type that it may be of":            {[]Part{either}, []Part{{GPUs: 3, Type: "a"}}, map[string]int64{"": 4, "a": 4, "b": 1}},
		"of one that it may not be of":           {[]Part{either}, []Part{{GPUs: 8, Type: "c"}}, map[string]int64{"": 12, "a": 4, "b": 1, "c": 8}},
		"of one that fewer of it may be of":      {[]Part{either}, []Part{{GPUs: 4, Type: "b"}}, map[string]int64{"": 7, "a": 4, "b": 4}},
		"pods of two types together":             {[]Part{{GPUs: 4, Type: "a"}, {GPUs: 2, Type: "b"}}, []Part{both}, map[string]int64{"": 6, "a": 4, "b": 2}},
		"pods of either type":                    {[]Part{either}, []Part{either}, map[string]int64{"": 4, "a": 4, "b": 1}},
		"pods of either, where any is asked for": {[]Part{{GPUs: 6}}, []Part{either}, map[string]int64{"": 6, "a": 6, "b": 6}},
	} {
		t.Run(name, func(t *testing.T) {
			claimed := WithMade(test.own, test.made)
			got := map[string]int64{"": Sum(claimed)}
			for gpuType := range test.want {
				if gpuType != "" {
					got[gpuType] = SumOf(claimed, func(of string) bool { return of == gpuType || of == "" })
				}
			}
			assert.Equal(t, test.want, got)
		})
	}
}
