package harness

import (
	"testing"
	"time"
)

const (
	// Tick is the time between two looks.
	Tick = 200 * time.Millisecond
	// Patience is how many looks in a row may see the same before a wait ends: a minute and a
	// half on an idle machine. A look asks the API server, so it takes longer on a busy one, and
	// the wait with it. What bounds a wait whose looks go on changing is the timeout of go test.
	Patience = 450
)

// Await looks until done, and fails the test when nothing that is seen has changed for Patience
// looks. seen describes what was looked at: as long as it changes, there is progress. An empty
// description is no answer, and counts as a look that saw the same.
func Await(t testing.TB, what string, look func() (done bool, seen string)) {
	t.Helper()
	begun, last := time.Now(), ""
	for same := 0; same < Patience; same++ {
		done, seen := look()
		if done {
			return
		}
		if seen != "" && seen != last {
			same, last = 0, seen
		}
		time.Sleep(Tick)
	}
	t.Fatalf("%s: not after %s, and nothing changed for %d looks; the last saw: %s",
		what, time.Since(begun).Round(time.Second), Patience, last)
}

// Eventually is Await for a condition that shows nothing before it holds.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Await(t, what, func() (bool, string) { return holds(), "" })
}
