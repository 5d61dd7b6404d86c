package pods

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/pods/observed"
)

// Tables of docs/scaling.md.
const (
	steadyTable    = "steady"
	shrinkTable    = "shrink"
	otherTable     = "other"
	simulatedTable = "simulated"
	budgetTable    = "budget"
	adoptTable     = "adopt"
)

var results = observed.Page{
	Machine: fmt.Sprintf("%d cores; %s.", runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly)),
	Headings: map[string][]string{
		steadyTable: {
			"example", "parameters", "load", "pods expected", "pods at the end", "at most", "requests that a pod held at most",
			"answers", "median and 99th percentile",
		},
		shrinkTable: {
			"case", "as the guide writes it", "pods", "the first went after", "the last went after", "pods then", "why then",
			"first request to no pod", "answers",
		},
		otherTable: {"case", "observed"},
		simulatedTable: {
			"load", "a pod was ready after", "pods at most, real and simulated", "pod-seconds", "apart by", "give or take one pod", "answers",
		},
		budgetTable: {
			"budget", "churn", "GPUs in use at most", "status.overlap at most", "programs that used a GPU",
			"admitted, refused, failed for want of the webhook",
		},
		adoptTable: {"step", "observed"},
	},
}

// record notes a row of a table, unless the test has failed. It goes after what is asserted.
func record(t *testing.T, table string, row []string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "observed: %s\n", strings.Join(row, " | "))
	if t.Failed() {
		return
	}
	if err := results.Record(table, row); err != nil {
		t.Error(err)
	}
}

// writePage writes what was observed into docs/scaling.md.
func writePage() error {
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		return err
	}
	return results.Write(filepath.Join(root, "docs", "scaling.md"))
}

// drawIf draws a picture for the page, if that is to be written and the test has not failed.
func drawIf(t *testing.T, picture observed.Picture) {
	t.Helper()
	if !*page || t.Failed() {
		return
	}
	root, err := controlplane.RepositoryRoot()
	if err != nil {
		t.Error(err)
		return
	}
	if err := picture.Write(filepath.Join(root, "docs", "scaling")); err != nil {
		t.Error(err)
	}
}
