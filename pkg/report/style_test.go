package report

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryColourIsReadableInTheDarkAndOnPaper: what a block leaves out keeps the colour of the one before,
// and paper is white whatever the screen is.
func TestEveryColourIsReadableInTheDarkAndOnPaper(t *testing.T) {
	blocks := regexp.MustCompile(`:root \{([^}]*)\}`).FindAllStringSubmatch(style, -1)
	require.Len(t, blocks, 3, "light, dark and print")
	var names [3][]string
	for i, block := range blocks {
		for _, name := range regexp.MustCompile(`(--\w+):`).FindAllStringSubmatch(block[1], -1) {
			names[i] = append(names[i], name[1])
		}
	}
	assert.Len(t, names[0], 14)
	assert.Equal(t, names[0], names[1], "in the dark")
	assert.Equal(t, names[0], names[2], "on paper")
	assert.Less(t, strings.Index(style, "prefers-color-scheme: dark"), strings.Index(style, "@media print"), "the later one holds")
}

func TestEveryLineOfAPictureIsDrawnInItsOwnWay(t *testing.T) {
	seen := map[string]bool{}
	for i := range lineStyles * lineStyles {
		seen[lineClass(i)] = true
	}
	assert.Len(t, seen, lineStyles*lineStyles)
	for i := range lineStyles {
		for _, text := range []string{style, pictureStyle} {
			for class := range strings.FieldsSeq(lineClass(i)) {
				if class != "d1" { // is not dashed
					assert.Contains(t, text, "."+class+" {")
				}
			}
		}
	}
}
