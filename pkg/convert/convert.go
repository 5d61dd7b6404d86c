package convert

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/parameter"
	"github.com/kubetorch/webhook/pkg/workload"
)

var (
	metadataPath = field.NewPath("metadata")
	templatePath = field.NewPath("spec", "template")
	podPath      = templatePath.Child("spec")
)

// Surroundings are what a conversion depends on beside the Deployment itself.
type Surroundings struct {
	// Knative is the cluster's configuration, whose timeouts count; nil is Knative as it comes.
	Knative *knative.Config
	// Services are the core Services of the Deployment's namespace.
	Services []manifest.Object
}

// conversion is the state of one call of Service.
type conversion struct {
	deployment          manifest.Object // as its author wrote it
	around              Surroundings
	spec                manifest.Object // of the Deployment, in canonical form
	templateAnnotations manifest.Object
	out                 manifest.Object // the pod spec
	port                port
	keptPort            manifest.Object
	unjudged            map[string]bool // volumes that are refused
	notes               Notes
	errs                field.ErrorList
}

// Service makes the Knative Service that stands for a Deployment, as yet unexpanded. What
// it cannot hold is refused, all at once, and left out of the result, so that the rest can
// be judged too; the result is nil only for what is no Deployment at all.
func Service(deployment manifest.Object, around Surroundings) (service manifest.Object, notes Notes, errs field.ErrorList) {
	if around.Knative == nil {
		around.Knative = knative.Unrestricted()
	}
	c := &conversion{deployment: deployment, around: around, out: manifest.Object{}, unjudged: map[string]bool{}}
	metadata := c.metadata(deployment)
	if manifest.Map(deployment, "spec", "template", "spec") == nil {
		c.errs = append(c.errs, field.Required(podPath, "a Deployment needs a pod template"))
		return nil, c.notes, c.errs
	}
	spec, unreadable := canonical(deployment)
	c.errs = append(c.errs, unreadable...)
	if spec == nil {
		return nil, c.notes, c.errs
	}
	c.spec = spec
	template := c.template()
	c.deploymentFields()
	c.pod()
	for kind, values := range map[string]manifest.Object{"annotations": c.templateAnnotations, "labels": manifest.Map(template, "labels")} {
		if delete(template, kind); len(values) > 0 {
			template[kind] = values
		}
	}
	revision := manifest.Object{"spec": c.out}
	if len(template) > 0 {
		revision["metadata"] = template
	}
	return manifest.Object{
		"apiVersion": workload.MustResource(workload.ServiceKind).GroupVersion().String(),
		"kind":       workload.ServiceKind.Kind,
		"metadata":   metadata,
		"spec":       manifest.Object{"template": revision},
	}, c.notes, c.errs
}

// managed are annotations of a Deployment that others keep there about it.
func managed(key string) bool {
	return key == "kubectl.kubernetes.io/last-applied-configuration" || key == "argocd.argoproj.io/tracking-id" ||
		strings.HasPrefix(key, "deployment.kubernetes.io/")
}

// metadata are the name, labels and annotations of the Knative Service.
func (c *conversion) metadata(deployment manifest.Object) manifest.Object {
	out := manifest.Object{"name": c.name(deployment)}
	if namespace := manifest.Text(deployment, "metadata", "namespace"); namespace != "" {
		out["namespace"] = namespace
	}
	for _, kind := range []string{"labels", "annotations"} {
		values := maps.Clone(manifest.Map(deployment, "metadata", kind))
		maps.DeleteFunc(values, func(key string, _ any) bool { return kind == "annotations" && managed(key) })
		if len(values) > 0 {
			out[kind] = values
		}
	}
	return out
}

// ServiceName is the name of the Knative Service that a Deployment asks for: what service-name
// says, else its own. The controller of kubetorch's client gives a core Service to each of its
// Deployments, of its name, which the Knative Service would need: theirs get another one.
func ServiceName(deployment manifest.Object) string {
	c := &conversion{deployment: deployment}
	if name, _ := c.parameter(parameter.ServiceName); name != "" {
		return name
	}
	name := manifest.Text(deployment, "metadata", "name")
	if name != "" && byClient(deployment) {
		return label(name[:min(len(name), validation.DNS1035LabelMaxLength-len(clientSuffix))]) + clientSuffix
	}
	return name
}

const clientSuffix = "-kn"

// byClient tells whether kubetorch's client made a Deployment, by the labels that it gives.
func byClient(deployment manifest.Object) bool {
	labels := manifest.Map(deployment, "metadata", "labels")
	return labels["kubetorch.com/service"] != nil &&
		(labels["kubetorch.com/template"] != nil || labels["kubetorch.com/version"] != nil || labels["kubetorch.com/module"] != nil)
}

// name is that of the Knative Service. A value of service-name that is no name is refused with
// all other parameters.
func (c *conversion) name(deployment manifest.Object) string {
	key := parameter.ServiceName.Key()
	if name, path := c.parameter(parameter.ServiceName); name != "" {
		c.notes.move(metadataPath.Child("name"), path)
		return name
	}
	name := ServiceName(deployment)
	if name != manifest.Text(deployment, "metadata", "name") {
		c.warn("the Knative Service is called %s: kubetorch gives a core Service to its Deployment %s, and Knative needs one of its own; send requests to %s", name,
			manifest.Text(deployment, "metadata", "name"), name)
	}
	switch {
	case name == "":
		c.errs = append(c.errs, field.Required(metadataPath.Child("name"), "the Knative Service is named after the Deployment, which therefore needs a name of its own; generateName does not do"))
	case len(validation.IsDNS1035Label(name)) > 0:
		c.refuse(metadataPath.Child("name"), name, "the Knative Service is named after the Deployment and needs a DNS-1035 label (lower-case letters, digits and '-', starting with a letter, at most 63 characters); rename it, or set %s, to %s say",
			key, label(name))
		return label(name)
	}
	return name
}

// label is the DNS-1035 label most like a name.
func label(name string) string {
	plain := strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	if plain == "" || plain[0] < 'a' || plain[0] > 'z' {
		plain = "app-" + strings.TrimLeft(plain, "-")
	}
	return strings.TrimRight(plain[:min(len(plain), validation.DNS1035LabelMaxLength)], "-")
}

// copies are keys that mean nothing on a pod template: ours, which tools such as
// kustomize's commonAnnotations put there beside the object's own.
func copies(key string) bool {
	return parameter.IsKey(key) || key == parameter.AutoscaleLabel || key == parameter.ComputeLabel
}

// template is the metadata of the revision template.
func (c *conversion) template() manifest.Object {
	out := manifest.Object{}
	for _, kind := range []string{"labels", "annotations"} {
		values := manifest.Map(c.spec, "template", "metadata", kind)
		maps.DeleteFunc(values, func(key string, _ any) bool { return copies(key) || (kind == "annotations" && managed(key)) })
		if values == nil {
			values = manifest.Object{}
		}
		out[kind] = values
	}
	c.templateAnnotations = manifest.Map(out, "annotations")
	return out
}

// pod fills in the pod spec.
func (c *conversion) pod() {
	pod := manifest.Map(c.spec, "template", "spec")
	maps.Copy(c.out, c.apply(podLevel, pod, podPath))
	if name := manifest.Text(pod, "serviceAccount"); name != "" && c.out["serviceAccountName"] == nil {
		c.out["serviceAccountName"] = name
		c.notes.move(podPath.Child("serviceAccountName"), podPath.Child("serviceAccount"))
	}
	c.gracePeriod(pod)
	c.volumes(pod, c.out)
	containers := manifest.Objects(pod, "containers")
	c.servingPort(containers)
	c.out["containers"] = c.containers(containers, false, podPath.Child("containers"))
	if init := manifest.Objects(pod, "initContainers"); len(init) > 0 {
		c.out["initContainers"] = c.containers(init, true, podPath.Child("initContainers"))
	}
}

func (c *conversion) containers(containers []manifest.Object, init bool, at *field.Path) []any {
	out := make([]any, len(containers))
	for i, container := range containers {
		path := at.Index(i)
		kept := c.apply(containerLevel, container, path)
		serving := !init && i == c.port.container
		if serving && c.keptPort != nil {
			kept["ports"] = []any{c.keptPort}
		}
		c.mounts(kept, init, path)
		c.env(kept, serving, path)
		c.probes(kept, slices.DeleteFunc(manifest.Objects(container, "ports"), func(p manifest.Object) bool { return p["name"] == nil }), path)
		out[i] = kept
	}
	return out
}
