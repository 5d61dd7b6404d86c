package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/cmd"
)

const root = "../.."

func TestALineIsFoldedAtSpaces(t *testing.T) {
	for name, test := range map[string]struct {
		line string
		want []string
	}{
		"a short one stays":                     {"short", []string{"short"}},
		"one of just that width stays":          {"0123456789", []string{"0123456789"}},
		"a long one goes on, indented":          {"one two three four", []string{"one two", "    three", "    four"}},
		"a word that is longer stays whole":     {"0123456789abc", []string{"0123456789abc"}},
		"spaces in columns are kept before it":  {"a     b c d", []string{"a     b c", "    d"}},
		"a long word after a short one is next": {"one 0123456789abc", []string{"one", "    0123456789abc"}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, fold(test.line, 10))
		})
	}
}

func TestAPictureIsAnSVGWithEveryLine(t *testing.T) {
	lines := []string{"$ kubectl apply -f a.yaml", "", `max: "1" & <2>`, "Error from server"}
	assert.Equal(t, []string{lines[0], lines[2], lines[3]}, texts(t, picture("a title", lines)))
}

// The README's picture is of a run of the demo. It has to be drawn again
// (make demo DEMOFLAGS="-picture docs/demo.svg") when an example becomes something else.
func TestThePictureShowsWhatTheExamplesBecome(t *testing.T) {
	drawn, err := os.ReadFile(filepath.Join(root, "docs", "demo.svg"))
	require.NoError(t, err)
	shown := texts(t, drawn)
	all := strings.Join(shown, "\n")

	manifest, err := os.ReadFile(filepath.Join(root, "examples", "inference.yaml"))
	require.NoError(t, err)
	for line := range strings.Lines(strings.TrimRight(withoutComments(string(manifest)), "\n")) {
		assert.Contains(t, all, strings.TrimSuffix(line, "\n"))
	}
	expanded := printed(t, "expand", "-f", filepath.Join(root, "examples/inference.yaml"), "--policy", filepath.Join(root, "examples/policy.yaml"))
	keys := regexp.MustCompile(`(?m)^ +((?:autoscaling|serving)\.knative\.dev/[a-z-]+: \S+)$`)
	stored := map[string]bool{}
	for _, m := range keys.FindAllStringSubmatch(expanded, -1) {
		stored[m[1]] = true
	}
	inPicture := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)\| +((?:autoscaling|serving)\.knative\.dev/[a-z-]+: \S+)$`).FindAllStringSubmatch(all, -1) {
		inPicture[m[1]] = true
	}
	assert.NotEmpty(t, stored)
	assert.Equal(t, stored, inPicture, "the annotations that are stored for examples/inference.yaml")

	refusal := printed(t, "expand", "-f", filepath.Join(root, "examples/greedy.yaml"), "--policy", filepath.Join(root, "examples/policy.yaml"))
	said := regexp.MustCompile(`asks for .*`).FindString(refusal)
	require.NotEmpty(t, said, refusal)
	assert.Contains(t, strings.Join(strings.Fields(all), " "), said, "why examples/greedy.yaml is refused")
}

// printed is what the command line prints, errors included.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	var out strings.Builder
	cmd.Run(t.Context(), args, strings.NewReader(""), &out, &out)
	return out.String()
}

// texts are the lines of a picture.
func texts(t *testing.T, svg []byte) []string {
	t.Helper()
	var picture struct {
		Texts []string `xml:"text"`
	}
	require.NoError(t, xml.Unmarshal(svg, &picture))
	return picture.Texts
}
