package knative

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"knative.dev/networking/pkg/apis/networking"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// refusals are what Knative refuses in a Service, each where it is. Knative gives what is
// wrong about init container i the path containers[i], and merges it with what is wrong
// about that container. So the two lists are judged one by one, beside a flawless other.
func (c *Config) refusals(ctx context.Context, s *servingv1.Service) field.ErrorList {
	if len(s.Spec.Template.Spec.InitContainers) == 0 {
		return c.ask(ctx, s)
	}
	rest, inits := s.DeepCopy(), s.DeepCopy()
	flawless(&rest.Spec.Template.Spec.PodSpec, rest.Spec.Template.Spec.InitContainers, nil)
	pod := &inits.Spec.Template.Spec.PodSpec
	flawless(pod, pod.Containers, pod.InitContainers)
	if len(pod.Containers) > 1 {
		pod.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 8080}} // one of several has to have one
	}
	errs := c.ask(ctx, rest)
	for _, e := range c.ask(ctx, inits) {
		if below, ok := strings.CutPrefix(e.Field, podPath+"containers["); ok {
			copied := *e
			copied.Field = podPath + "initContainers[" + below
			errs = append(errs, &copied)
		}
	}
	return errs
}

const podPath = "spec.template.spec."

// nested is a path that Knative has put before others by mistake, after two containers of
// one name.
var nested = regexp.MustCompile(`(?:containers\[\d+\]\.)+(containers\[\d+\])`)

// probeField is a field of a probe that Knative puts below the probe's handler by mistake.
var probeField = regexp.MustCompile(`(?:httpGet|tcpSocket|exec|grpc)\.(terminationGracePeriodSeconds)$`)

// portField is a field of the only port, for which Knative gives no index.
var portField = regexp.MustCompile(`\.ports\.(\w+)$`)

// ask asks Knative's own code.
func (c *Config) ask(ctx context.Context, s *servingv1.Service) (errs field.ErrorList) {
	refused := s.Validate(ctx).Filter(apis.ErrorLevel)
	if c.Since(networkAnnotations) {
		refused = refused.Also(networking.ValidateAnnotations(s.Spec.Template.Annotations).ViaField("spec.template.metadata.annotations"))
	}
	for _, e := range refused.WrappedErrors() {
		for _, x := range c.convert(e) {
			x.Field = portField.ReplaceAllString(probeField.ReplaceAllString(nested.ReplaceAllString(x.Field, "$1"), "$1"), ".ports[0].$1")
			errs = append(errs, x)
		}
	}
	return errs
}

// flawless replaces some containers of a pod, in place, by others about which nothing is
// wrong, and which mount the same volumes. Of their names those stay that others have too.
func flawless(pod *corev1.PodSpec, containers, others []corev1.Container) {
	for i := range containers {
		c := corev1.Container{Name: containers[i].Name, Image: "flawless"}
		taken := slices.ContainsFunc(containers[:i], func(o corev1.Container) bool { return o.Name == c.Name })
		if taken || !slices.ContainsFunc(others, func(o corev1.Container) bool { return o.Name == c.Name }) {
			c.Name = fmt.Sprintf("flawless/%d", i) // no container can be called so
		}
		mounted := map[string]bool{}
		for _, m := range containers[i].VolumeMounts {
			known := slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
			if known && !mounted[m.Name] {
				mounted[m.Name] = true
				c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: m.Name, ReadOnly: true, MountPath: fmt.Sprintf("/flawless/%d", len(mounted))})
			}
		}
		containers[i] = c
	}
}
