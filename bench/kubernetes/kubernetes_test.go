package kubernetes

import (
	"testing"

	"github.com/kubetorch/webhook/bench/reviews"
)

func BenchmarkEngine(b *testing.B) {
	e := evaluator(b)
	for _, c := range reviews.Cases() {
		b.Run("case="+c.Name+"/engine=kubernetes", func(b *testing.B) {
			if err := e.Check(b.Context(), c); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Decide(b.Context(), c); (err != nil) != c.Refused {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkScale(b *testing.B) {
	e := evaluator(b)
	sizes := reviews.Sizes()
	for _, name := range reviews.SizeNames {
		c := sizes[name]
		b.Run("spec="+name+"/engine=kubernetes", func(b *testing.B) {
			if err := e.Check(b.Context(), c); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Decide(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func evaluator(t testing.TB) *Evaluator {
	t.Helper()
	e, err := New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}
