package knative

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

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
		for _, source := range []string{"hostPath", "csi", "ephemeral", "image"} {
			if volume[source] != nil && c.allows(newerFields[source]) {
				return true
			}
		}
		return false
	case !generic:
		return false
	case last == "privileged":
		return c.Since(privilegedFalse) && at(service, e.Field) == false
	case last == "terminationGracePeriodSeconds" && strings.Contains(e.Field, ".livenessProbe."): // Kubernetes has it for readiness probes neither
		return c.Since(probeGracePeriod)
	case last == "add" && c.rootBounded():
		added, _ := at(service, e.Field).([]any)
		return len(added) == 1 && added[0] == "NET_BIND_SERVICE"
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

// rootBounded tells whether secure-pod-defaults is AllowRootBounded, which the compiled-in
// Knative does not know.
func (c *Config) rootBounded() bool {
	return c.Since(allowRootBounded) && strings.EqualFold(c.raw[FeaturesConfig]["secure-pod-defaults"], "AllowRootBounded")
}

// refusedLater is what releases later than the compiled-in one refuse.
func (c *Config) refusedLater(service manifest.Object) (errs field.ErrorList) {
	pod := manifest.Map(service, "spec", "template", "spec")
	path := field.NewPath("spec", "template", "spec")
	serving := manifest.ServingContainer(pod)
	for _, list := range []string{"containers", "initContainers"} {
		for i, container := range manifest.Objects(pod, list) {
			at := path.Child(list).Index(i)
			sidecar := list == "containers" && i != serving && len(manifest.List(pod, "containers")) > 1
			if sidecar && container["startupProbe"] != nil && c.Since(startupValidation) && !c.Enabled(FlagMultiContainerProbing) {
				errs = append(errs, notSet(at.Child("startupProbe")))
			}
			for j, m := range manifest.Objects(container, "volumeMounts") {
				if how := manifest.Text(m, "mountPropagation"); how == "Bidirectional" && c.allows(newerFields["mountPropagation"]) {
					errs = append(errs, &field.Error{Type: field.ErrorTypeInvalid, Field: at.Child("volumeMounts").Index(j).Child("mountPropagation").String(),
						BadValue: field.OmitValueType{}, Detail: "mount propagation should be set to None or HostToContainer"})
				}
			}
		}
	}
	return errs
}

func notSet(path *field.Path) *field.Error {
	return &field.Error{Type: field.ErrorTypeInvalid, Field: path.String(), BadValue: field.OmitValueType{}, Detail: "must not set the field(s)"}
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
