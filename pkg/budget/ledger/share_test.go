package ledger

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWhatANamespaceHasUnderWayHoldsItsShareOfWhatIsFree(t *testing.T) {
	elsewhere := func(name string, gpus int64) Charge {
		c := charge(name, gpus)
		c.Namespace = "b"
		return c
	}
	for name, test := range map[string]struct {
		settled  int64
		underWay []Charge
		share    int64
		charge   Charge
		want     Outcome
	}{
		"one reservation may hold all that is free": {
			settled: 20, share: 50, charge: charge("new", 80),
			want: Outcome{Fits: true, Raised: 80, Free: 0, Of: 100},
		},
		"the second one is held to the share": {
			settled: 20, share: 50, underWay: []Charge{charge("first", 30)}, charge: charge("new", 11),
			want: Outcome{Crowded: true, Raised: 11, Free: 50, Of: 100, Reserved: 30},
		},
		"up to the share it fits": {
			settled: 20, share: 50, underWay: []Charge{charge("first", 30)}, charge: charge("new", 10),
			want: Outcome{Fits: true, Raised: 10, Free: 40, Of: 100},
		},
		"another namespace has a share of its own": {
			settled: 20, share: 50, underWay: []Charge{charge("first", 30), charge("second", 10)}, charge: elsewhere("new", 40),
			want: Outcome{Fits: true, Raised: 40, Free: 0, Of: 100},
		},
		"the same reservation may rise as if it were the first": {
			settled: 20, share: 50, underWay: []Charge{charge("first", 30)}, charge: charge("first", 80),
			want: Outcome{Fits: true, Raised: 50, Free: 0, Of: 100},
		},
		"but not beside others": {
			settled: 20, share: 50, underWay: []Charge{charge("first", 30), charge("second", 5)}, charge: charge("first", 36),
			want: Outcome{Crowded: true, Raised: 6, Free: 45, Of: 100, Reserved: 35},
		},
		"what does not fit anyway is refused for that": {
			settled: 20, share: 50, underWay: []Charge{charge("first", 40)}, charge: charge("new", 41),
			want: Outcome{Raised: 41, Free: 40, Of: 100, Reserved: 40},
		},
		"what claims no more than before always fits": {
			settled: 20, share: 50, underWay: []Charge{charge("first", 60)}, charge: charge("first", 60),
			want: Outcome{Fits: true, Free: 20, Of: 100},
		},
		"without a share everything that fits is admitted": {
			settled: 20, underWay: []Charge{charge("first", 40)}, charge: charge("new", 40),
			want: Outcome{Fits: true, Raised: 40, Free: 0, Of: 100},
		},
		"with all of it too": {
			settled: 20, share: 100, underWay: []Charge{charge("first", 40)}, charge: charge("new", 40),
			want: Outcome{Fits: true, Raised: 40, Free: 0, Of: 100},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := book(t, Claims{"c": {derived("old"): {GPUs: test.settled}}})
			for _, c := range test.underWay {
				assert.True(t, b.Charge(Limits{Max: 100}, "t", c).Fits)
			}
			limits := Limits{Max: 100, UnseenShare: test.share}
			assert.Equal(t, test.want, b.Try(limits, test.charge))
			assert.Equal(t, test.want, b.Charge(limits, "t", test.charge))
		})
	}
}
