package chart

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/cmd"
)

// notes is what helm prints after an installation.
func notes(t *testing.T, chart string, args ...string) string {
	t.Helper()
	out, err := run(t, helm, append([]string{"install", "its-name", chart, "--namespace", "platform", "--dry-run=client", "--set", "image.tag=v1"}, args...)...)
	require.NoError(t, err)
	_, text, found := strings.Cut(out, "\nNOTES:\n")
	require.True(t, found, out)
	return text
}

// commandsOf are the lines that a user copies.
func commandsOf(text string) (commands []string) {
	for line := range strings.Lines(text) {
		if command, indented := strings.CutPrefix(line, "    "); indented {
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	return commands
}

// released is a copy of the chart as a release packs it.
func released(t *testing.T) string {
	t.Helper()
	copied := t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(chart)))
	file := filepath.Join(copied, "Chart.yaml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	changed := regexp.MustCompile(`(?m)^version: .*$`).ReplaceAll(text, []byte("version: 1.2.3"))
	changed = regexp.MustCompile(`(?m)^appVersion: .*$`).ReplaceAll(changed, []byte("appVersion: v1.2.3"))
	require.NotEqual(t, text, changed)
	require.NoError(t, os.WriteFile(file, changed, 0o644))
	return copied
}

// TestTheNotesAreCommandsOfThisRelease: each can be copied as it stands.
func TestTheNotesAreCommandsOfThisRelease(t *testing.T) {
	t.Parallel()
	upgrade := func(chart string) []string {
		return []string{
			"kubectl -n platform rollout status deployment/kubetorch-webhook",
			"helm test its-name --namespace platform",
			"kubectl kubetorch audit --policy policy.yaml",
			"kubectl delete validatingwebhookconfiguration,mutatingwebhookconfiguration kubetorch-webhook",
			"helm upgrade its-name " + chart + " --namespace platform --reuse-values --wait",
		}
	}
	for name, c := range map[string]struct {
		chart string
		want  []string
	}{
		"from the repository": {chart, upgrade("charts/kubetorch-webhook")},
		"a release":           {released(t), upgrade("oci://ghcr.io/kubetorch/charts/kubetorch-webhook --version 1.2.3")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			commands := commandsOf(notes(t, c.chart))
			assert.Equal(t, c.want, commands)
			for _, command := range commands {
				words := append(strings.Fields(command), "--help") // which comes after the flags are read
				var err error
				switch {
				case words[1] == "kubetorch":
					if code := cmd.Run(t.Context(), words[2:], strings.NewReader(""), io.Discard, io.Discard); code != 0 {
						t.Errorf("%s: exit code %d", command, code)
					}
				case words[0] == "kubectl":
					_, err = run(t, kubectl, words[1:]...)
				default:
					_, err = run(t, helm, words[1:]...)
				}
				assert.NoError(t, err, command)
			}
		})
	}
}

// TestTheNotesSayWhatTheValuesLeaveOut: who may read, and what stays.
func TestTheNotesSayWhatTheValuesLeaveOut(t *testing.T) {
	t.Parallel()
	const unread, kept = "Developers may not read policies and budgets yet: set viewers.group.", "helm uninstall keeps the CRDs, and with them all policies, budgets and their ledgers."
	for name, c := range map[string]struct {
		args         []string
		unread, kept bool
	}{
		"by default":          {nil, true, true},
		"viewers":             {[]string{"--set", "viewers.group=developers"}, false, true},
		"definitions that go": {[]string{"--set", "crds.keep=false"}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := notes(t, chart, c.args...)
			assert.Equal(t, c.unread, strings.Contains(text, unread), text)
			assert.Equal(t, c.kept, strings.Contains(text, kept), text)
			assert.NotContains(t, text, "\n\n\n", "a gap where nothing is said")
		})
	}
}
