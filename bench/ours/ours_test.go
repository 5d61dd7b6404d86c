package ours

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/bench/reviews"
	"github.com/kubetorch/webhook/pkg/app"
)

var update = flag.Bool("update", false, "rewrite reviews/testdata/expanded.json")

func callers(t testing.TB, o Options) (mutate, validate *reviews.Caller) {
	t.Helper()
	handlers, err := Handlers(o)
	require.NoError(t, err)
	return reviews.NewCaller(handlers[app.MutatePath], app.MutatePath), reviews.NewCaller(handlers[app.ValidatePath], app.ValidatePath)
}

func call(t testing.TB, c *reviews.Caller, body []byte) []byte {
	t.Helper()
	answer, err := c.Call(body)
	require.NoError(t, err)
	return answer
}

// TestExpanded holds the object that later cases start from to what the webhook makes.
func TestExpanded(t *testing.T) {
	mutate, _ := callers(t, Options{})
	var review struct {
		Response struct{ Patch []byte }
	}
	c := reviews.Find("expand")
	answer := call(t, mutate, c.Body)
	require.NoError(t, json.Unmarshal(answer, &review))
	require.NotEmpty(t, review.Response.Patch, string(answer))
	patch, err := jsonpatch.DecodePatch(review.Response.Patch)
	require.NoError(t, err)
	expanded, err := patch.Apply(c.Object)
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile("../reviews/testdata/expanded.json", append(expanded, '\n'), 0o644))
	}
	require.JSONEq(t, string(reviews.Expanded), string(expanded))
}

func BenchmarkEngine(b *testing.B) {
	handlers, err := Handlers(Options{})
	require.NoError(b, err)
	reviews.Benchmark(b, "ours", reviews.Mutate, handlers[app.MutatePath], app.MutatePath)
	reviews.Benchmark(b, "ours", reviews.Validate, handlers[app.ValidatePath], app.ValidatePath)
	b.Run("case=budget/engine=ours", benchmarkBudget)
}

// benchmarkBudget charges a budget with every review: the same Services over and over, with
// claims that go up and down by turns.
func benchmarkBudget(b *testing.B) {
	_, validate := callers(b, Options{Budgeted: true})
	charge(b, validate, charged(b, validate))
}

// uid is the end of the Service's UID.
const uid = "5b46a2ac3f0d"

// charged sends each review that charges once, and checks that it does.
func charged(t testing.TB, validate *reviews.Caller) [][]byte {
	bodies := budgetBodies()
	for _, body := range bodies {
		checkCharged(t, call(t, validate, body))
	}
	return bodies
}

func charge(b *testing.B, validate *reviews.Caller, bodies [][]byte) {
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, err := validate.Call(bodies[i%len(bodies)]); err != nil {
			b.Fatal(err)
		}
	}
}

// budgetBodies ask for 10 and then for 20 GPUs for each of 64 Services.
func budgetBodies() [][]byte {
	var bodies [][]byte
	body := string(reviews.Find("admit").Body)
	for _, scale := range []string{"10", "20"} {
		for i := range 64 {
			one := strings.ReplaceAll(body, uid, fmt.Sprintf("5b46a2ac%04x", i))
			bodies = append(bodies, []byte(strings.Replace(one, `"autoscaling.knative.dev/max-scale":"10"`, `"autoscaling.knative.dev/max-scale":"`+scale+`"`, 1)))
		}
	}
	return bodies
}

func checkCharged(t testing.TB, answer []byte) {
	t.Helper()
	var review struct {
		Response struct {
			Allowed  bool
			Warnings []string
		}
	}
	require.NoError(t, json.Unmarshal(answer, &review))
	require.True(t, review.Response.Allowed, string(answer))
	require.Contains(t, strings.Join(review.Response.Warnings, "\n"), "cluster", "the budget says what is left")
}
