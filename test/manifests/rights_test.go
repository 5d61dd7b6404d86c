package manifests

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/kubetorch/webhook/pkg/deployments"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/workload"
)

// TestRightsCoverWhatIsRead looks for each read and write of the code in the rules.
func TestRightsCoverWhatIsRead(t *testing.T) {
	o := defaults(t)
	var cluster rbacv1.ClusterRole
	one(t, "ClusterRole", "kubetorch-webhook", &cluster)
	var secrets rbacv1.Role
	one(t, "Role", "kubetorch-webhook-certificates", &secrets)
	assert.Equal(t, o.Namespace, secrets.Namespace)

	informer, watch := []string{"list", "watch"}, []string{"get", "list", "watch"}
	var operators []rbacv1.PolicyRule
	groups, kinds := operated("", func(workload.OperatorKind) bool { return true })
	for _, group := range groups {
		operators = append(operators, rbacv1.PolicyRule{APIGroups: []string{group}, Resources: kinds[group], Verbs: watch})
	}
	assert.ElementsMatch(t, append(operators, []rbacv1.PolicyRule{
		{APIGroups: []string{"policy.kubetorch.com"}, Resources: []string{"computepolicies"}, Verbs: informer},
		{APIGroups: []string{"resource.k8s.io"}, Resources: []string{"deviceclasses"}, Verbs: informer},
		{APIGroups: []string{"resource.k8s.io"}, Resources: []string{"resourceclaims", "resourceclaimtemplates"}, Verbs: informer},
		{APIGroups: []string{"policy.kubetorch.com"}, Resources: []string{"gpubudgets"}, Verbs: watch},
		{APIGroups: []string{"policy.kubetorch.com"}, Resources: []string{"computepolicies/status"}, Verbs: []string{"patch"}},
		{APIGroups: []string{"policy.kubetorch.com"}, Resources: []string{"gpubudgets/status"}, Verbs: []string{"update"}},
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: watch},
		{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"list"}},
		{APIGroups: []string{"serving.knative.dev"}, Resources: []string{"revisions"}, Verbs: watch},
		{APIGroups: []string{"serving.knative.dev"}, Resources: []string{"configurations", "routes"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{"autoscaling.internal.knative.dev"}, Resources: []string{"podautoscalers"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{"apps"}, Resources: []string{"replicasets", "statefulsets"}, Verbs: watch},
		{APIGroups: []string{"apps"}, Resources: []string{"daemonsets"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: watch},
		{APIGroups: []string{"batch"}, Resources: []string{"cronjobs"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"pods", "replicationcontrollers"}, Verbs: watch},
		{APIGroups: []string{"autoscaling"}, Resources: []string{"horizontalpodautoscalers"}, Verbs: informer},
		{APIGroups: []string{""}, Resources: []string{"limitranges"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: slices.Sorted(slices.Values(knative.ConfigMaps)), Verbs: informer},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{APIGroups: []string{"serving.knative.dev"}, Resources: []string{"services"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses", "networkpolicies"}, Verbs: []string{"list"}},
		{APIGroups: []string{"policy"}, Resources: []string{"poddisruptionbudgets"}, Verbs: []string{"list"}},
		{APIGroups: []string{"autoscaling.k8s.io"}, Resources: []string{"verticalpodautoscalers"}, Verbs: []string{"list"}},
		{APIGroups: []string{"keda.sh"}, Resources: []string{"scaledobjects"}, Verbs: []string{"list"}},
		{APIGroups: []string{"gateway.networking.k8s.io"}, Resources: []string{"httproutes", "grpcroutes"}, Verbs: []string{"list"}},
		{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, ResourceNames: []string{deployments.KnativeCRD}, Verbs: informer},
		{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
		{APIGroups: []string{"admissionregistration.k8s.io"}, ResourceNames: []string{o.Configuration},
			Resources: []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"},
			Verbs:     []string{"get", "list", "watch", "patch"}},
	}...), cluster.Rules)
	assert.Equal(t, []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{o.CASecret}, Verbs: []string{"get", "list", "watch", "update"}},
	}, secrets.Rules)
}
