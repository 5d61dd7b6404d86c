package app

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

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

func TestGarbageHasRoomWhereLittleIsInUse(t *testing.T) {
	for used, want := range map[uint64]int{0: 400, 1 << 20: 400, 12 << 20: 400, 16 << 20: 300, 48 << 20: 100, 500 << 20: 100} {
		assert.Equal(t, want, garbagePercent(used), "%d MiB", used>>20)
	}
}

func TestThePercentageOfGarbageFollowsTheHeap(t *testing.T) {
	before := debug.SetGCPercent(mostGarbage)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	followHeap(mostGarbage)
	percent := func() int {
		runtime.GC()
		now := debug.SetGCPercent(mostGarbage)
		debug.SetGCPercent(now)
		return now
	}
	much := make([]byte, 200<<20)
	require.Eventually(t, func() bool { return percent() == leastGarbage }, 10*time.Second, 10*time.Millisecond)
	runtime.KeepAlive(much)
	much = nil
	require.Eventually(t, func() bool { return percent() > leastGarbage }, 10*time.Second, 10*time.Millisecond)
}
