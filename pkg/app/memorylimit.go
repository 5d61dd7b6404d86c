package app

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryLimits are where a container finds its memory limit, by version of cgroups.
var memoryLimits = []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

// LimitMemory has Go's garbage collector work harder as memory comes near nine tenths of the container's
// limit. The environment variable GOMEMLIMIT wins.
func LimitMemory() {
	if limit := memoryLimit(memoryLimits); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit / 10 * 9)
	}
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
