package ledger

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// many are claims of several namespaces.
func many(n int) Claims {
	all := Claims{"empty": {}}
	for i := range n {
		namespace := fmt.Sprintf("ns-%d", i%7)
		if all[namespace] == nil {
			all[namespace] = map[Key]Amount{}
		}
		all[namespace][derived(fmt.Sprint(i))] = Amount{GPUs: int64(1 + i%5), Overlap: int64(i % 3)}
	}
	return all
}

// folded is a ledger over a base of its own, as read from a status.
func folded(t *testing.T, b *Book) (*Book, *Base, v1alpha1.GPUBudgetStatus) {
	t.Helper()
	parts := b.Parts()
	from := &v1alpha1.LedgerBase{Namespace: "system"}
	for i, part := range parts {
		from.Parts = append(from.Parts, v1alpha1.LedgerPart{Name: fmt.Sprint(i), SHA256: Digest(part)})
	}
	base, err := ReadBase(from, parts)
	require.NoError(t, err)
	over, recent := b.Over(base)
	require.Zero(t, recent)
	var status v1alpha1.GPUBudgetStatus
	over.Write(&status, Most)
	read, err := ReadOver(base, &status)
	require.NoError(t, err)
	return read, base, status
}

func TestALedgerOverABaseIsTheSameLedger(t *testing.T) {
	for _, claims := range []int{1, 3 * partClaims / 2, 100_000} {
		t.Run(fmt.Sprintf("%d claims", claims), func(t *testing.T) {
			plain := (&Tracker{}).Rebuild(many(claims), nil, 0)
			over, base, status := folded(t, plain)
			assert.True(t, over.Equal(plain))
			assert.Equal(t, plain.figures(), over.figures())
			again, recent := over.Over(base)
			assert.Zero(t, recent)
			assert.Equal(t, over.settled, again.settled)
			size := 0
			for _, n := range status.Namespaces {
				size += len(n.Claims)
			}
			assert.Zero(t, size, "the status holds no claims")

			// The same charges come to the same.
			for _, c := range []Charge{charge("new", 7), {Key: derived("1"), Namespace: "ns-1", Amount: Amount{GPUs: 40, Overlap: 9}}} {
				want, got := plain.Charge(Limits{Max: Most - 1}, "t", c), over.Charge(Limits{Max: Most - 1}, "t", c)
				assert.Equal(t, want, got)
			}
			var flat, based v1alpha1.GPUBudgetStatus
			plain.Write(&flat, Most)
			over.Write(&based, Most)
			assert.Empty(t, based.Reservations)
			flying, err := InFlight(&based)
			require.NoError(t, err)
			want := (&Tracker{}).Rebuild(nil, nil, 0)
			require.NoError(t, want.readReservations(&flat))
			for key, r := range want.reservations {
				r.kind, r.name = "", ""
				want.reservations[key] = r
			}
			assert.Equal(t, want.reservations, flying.reservations)
			assert.Equal(t, []int64{flat.Used, flat.Reserved, flat.Overlap, flat.Available, int64(flat.Workloads)},
				[]int64{based.Used, based.Reserved, based.Overlap, based.Available, int64(based.Workloads)})
			for i, n := range flat.Namespaces {
				assert.Equal(t, n.Used, based.Namespaces[i].Used)
			}
		})
	}
}

func TestClaimsThatAreNotAsInTheBaseStandInTheStatus(t *testing.T) {
	all := many(100)
	_, base, _ := folded(t, (&Tracker{}).Rebuild(all, nil, 0))
	delete(all["ns-1"], derived("1"))
	all["ns-2"][derived("2")] = Amount{GPUs: 50}
	all["new"] = map[Key]Amount{derived("new"): {GPUs: 3}}
	changed := (&Tracker{}).Rebuild(all, nil, 0)
	over, recent := changed.Over(base)
	require.Equal(t, 3, recent)
	var status v1alpha1.GPUBudgetStatus
	over.Write(&status, Most)
	read, err := ReadOver(base, &status)
	require.NoError(t, err)
	assert.True(t, read.Equal(changed))
	assert.Equal(t, changed.figures(), read.figures())
	assert.Equal(t, Amount{}, read.amount("ns-1", derived("1")))
	assert.Equal(t, Amount{GPUs: 50}, read.amount("ns-2", derived("2")))

	delete(all, "ns-3")
	none, _ := (&Tracker{}).Rebuild(all, nil, 0).Over(base)
	assert.Nil(t, none, "a namespace of the base is not counted any more")
}

func TestABaseIsBelievedOnlyAsItWasWritten(t *testing.T) {
	plain := (&Tracker{}).Rebuild(many(20), nil, 0)
	_, base, status := folded(t, plain)
	other, otherBase, _ := folded(t, (&Tracker{}).Rebuild(many(19), nil, 0))
	for name, test := range map[string]struct {
		base   *Base
		change func(s *v1alpha1.GPUBudgetStatus)
		want   string
	}{
		"without its base":                     {nil, nil, "status.base: the claims there are not those that were read"},
		"with another base":                    {otherBase, nil, "status.base: the claims there are not those that were read"},
		"where the status has lost its base":   {nil, func(s *v1alpha1.GPUBudgetStatus) { s.Base = nil }, "status.namespaces[ns-0].used is 9, and the claims are 0"},
		"where the status names another base":  {otherBase, func(s *v1alpha1.GPUBudgetStatus) { s.Base = other.base.ref() }, "status.namespaces[ns-5].used is 9, and the claims are 4"},
		"where a namespace is missing":         {base, func(s *v1alpha1.GPUBudgetStatus) { s.Namespaces = s.Namespaces[:1] }, "is missing, which has claims in status.base"},
		"where the sum of a namespace is less": {base, func(s *v1alpha1.GPUBudgetStatus) { s.Namespaces[1].Used-- }, "and the claims are"},
	} {
		t.Run(name, func(t *testing.T) {
			s := *status.DeepCopy()
			if test.change != nil {
				test.change(&s)
			}
			_, err := ReadOver(test.base, &s)
			assert.ErrorContains(t, err, test.want)
		})
	}
	parts := plain.Parts()
	for name, damaged := range map[string][][]byte{
		"a part is missing": nil, "a part is cut": {parts[0][:len(parts[0])-1]}, "a part is another one": {append([]byte("x"), parts[0]...)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadBase(base.from, damaged)
			assert.Error(t, err)
		})
	}
	t.Run("a part that says a claim twice", func(t *testing.T) {
		twice := append(append([]byte{}, parts[0]...), parts[0]...)
		_, err := ReadBase(&v1alpha1.LedgerBase{Parts: []v1alpha1.LedgerPart{{SHA256: Digest(twice)}}}, [][]byte{twice})
		assert.ErrorContains(t, err, "a claim is there twice")
	})
}

func TestTheOutlineOfALedgerHasItsSums(t *testing.T) {
	plain := (&Tracker{}).Rebuild(many(50), nil, 0)
	plain.Charge(Limits{Max: Most - 1}, "t", charge("new", 7, 2))
	_, _, status := folded(t, plain)
	want := status
	require.NoError(t, Outline(&status, Most))
	read, err := Read(&status)
	require.NoError(t, err)
	assert.Equal(t, []int64{want.Used, want.Reserved, want.Overlap, want.Available}, []int64{status.Used, status.Reserved, status.Overlap, status.Available})
	assert.Equal(t, plain.Try(Limits{Max: 1000}, charge("other", 1)), read.Try(Limits{Max: 1000}, charge("other", 1)))
}

func TestReservationsThatCannotBeReadAreAnError(t *testing.T) {
	plain := (&Tracker{}).Rebuild(many(3), nil, 0)
	plain.Charge(Limits{Max: 1000}, "token", charge("a", 3), charge("b", 4))
	written := encodeReservations(plain.reservations)
	for name, damaged := range map[string][]byte{
		"cut in a key":             written[:len(written)-8],
		"cut in a number":          written[:len(written)-1],
		"cut in a text":            written[:3],
		"more texts than there is": {200, 1},
		"a text that is missing":   append([]byte{0}, written[len(written)-20:]...),
		"a key twice":              append(append([]byte{}, written...), written[len(written)-20:]...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := InFlight(&v1alpha1.GPUBudgetStatus{InFlight: damaged})
			assert.EqualError(t, err, "status.inFlight: what is in flight cannot be read")
		})
	}
}

func FuzzDecodeReservations(f *testing.F) {
	f.Add(encodeReservations(map[Key]reservation{derived("a"): {namespace: "a", token: "t"}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := decodeReservations(text)
		if err == nil {
			again, err := decodeReservations(encodeReservations(all))
			require.NoError(t, err)
			require.Equal(t, all, again)
		}
	})
}

func FuzzReadBase(f *testing.F) {
	for _, part := range (&Tracker{}).Rebuild(many(20), nil, 0).Parts() {
		f.Add(part)
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, part []byte) {
		_, _ = ReadBase(&v1alpha1.LedgerBase{Parts: []v1alpha1.LedgerPart{{SHA256: Digest(part)}}}, [][]byte{part})
	})
}
