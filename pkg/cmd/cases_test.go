package cmd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var section = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

// Every file under testdata/cases is a manifest that somebody might have, with policies and
// Knative's ConfigMaps where they matter, and all that expand --diff prints about it. Its
// sections are files, but for args, out and err; the exit code is behind the name of err.
func TestCases(t *testing.T) {
	names, err := filepath.Glob("testdata/cases/*.txt")
	require.NoError(t, err)
	require.Greater(t, len(names), 50)
	for _, name := range names {
		name, err := filepath.Abs(name)
		require.NoError(t, err)
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(name)
			require.NoError(t, err)
			text := string(raw)
			places := section.FindAllStringSubmatchIndex(text, -1)
			require.NotEmpty(t, places)
			given, want := text, ""
			var pairs, args []string
			for i, p := range places {
				end := len(text)
				if i+1 < len(places) {
					end = places[i+1][0]
				}
				switch title, content := text[p[2]:p[3]], text[p[1]:end]; title {
				case "args":
					args = strings.Fields(content)
				case "out":
					given, want = text[:p[0]], text[p[0]:]
				case "err":
				default:
					pairs = append(pairs, title, content)
				}
			}
			code, out, errOut := expandIn(t, files(t, pairs...), "", append([]string{"-f", "in.yaml", "--diff"}, args...)...)
			got := fmt.Sprintf("-- out --\n%s-- err --\n%sexit code %d\n", out, errOut, code)
			if *update {
				require.NoError(t, os.WriteFile(name, []byte(given+got), 0o644))
				return
			}
			assert.Equal(t, want, got)
		})
	}
}
