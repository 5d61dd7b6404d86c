package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheMemoryLimitOfAContainer(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	none, limited := filepath.Join(dir, "none"), file("limited", "536870912\n")
	for name, c := range map[string]struct {
		files []string
		want  int64
	}{
		"a limit":                 {[]string{limited}, 512 << 20},
		"of cgroups 1":            {[]string{none, limited}, 512 << 20},
		"no limit":                {[]string{file("max", "max\n"), limited}, 0},
		"no limit with cgroups 1": {[]string{file("one", "9223372036854771712\n")}, 0},
		"no cgroups":              {[]string{none}, 0},
	} {
		assert.Equal(t, c.want, memoryLimit(c.files), name)
	}
}
