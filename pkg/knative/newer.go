package knative

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	knconfig "knative.dev/serving/pkg/apis/config"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// newer is a field that the compiled-in Knative refuses always and later ones allow behind a
// flag.
type newer struct {
	flag  string
	since int
	// exactly is whether the flag has to be enabled; allowed does for the others.
	exactly bool
}

var newerFields = map[string]newer{
	"hostNetwork":      {flag: "kubernetes.podspec-hostnetwork", since: hostNamespaces},
	"hostPID":          {flag: "kubernetes.podspec-hostpid", since: hostNamespaces},
	"hostIPC":          {flag: "kubernetes.podspec-hostipc", since: hostNamespaces},
	"hostPath":         {flag: "kubernetes.podspec-volumes-hostpath", since: hostPathVolumes, exactly: true},
	"csi":              {flag: "kubernetes.podspec-volumes-csi", since: csiVolumes, exactly: true},
	"mountPropagation": {flag: "kubernetes.podspec-volumes-mount-propagation", since: csiVolumes, exactly: true},
	"image":            {flag: "kubernetes.podspec-volumes-image", since: imageVolumes, exactly: true},
	"ephemeral":        {flag: "kubernetes.podspec-volumes-ephemeral", since: ephemeralVolumes, exactly: true},
}

// allows tells whether the cluster's Knative takes a field.
func (c *Config) allows(n newer) bool {
	if !c.Since(n.since) {
		return false
	}
	return c.Enabled(n.flag) || (!n.exactly && c.Feature(n.flag))
}

// whoEnables says who can enable a flag, or which release has it.
func (c *Config) whoEnables(flag string) string {
	for _, n := range newerFields {
		if n.flag == flag && !c.Since(n.since) {
			return fmt.Sprintf("Knative 1.%d and later can allow it by %s, and this is %s", n.since, flag, c.Release())
		}
	}
	return WhoEnables(flag)
}

// taken leaves out refusals of the compiled-in Knative that the cluster's does not make.
func (c *Config) taken(errs field.ErrorList, service manifest.Object) field.ErrorList {
	return slices.DeleteFunc(errs, func(e *field.Error) bool { return c.takes(e, service) })
}

func (c *Config) takes(e *field.Error, service manifest.Object) bool {
	last := e.Field[strings.LastIndex(e.Field, ".")+1:]
	generic := strings.HasPrefix(e.Detail, "must not set the field(s)")
	switch {
	case strings.HasPrefix(e.Detail, "expected exactly one, got neither") && strings.Contains(e.Field, "volumes["):
		volume, _ := at(service, e.Field[:strings.Index(e.Field, "]")+1]).(manifest.Object)
		return len(c.newerSources(volume)) > 0
	case !generic:
		return false
	case last == "privileged":
		return c.Since(privilegedFalse) && at(service, e.Field) == false
	case last == "terminationGracePeriodSeconds" && strings.Contains(e.Field, ".livenessProbe."): // Kubernetes has it for readiness probes neither
		return c.Since(probeGracePeriod)
	}
	n, ok := newerFields[last]
	return ok && c.allows(n)
}

// whichTakes says which release takes a field that this one does not; empty where none does.
func (c *Config) whichTakes(e *field.Error, service manifest.Object) string {
	since := 0
	switch last := e.Field[strings.LastIndex(e.Field, ".")+1:]; {
	case last == "privileged" && at(service, e.Field) == false:
		since = privilegedFalse
	case last == "terminationGracePeriodSeconds" && strings.Contains(e.Field, ".livenessProbe."):
		since = probeGracePeriod
	}
	if since == 0 || c.Since(since) {
		return ""
	}
	return fmt.Sprintf("Knative 1.%d and later take it, and this is %s; remove it", since, c.Release())
}

// validated are the features by which the compiled-in Knative validates as the cluster's. It
// does not know AllowRootBounded of secure-pod-defaults, which allows what enabled does.
func (c *Config) validated() *knconfig.Features {
	if !c.Since(allowRootBounded) || !strings.EqualFold(c.raw[FeaturesConfig]["secure-pod-defaults"], "AllowRootBounded") {
		return c.features
	}
	copied := *c.features
	copied.SecurePodDefaults = knconfig.Enabled
	return &copied
}

// at is the value at the path of an error; nil where there is none.
func at(o manifest.Object, path string) any {
	var v any = o
	for step := range strings.SplitSeq(path, ".") {
		name, rest, _ := strings.Cut(step, "[")
		m, ok := v.(manifest.Object)
		if !ok {
			return nil
		}
		v = m[name]
		for rest != "" {
			var index string
			index, rest, _ = strings.Cut(rest, "]")
			rest = strings.TrimPrefix(rest, "[")
			list, ok := v.([]any)
			n, err := strconv.Atoi(index)
			if !ok || err != nil || n < 0 || n >= len(list) {
				return nil
			}
			v = list[n]
		}
	}
	return v
}
