package knative

import (
	"fmt"
	"regexp"
	"strconv"
)

// Releases of Knative Serving, by their second number, whose rules are known. The code that
// is compiled in has those of the oldest.
const (
	OldestRelease = 15
	NewestRelease = 24
)

// Releases from which on Knative takes, or refuses, something more.
const (
	hostNamespaces     = 16 // hostNetwork, hostPID and hostIPC behind flags
	uniqueNames        = 16 // the CRD takes no name of an env or an image pull secret twice
	hostPathVolumes    = 17 // behind a flag
	privilegedFalse    = 17 // securityContext.privileged: false
	csiVolumes         = 18 // behind a flag, and so is mountPropagation
	imageVolumes       = 19 // behind a flag
	allowRootBounded   = 20 // secure-pod-defaults: AllowRootBounded
	probeGracePeriod   = 21 // terminationGracePeriodSeconds of probes
	networkAnnotations = 21 // unknown keys under networking.knative.dev/ on the template are refused
	customLivenessPort = 22 // with multi-container-probing
	ephemeralVolumes   = 23 // behind a flag
	startupValidation  = 23 // startup probes are validated, and those of sidecars are behind a flag
)

// Releases from which on Knative does something else with what it takes.
const (
	DelayOfReachable = 18 // scale-down-delay holds no pods of revisions without requests
	keptRoot         = 20 // secure-pod-defaults leaves runAsNonRoot: false
	StartOfReachable = 21 // initial-scale holds none of those that never had so many
)

// DelaysReachableOnly tells whether scale-down-delay is for revisions that requests reach.
func (c *Config) DelaysReachableOnly() bool { return c.Since(DelayOfReachable) }

// StartsReachableOnly tells whether initial-scale is for revisions that requests reach.
func (c *Config) StartsReachableOnly() bool { return c.Since(StartOfReachable) }

// KeepsRoot tells whether secure-pod-defaults leaves a container's runAsNonRoot: false alone.
func (c *Config) KeepsRoot() bool { return c.Since(keptRoot) }

// Since tells whether the cluster's Knative is of a release or a later one.
func (c *Config) Since(release int) bool { return c.release >= release }

// Release is the cluster's release of Knative, such as 1.24.
func (c *Config) Release() string { return "1." + strconv.Itoa(c.release) }

// WithRelease is the same configuration in a cluster of another release. One that is older
// or newer than those known counts as the nearest that is.
func (c *Config) WithRelease(release int) *Config {
	copied := *c
	copied.release = min(max(release, OldestRelease), NewestRelease)
	return &copied
}

// VersionLabel is the label by which Knative's own objects, its ConfigMaps among them, say
// which release they are of.
const VersionLabel = "app.kubernetes.io/version"

// OfRelease is the same configuration in a cluster of the release that the labels of one of
// Knative's objects name. Labels that name none change nothing.
func (c *Config) OfRelease(labels map[string]string) *Config {
	if n, err := ParseRelease(labels[VersionLabel]); err == nil {
		return c.WithRelease(n)
	}
	return c
}

var releaseText = regexp.MustCompile(`^v?1\.([0-9]{1,4})(?:\.[0-9]+)?(?:[-+].*)?$`)

// ParseRelease reads a version of Knative, such as 1.18, 1.18.2 or v1.18.2.
func ParseRelease(text string) (int, error) {
	m := releaseText.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("invalid value: %s; allowed: a version of Knative Serving from 1.%d to 1.%d", text, OldestRelease, NewestRelease)
	}
	n, err := strconv.Atoi(m[1])
	return n, err
}
