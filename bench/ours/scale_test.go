package ours

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/bench/reviews"
	"github.com/kubetorch/webhook/pkg/app"
)

// BenchmarkScale measures what a review costs the more there is beside it.
func BenchmarkScale(b *testing.B) {
	handlers, err := Handlers(Options{})
	require.NoError(b, err)
	reviews.BenchmarkSizes(b, "ours", handlers[app.MutatePath], app.MutatePath)
	for _, name := range []string{"expand", "admit"} {
		c := reviews.Find(name)
		for _, policies := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("review=%s/policies=%d", name, policies), func(b *testing.B) {
				handlers, err := Handlers(Options{Unrelated: policies - 1})
				require.NoError(b, err)
				path := "/" + string(c.Step)
				caller := reviews.NewCaller(handlers[path], path)
				require.NoError(b, c.Check(call(b, caller, c.Body)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := caller.Call(c.Body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	for _, services := range []int{10, 1000, 10000} {
		_, validate := callers(b, Options{Budgeted: true})
		body := string(reviews.Find("admit").Body)
		for i := range services {
			checkCharged(b, call(b, validate, []byte(strings.ReplaceAll(body, uid, fmt.Sprintf("5b46a2acffff-%d", i)))))
		}
		bodies := charged(b, validate)
		b.Run(fmt.Sprintf("review=budget/services=%d", services), func(b *testing.B) { charge(b, validate, bodies) })
	}
}
