package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// helmCommand is a command up to the end of its line or of its quotation.
var helmCommand = regexp.MustCompile("helm (install|upgrade) [^`\n]+")

// TestHelmWaitsInEveryCommandThatIsPrinted: without --wait Helm says deployed of what never starts.
func TestHelmWaitsInEveryCommandThatIsPrinted(t *testing.T) {
	printed := map[string]int{}
	require.NoError(t, filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && strings.HasPrefix(entry.Name(), ".") || name == "dist" || name == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(name); ext != ".md" && ext != ".txt" && name != filepath.Join("hack", "release", "bundle", "notes.go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, command := range helmCommand.FindAllString(strings.ReplaceAll(string(text), "\\\n", " "), -1) {
			printed[filepath.ToSlash(name)]++
			assert.Contains(t, strings.Fields(command), "--wait", "%s: %s", name, command)
		}
		return nil
	}))
	for _, name := range []string{"README.md", "docs/getting-started.md", "docs/operations.md", "charts/kubetorch-webhook/templates/NOTES.txt", "hack/release/bundle/notes.go"} {
		assert.NotZero(t, printed[name], "%s has no such command: is it still written there?", name)
	}
}
