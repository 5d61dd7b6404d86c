package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

const (
	// garbageRoom is how much garbage may gather, in bytes: requests leave little behind that
	// is in use, so that at Go's own 100 percent of that the collector runs all the time.
	garbageRoom = 48 << 20
	// The least and the most that this may be, in percent of what is in use. Where that is
	// much, as with thousands of Services, Go's own percentage is room enough.
	leastGarbage, mostGarbage = 100, 400
)

// garbagePercent is how much garbage may gather, in percent of what is in use.
func garbagePercent(used uint64) int {
	return int(min(max(100*garbageRoom/max(used, 1), leastGarbage), mostGarbage))
}

// memoryLimits are where a container finds its memory limit, by version of cgroups.
var memoryLimits = []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

// TuneGarbageCollector lets more garbage gather than Go does by itself, up to nine tenths of the container's memory
// limit. The environment variables GOGC and GOMEMLIMIT win.
func TuneGarbageCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(mostGarbage)
		followHeap(mostGarbage)
	}
	if limit := memoryLimit(memoryLimits); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit / 10 * 9)
	}
}

// followHeap sets the percentage after every collection, as it fits what is in use then.
func followHeap(percent int) {
	used := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	var collected func(*[16]byte)
	watch := func() { runtime.SetFinalizer(new([16]byte), collected) } // garbage at once
	collected = func(*[16]byte) {
		metrics.Read(used)
		if next := garbagePercent(used[0].Value.Uint64()); next != percent {
			percent = next
			debug.SetGCPercent(percent)
		}
		watch()
	}
	watch()
}

// memoryLimit is what the first file that there is says, in bytes; 0 is no limit.
func memoryLimit(files []string) int64 {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || n >= 1<<62 { // "max", or what version 1 says instead
			return 0
		}
		return n
	}
	return 0
}
