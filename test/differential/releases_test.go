package differential

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
)

// releases are those whose code is asked, each in its last version that the module proxy has
// with all that it requires.
var releases = []struct{ name, version string }{
	{"1.15", "v0.42.2"}, {"1.16", "v0.43.3"}, {"1.17", "v0.44.0"}, {"1.18", "v0.45.0"}, {"1.19", "v0.46.0"},
	{"1.20", "v0.47.0"}, {"1.21", "v0.48.2"}, {"1.22", "v0.49.1"}, {"1.23", "v0.50.0"},
}

// recordedCases is how many cases are drawn.
const recordedCases = 2500

// recordedVerdicts is what each release's own code says of each case; see record_test.go.
const recordedVerdicts = "testdata/releases.jsonl.gz"

// releaseVerdicts is a case, and the words of each release that refuses it. One that is not
// among them takes it.
type releaseVerdicts struct {
	Config  map[string]map[string]string `json:"config"`
	Service json.RawMessage              `json:"service"`
	Refused map[string]string            `json:"refused,omitempty"`
}

// stricterThanReleases is the whole list of what a release takes of the recorded cases and this
// project refuses in a cluster of it.
var stricterThanReleases = []category{
	stricterThanKnative("startup probe on a named port", `a startup probe on a named one never succeeds`,
		"Knative renames the port and leaves the probe alone."),
	stricterThanKnative("probe without a port", `Probe\.(httpGet|tcpSocket|grpc)\.port: Required value: Knative fills no port in`,
		"Kubernetes refuses the pod, after Knative accepted the Service."),
	stricterThanKnative("startup probe of no handler, or of two", `startupProbe: (Required value: a startup probe needs one|Invalid value: ".*": a probe has one of these)`,
		"Kubernetes refuses the pod, after releases before 1.23 accepted the Service."),
	stricterThanKnative("success more than once", `Probe\.successThreshold: Invalid value: \d+: must be 1`,
		"Kubernetes refuses the pod, after Knative accepted the Service."),
	stricterThanKnative("readiness with a grace period", `readinessProbe\.terminationGracePeriodSeconds: Invalid value: must not set`,
		"Kubernetes refuses the pod, after releases from 1.21 on accepted the Service."),
	stricterThanKnative("readiness of a sidecar by no number", `readinessProbe\S*: Invalid value: .*Knative makes no Revision with it`,
		"Knative takes the Service, and its controller fails at the Revision."),
	stricterThanKnative("what the CRD drops", `volumes\[\d+\]\.image: Invalid value: must not set .* 1\.19 and later|volumeMounts\[\d+\]\.recursiveReadOnly: Invalid value: must not set`,
		"Older releases do not know the field: the API server drops it, and what the author asks for with it."),
}

// TestEachReleaseAgreesWithUs holds the expansion in a cluster of each release against what that
// release's own code said: nothing that it refuses is taken, and what it takes is refused for a
// listed reason only.
func TestEachReleaseAgreesWithUs(t *testing.T) {
	cases := readVerdicts(t)
	require.Len(t, cases, recordedCases)
	faults, counts, taken := map[string]int{}, map[string]int{}, map[string]int{}
	fault := func(c releaseVerdicts, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if faults[kindOf(text)]++; faults[kindOf(text)] == 1 {
			t.Errorf("%s\n  %v\n  %s", text, c.Config, c.Service)
		}
	}
	for _, c := range cases {
		config, err := knative.ParseConfig(c.Config)
		require.NoError(t, err)
		for _, release := range releases {
			number, err := knative.ParseRelease(release.name)
			require.NoError(t, err)
			o, err := manifest.Decode(c.Service)
			require.NoError(t, err)
			result := expand.Service(expand.Input{Object: o, Policies: policy.Selection{}, Knative: config.WithRelease(number)})
			words, refuses := c.Refused[release.name]
			switch {
			case refuses && !refused(result):
				fault(c, "Knative %s refuses what is taken here: %s", release.name, words)
			case refuses:
				counts["refused by both"]++
			case !refused(result):
				taken[release.name]++
			default:
				for _, err := range refusals(result) {
					name := categoryOf(err, stricterThanReleases)
					counts[name]++
					if name == "" {
						fault(c, "Knative %s takes what is refused here, for no listed reason: %v", release.name, err)
					}
				}
			}
		}
	}
	report(t, counts, taken, faults)
	for _, release := range releases {
		assert.Greater(t, taken[release.name], 400, "so many are taken by both in %s", release.name)
	}
	for _, c := range stricterThanReleases {
		assert.Positive(t, counts[c.name], "category %q never occurs: the list is stale", c.name)
	}
}

// TestReleasesDiffer: a record that says the same of all releases would show nothing.
func TestReleasesDiffer(t *testing.T) {
	for i, release := range releases[1:] {
		before := releases[i].name
		differ := slices.ContainsFunc(readVerdicts(t), func(c releaseVerdicts) bool {
			_, now := c.Refused[release.name]
			_, then := c.Refused[before]
			return now != then
		})
		assert.Equal(t, !slices.Contains([]string{"1.22"}, release.name), differ, "%s and %s", before, release.name)
	}
}

func readVerdicts(t *testing.T) (all []releaseVerdicts) {
	t.Helper()
	file, err := os.Open(recordedVerdicts)
	require.NoError(t, err)
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	require.NoError(t, err)
	lines := bufio.NewScanner(unpacked)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var c releaseVerdicts
		require.NoError(t, json.Unmarshal(lines.Bytes(), &c))
		all = append(all, c)
	}
	require.NoError(t, lines.Err())
	return all
}

// words are the texts of refusals that were recorded, most frequent first, for whoever looks at
// a new record.
func words(cases []releaseVerdicts) string {
	counts := map[string]int{}
	for _, c := range cases {
		for _, text := range c.Refused {
			counts[kindOf(text)]++
		}
	}
	texts := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return counts[b] - counts[a] })
	return strings.Join(texts[:min(len(texts), 40)], "\n")
}
