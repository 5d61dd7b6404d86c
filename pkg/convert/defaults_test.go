package convert_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	kjson "sigs.k8s.io/json"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// defaulted is a Deployment as the API server hands it over: through its types, with the
// defaults of k8s.io/kubernetes pkg/apis/apps/v1 and pkg/apis/core/v1 (defaults.go of
// 1.37), and with what it and its clients write into the metadata and the status.
func defaulted(t *testing.T, o manifest.Object) manifest.Object {
	t.Helper()
	raw, err := json.Marshal(o)
	require.NoError(t, err)
	var d appsv1.Deployment
	require.NoError(t, kjson.UnmarshalCaseSensitivePreserveInts(raw, &d))
	setDefaults(&d)
	raw, err = json.Marshal(d)
	require.NoError(t, err)
	out, err := manifest.Decode(raw)
	require.NoError(t, err)
	metadata := manifest.Map(out, "metadata")
	metadata["uid"], metadata["resourceVersion"], metadata["generation"] = "4f0f", "1234", int64(3)
	metadata["creationTimestamp"] = "2026-10-01T09:00:00Z"
	metadata["managedFields"] = []any{manifest.Object{"manager": "kubectl", "operation": "Apply"}}
	if metadata["annotations"] == nil {
		metadata["annotations"] = manifest.Object{}
	}
	annotations := manifest.Map(metadata, "annotations")
	annotations["deployment.kubernetes.io/revision"] = "3"
	annotations["kubectl.kubernetes.io/last-applied-configuration"] = `{"apiVersion":"apps/v1"}`
	manifest.Map(out, "spec", "template", "metadata")["creationTimestamp"] = nil
	out["status"] = manifest.Object{"observedGeneration": int64(3), "replicas": int64(1)}
	return out
}

func setDefaults(d *appsv1.Deployment) {
	spec := &d.Spec
	set(&spec.Replicas, 1)
	set(&spec.RevisionHistoryLimit, 10)
	set(&spec.ProgressDeadlineSeconds, 600)
	fill(&spec.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
	if spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType {
		set(&spec.Strategy.RollingUpdate, appsv1.RollingUpdateDeployment{})
		set(&spec.Strategy.RollingUpdate.MaxSurge, intstr.FromString("25%"))
		set(&spec.Strategy.RollingUpdate.MaxUnavailable, intstr.FromString("25%"))
	}
	pod := &spec.Template.Spec
	fill(&pod.ServiceAccountName, pod.DeprecatedServiceAccount)
	pod.DeprecatedServiceAccount = pod.ServiceAccountName
	fill(&pod.DNSPolicy, corev1.DNSClusterFirst)
	fill(&pod.RestartPolicy, corev1.RestartPolicyAlways)
	fill(&pod.SchedulerName, corev1.DefaultSchedulerName)
	set(&pod.SecurityContext, corev1.PodSecurityContext{})
	set(&pod.TerminationGracePeriodSeconds, 30)
	for i := range pod.Volumes {
		defaultVolume(&pod.Volumes[i].VolumeSource)
	}
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			defaultContainer(&containers[i], pod.HostNetwork)
		}
	}
}

func defaultContainer(c *corev1.Container, hostNetwork bool) {
	fill(&c.ImagePullPolicy, defaultPolicy(c.Image))
	fill(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	fill(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for i := range c.Ports {
		fill(&c.Ports[i].Protocol, corev1.ProtocolTCP)
		if hostNetwork {
			fill(&c.Ports[i].HostPort, c.Ports[i].ContainerPort)
		}
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil && from.FieldRef != nil {
			fill(&from.FieldRef.APIVersion, "v1")
		}
	}
	for _, list := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
		for name, q := range list {
			q.RoundUp(resource.Milli)
			list[name] = q
		}
	}
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p == nil {
			continue
		}
		fill(&p.TimeoutSeconds, 1)
		fill(&p.PeriodSeconds, 10)
		fill(&p.SuccessThreshold, 1)
		fill(&p.FailureThreshold, 3)
		if p.HTTPGet != nil {
			fill(&p.HTTPGet.Path, "/")
			fill(&p.HTTPGet.Scheme, corev1.URISchemeHTTP)
		}
		if p.GRPC != nil {
			set(&p.GRPC.Service, "")
		}
	}
}

func defaultVolume(v *corev1.VolumeSource) {
	const mode = 420
	if *v == (corev1.VolumeSource{}) {
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
	if v.HostPath != nil {
		set(&v.HostPath.Type, corev1.HostPathUnset)
	}
	if v.Secret != nil {
		set(&v.Secret.DefaultMode, mode)
	}
	if v.ConfigMap != nil {
		set(&v.ConfigMap.DefaultMode, mode)
	}
	if v.DownwardAPI != nil {
		set(&v.DownwardAPI.DefaultMode, mode)
		defaultItems(v.DownwardAPI.Items)
	}
	if v.Image != nil {
		fill(&v.Image.PullPolicy, defaultPolicy(v.Image.Reference))
	}
	if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
		set(&v.Ephemeral.VolumeClaimTemplate.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	}
	if v.Projected == nil {
		return
	}
	set(&v.Projected.DefaultMode, mode)
	for i := range v.Projected.Sources {
		s := &v.Projected.Sources[i]
		if s.DownwardAPI != nil {
			defaultItems(s.DownwardAPI.Items)
		}
		if s.ServiceAccountToken != nil {
			set(&s.ServiceAccountToken.ExpirationSeconds, 3600)
		}
	}
}

func defaultItems(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		if items[i].FieldRef != nil {
			fill(&items[i].FieldRef.APIVersion, "v1")
		}
	}
}

// defaultPolicy is the API server's choice: Always for the tag latest, stated or not.
func defaultPolicy(image string) corev1.PullPolicy {
	last := image[strings.LastIndex(image, "/")+1:]
	if !strings.ContainsAny(last, ":@") || strings.HasSuffix(last, ":latest") {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

// set gives an optional field its default.
func set[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// fill gives a field its default that is the zero value of its type.
func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
