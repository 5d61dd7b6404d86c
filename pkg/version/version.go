// Package version says what this binary is.
package version

import (
	"runtime"
	"runtime/debug"
)

// KnativeAPI is the Knative API that the webhook speaks, and the releases whose
// rules it knows.
const KnativeAPI = "serving.knative.dev/v1 (rules of Knative 1.15-1.24)"

// Set by release builds: -ldflags "-X github.com/kubetorch/webhook/pkg/version.version=v1.2.3".
var (
	version string
	commit  string
)

// Info is what is known of the build.
type Info struct {
	Version, Commit, Go string
}

// Get gives the linker's values, else those that the Go toolchain recorded.
func Get() Info {
	info := Info{Version: version, Commit: commit, Go: runtime.Version()}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	settings := map[string]string{}
	for _, s := range build.Settings {
		settings[s.Key] = s.Value
	}
	if info.Version == "" {
		info.Version = build.Main.Version
	}
	if info.Version == "" || info.Version == "(devel)" {
		info.Version = "devel"
	}
	if info.Commit == "" {
		info.Commit = settings["vcs.revision"]
		if info.Commit != "" && settings["vcs.modified"] == "true" {
			info.Commit += "-dirty"
		}
	}
	if info.Commit == "" {
		info.Commit = "unknown"
	}
	return info
}
