package kubernetes

import (
	"testing"

	"github.com/kubetorch/webhook/test/benchmark/reviews"
)

func BenchmarkEngine(b *testing.B) {
	e := evaluator(b)
	for _, c := range reviews.Cases() {
		b.Run("case="+c.Name+"/engine=kubernetes", func(b *testing.B) {
			check(b, e, c)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Decide(b.Context(), c); (err != nil) != c.Refused {
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

func check(t testing.TB, e *Evaluator, c reviews.Case) {
	t.Helper()
	object, err := e.Decide(t.Context(), c)
	switch {
	case c.Refused && err != nil:
		err = c.CheckRefusal(err.Error())
	case err == nil && object != nil:
		err = c.CheckObject(object)
	}
	if err != nil {
		t.Fatal(err)
	}
}
