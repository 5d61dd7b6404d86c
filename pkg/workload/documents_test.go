package workload

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var productName = regexp.MustCompile(`\b(NVIDIA-|Tesla-|AMD_Instinct_)[A-Z][A-Za-z0-9_-]*[*]?`)

// TestDocumentsAndExamplesNameProductsAsFeatureDiscoveryDoes: a name that no node has, such as NVIDIA-H100, would
// select nothing. What ends with a star is a pattern of names.
func TestDocumentsAndExamplesNameProductsAsFeatureDiscoveryDoes(t *testing.T) {
	known := func(name string) bool {
		prefix, pattern := strings.CutSuffix(name, "*")
		name = strings.TrimSuffix(name, "-SHARED")
		return slices.ContainsFunc(products, func(p product) bool {
			return p.name == name || slices.Contains(p.also, name) || (pattern && strings.HasPrefix(p.name, prefix))
		})
	}
	require.False(t, known("NVIDIA-H100"), "several are called so")
	require.True(t, known("NVIDIA-A100-*"))
	found := 0
	for _, root := range []string{"README.md", "docs", "examples", "deploy", "charts"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("../..", root), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !slices.Contains([]string{".md", ".yaml", ".txt"}, filepath.Ext(path)) {
				return err
			}
			text, err := os.ReadFile(path)
			for _, name := range productName.FindAllString(string(text), -1) {
				found++
				assert.True(t, known(name), "%s: %s", path, name)
			}
			return err
		}))
	}
	assert.Greater(t, found, 20, "names were found")
}
