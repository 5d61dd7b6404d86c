package manifests

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOperationsSayWhatEachEntryDoesWhileNobodyAnswers holds the table in docs/operations.md
// against the configurations. test/e2e/install holds both against the API server.
func TestOperationsSayWhatEachEntryDoesWhileNobodyAnswers(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	stated := map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) == 6 && strings.HasSuffix(strings.TrimSpace(cells[1]), ".kubetorch.com`") {
			stated[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[3])
		}
	}
	want := map[string]string{}
	for name, e := range entries(t) {
		want[name] = string(*e.FailurePolicy)
	}
	assert.Equal(t, want, stated)
}
