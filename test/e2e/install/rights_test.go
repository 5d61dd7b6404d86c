package install

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/pkg/workload"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

const (
	lists    = "informers list where an API server cannot stream what there is, as before Kubernetes 1.34"
	again    = "read again after a conflict or a failure"
	children = "the owner of a child that somebody wrote by hand"
	bases    = "claims by the hundred stand outside of a budget's status"
)

// spare are rights that a run of this package may do without, and what they are for.
var spare = map[string]string{
	"list configmaps config-autoscaler":                                                   lists,
	"list configmaps config-defaults":                                                     lists,
	"list configmaps config-deployment":                                                   lists,
	"list configmaps config-features":                                                     lists,
	"list deviceclasses.resource.k8s.io":                                                  lists,
	"list secrets kubetorch-webhook-ca":                                                   lists,
	"list customresourcedefinitions.apiextensions.k8s.io services.serving.knative.dev":    lists,
	"list mutatingwebhookconfigurations.admissionregistration.k8s.io kubetorch-webhook":   lists,
	"list validatingwebhookconfigurations.admissionregistration.k8s.io kubetorch-webhook": lists,
	"get mutatingwebhookconfigurations.admissionregistration.k8s.io kubetorch-webhook":    again,
	"get validatingwebhookconfigurations.admissionregistration.k8s.io kubetorch-webhook":  again,
	"get secrets kubetorch-webhook-ca":                                                    again,
	"update secrets kubetorch-webhook-ca":                                                 "a CA is replaced before it ends, and when it was damaged",
	"get gpubudgets.policy.kubetorch.com":                                                 again,
	"get namespaces":                                                                      "a namespace that the informer has not seen yet",
	"get podautoscalers.autoscaling.internal.knative.dev":                                 children,
	"get routes.serving.knative.dev":                                                      children,
	"get replicasets.apps":                                                                children,
	"get statefulsets.apps":                                                               children,
	"get daemonsets.apps":                                                                 children,
	"get jobs.batch":                                                                      children,
	"get pods":                                                                            children,
	"get replicationcontrollers":                                                          children,
	"delete leases.coordination.k8s.io":                                                   "of replicas that have been gone for ten minutes",
	"get configmaps":                                                                      bases,
	"create configmaps":                                                                   bases,
	"delete configmaps":                                                                   bases,
	"patch events":                                                                        "an event that happens again is counted",
}

// right is one thing that a rule allows.
type right struct{ namespace, group, resource, verb, name string }

func (r right) String() string {
	text := r.verb + " " + r.resource
	if r.group != "" {
		text += "." + r.group
	}
	if r.name != "" {
		text += " " + r.name
	}
	return text
}

// ofOperator tells whether it is to read objects of an operator, which are read where they are served: here
// only JobSets are, whose lists and watches have to be seen.
func (r right) ofOperator() bool {
	return (r.group != jobSets.Group || r.verb == "get") && slices.Contains([]string{"get", "list", "watch"}, r.verb) &&
		slices.ContainsFunc(workload.BuiltInOperators().Kinds, func(k workload.OperatorKind) bool { return k.Group == r.group && k.Resource == r.resource })
}

// The webhook runs with the roles that are shipped and no others. The API server's audit log
// tells that it asked for nothing else, and that each right is used.
func TestItHasTheRightsThatItUsesAndNoOthers(t *testing.T) {
	installed(t)
	exercise(t)

	rights := granted(t)
	require.NotEmpty(t, rights)
	var names, idle, refused []string
	for _, r := range rights {
		names = append(names, r.String())
	}
	harness.Await(t, "the requests in the audit log", func() (bool, string) {
		requests, denied := asked(t)
		idle, refused = nil, denied
		for _, r := range rights {
			if spare[r.String()] == "" && !r.ofOperator() && !slices.ContainsFunc(requests, r.covers) {
				idle = append(idle, r.String())
			}
		}
		return len(idle) == 0, strings.Join(idle, "; ")
	})
	assert.Empty(t, idle, "granted and not used")
	assert.Empty(t, refused, "asked for without the right")
	assert.Subset(t, names, slices.Collect(maps.Keys(spare)), "explained and not granted")
}

// exercise has the webhook and its controllers do all that they do.
func exercise(t *testing.T) {
	ns := newNamespace(t)
	store(t, policies, "", fmt.Sprintf(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: ComputePolicy, metadata: {name: %s}, spec: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}, bounds: {maxScale: {max: 5}, gpusPerPod: {max: 4}}}}`, ns, ns))
	remove(t, policies, ns)
	store(t, budgets, "", fmt.Sprintf(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: %s}, spec: {max: 8, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}}}`, ns, ns))
	remove(t, budgets, ns)
	store(t, budgets, "", fmt.Sprintf(`{apiVersion: policy.kubetorch.com/v1alpha1, kind: GPUBudget, metadata: {name: %s-typed}, spec: {max: 8, gpuTypes: [NVIDIA-L4], namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}}}`, ns, ns))
	remove(t, budgets, ns+"-typed")
	awaitUsed(t, ns, 0)

	// A Service, what Knative makes of it, and traffic to one of its revisions by name.
	store(t, services, ns, service("inference", "", 1, 2))
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "inference"))
	made := get(t, services, ns, "inference")
	revision := nestedString(made, "status", "latestReadyRevisionName")
	change(t, services, ns, "inference", fmt.Sprintf(`{"spec":{"traffic":[{"revisionName":%q,"percent":100}]}}`, revision))
	awaitUsed(t, ns, 2)

	// A Deployment that becomes one, is changed, and goes back.
	store(t, deployments, ns, deployment("app", `labels: {kubetorch.com/autoscale: "true"}`))
	harness.Eventually(t, "the Knative Service", func() bool { return exists(services, ns, "app") })
	change(t, deployments, ns, "app", `{"metadata":{"annotations":{"autoscale.kubetorch.com/max-scale":"3"}}}`)
	harness.Eventually(t, "the adoption", func() bool {
		return nestedString(get(t, services, ns, "app"), "spec", "template", "metadata", "annotations", "autoscaling.knative.dev/max-scale") == "3"
	})
	require.NoError(t, cluster.MakeReady(t.Context(), ns, "app"))
	harness.Eventually(t, "the return", func() bool {
		return get(t, deployments, ns, "app").GetAnnotations()[handover.AdoptedAnnotation] != ""
	})
	change(t, deployments, ns, "app", `{"metadata":{"labels":{"kubetorch.com/autoscale":null}}}`)
	harness.Eventually(t, "the end of the Knative Service", func() bool { return !exists(services, ns, "app") })
}

// granted are the rights of the account, one by one.
func granted(t *testing.T) []right {
	t.Helper()
	var all []right
	add := func(namespace string, rules []rbacv1.PolicyRule) {
		for _, rule := range rules {
			names := rule.ResourceNames
			if len(names) == 0 {
				names = []string{""}
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						for _, name := range names {
							all = append(all, right{namespace, group, resource, verb, name})
						}
					}
				}
			}
		}
	}
	bound := func(subjects []rbacv1.Subject) bool {
		return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool { return s.Name == name && s.Namespace == namespace })
	}
	list, err := client.Resource(clusterRoleBindings).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for i := range list.Items {
		var binding rbacv1.ClusterRoleBinding
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &binding))
		if bound(binding.Subjects) {
			var role rbacv1.ClusterRole
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(get(t, clusterRoles, "", binding.RoleRef.Name).Object, &role))
			add("", role.Rules)
		}
	}
	list, err = client.Resource(roleBindings).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for i := range list.Items {
		var binding rbacv1.RoleBinding
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &binding))
		if bound(binding.Subjects) {
			var role rbacv1.Role
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(get(t, roles, binding.Namespace, binding.RoleRef.Name).Object, &role))
			add(binding.Namespace, role.Rules)
		}
	}
	return all
}

// covers tells whether a request that was made used the right.
func (r right) covers(asked right) bool {
	return r.group == asked.group && r.resource == asked.resource && r.verb == asked.verb &&
		(r.name == "" || r.name == asked.name) && (r.namespace == "" || r.namespace == asked.namespace)
}

// asked are the requests in the audit log, and those that were refused for want of a right.
func asked(t *testing.T) (all []right, refused []string) {
	t.Helper()
	file, err := os.Open(cluster.AuditLog())
	require.NoError(t, err)
	defer file.Close()
	seen := map[right]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Verb, RequestURI string
			ObjectRef        struct{ Resource, Subresource, Namespace, Name, APIGroup string }
			ResponseStatus   struct {
				Code    int
				Reason  string
				Message string
			}
			Annotations map[string]string
		}
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			continue // the last line, half written
		}
		o := event.ObjectRef
		if o.Subresource != "" {
			o.Resource += "/" + o.Subresource
		}
		if event.Annotations["authorization.k8s.io/decision"] == "forbid" {
			refused = append(refused, event.Verb+" "+event.RequestURI)
			continue
		}
		if r := (right{o.Namespace, o.APIGroup, o.Resource, event.Verb, o.Name}); !seen[r] {
			seen[r] = true
			all = append(all, r)
		}
	}
	require.NoError(t, lines.Err())
	return all, slices.Compact(refused)
}
