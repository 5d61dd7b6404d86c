package knative_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/knative"
)

func TestFlagsThatWouldLiftARefusal(t *testing.T) {
	const set = "must not set the field(s)"
	for _, c := range []struct{ path, detail, flag string }{
		{"spec.template.spec.nodeSelector", set, "kubernetes.podspec-nodeselector"},
		{"spec.template.spec.affinity", set, "kubernetes.podspec-affinity"},
		{"spec.template.spec.securityContext.runAsUser", set, "kubernetes.podspec-securitycontext"},
		{"spec.template.spec.containers[3].env[12].valueFrom.fieldRef", set, "kubernetes.podspec-fieldref"},
		{"spec.template.spec.containers[0].env[0].valueFrom.resourceFieldRef", set, "kubernetes.podspec-fieldref"},
		{"spec.template.spec.containers[0].securityContext.capabilities.add", set, "kubernetes.containerspec-addcapabilities"},
		{"spec.template.spec.containers[1].livenessProbe.httpGet", set, "multi-container-probing"},
		{"spec.template.spec.volumes[0].hostPath", set, "kubernetes.podspec-volumes-hostpath"},
		{"spec.template.spec.volumes[0].persistentVolumeClaim", set, "kubernetes.podspec-persistent-volume-claim"},
		{"spec.template.spec.hostNetwork", set, "kubernetes.podspec-hostnetwork"},
		{"spec.template.spec.initContainers", set, "kubernetes.podspec-init-containers"},
		{"spec", "pod spec support for init-containers is off, but found 2 init containers", "kubernetes.podspec-init-containers"},
		{"spec", "multi-container is off, but found 2 containers", "multi-container"},
		{"spec", "Persistent volume write support is disabled, but found persistent volume claim a that is not read-only", "kubernetes.podspec-persistent-volume-write"},
		{"spec.template.spec.hostname", set, ""},
		{"spec.template.spec.containers[0].securityContext.privileged", set, ""},
		{"spec.template.spec.nodeSelector", "invalid value: x", ""},
		{"metadata.annotations[affinity]", set, ""},
		{"", "", ""},
	} {
		assert.Equal(t, c.flag, knative.Flag(&field.Error{Type: field.ErrorTypeInvalid, Field: c.path, Detail: c.detail}), "%s: %s", c.path, c.detail)
	}
}

func TestTheUnrestrictedConfigurationFillsNothingIn(t *testing.T) {
	c := knative.Unrestricted()
	for _, flag := range []string{knative.FlagNodeSelector, knative.FlagTolerations, knative.FlagPriorityClassName, knative.FlagEmptyDir} {
		assert.True(t, c.Feature(flag), flag)
	}
	for _, name := range []string{"cpu", "memory", "ephemeral-storage"} {
		assert.Nil(t, c.ResourceDefault("requests", name))
		assert.Nil(t, c.ResourceDefault("limits", name))
	}
}
