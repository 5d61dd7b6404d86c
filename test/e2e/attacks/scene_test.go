package attacks

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/budget/ledger"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// knative is whom Knative's controllers write as, its autoscaler too.
const knative = "system:serviceaccount:knative-serving:controller"

var (
	services              = harness.Services
	revisions             = harness.Revisions
	routes                = harness.Routes
	autoscalers           = harness.Autoscalers
	deployments           = harness.Deployments
	podResource           = harness.PodResource
	replicaSets           = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	jobs                  = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	cronJobs              = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}
	daemonSets            = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}
	horizontalAutoscalers = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	limitRanges           = schema.GroupVersionResource{Version: "v1", Resource: "limitranges"}
	accounts              = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
)

// scene is what one test attacks: a namespace under a budget of its own, and a tenant who may
// write everything in it.
type scene struct {
	*testing.T
	namespace string
	// beside is another namespace under the same budget.
	beside string
	budget string
	// max of the budget. One GPU of it is for recounts.
	max    int64
	tenant dynamic.Interface
	probes atomic.Int64
}

// newScene makes a scene once nobody disturbs any more, with a budget of max GPUs, and one more for
// recounts. spec are further lines of its spec.
func newScene(t *testing.T, max int64, spec string) *scene {
	t.Helper()
	takePlace(t)
	s := newNamespaces(t)
	s.limit(max, spec)
	return s
}

// places are how many scenes there are at the same time: much of their time goes by in waiting for
// the ledger.
var places = make(chan struct{}, 12)

// takePlace waits until nobody disturbs any more, and for a place.
func takePlace(t *testing.T) {
	disturbances.Wait()
	places <- struct{}{}
	t.Cleanup(func() { <-places })
}

// newNamespaces makes a scene without its budget.
func newNamespaces(t *testing.T) *scene {
	t.Helper()
	s := &scene{T: t, namespace: harness.NewNamespace(t, client), beside: harness.NewNamespace(t, client)}
	s.budget = "budget-" + s.namespace
	for _, namespace := range []string{s.namespace, s.beside} {
		require.NoError(t, write(func() error {
			_, err := client.Resource(harness.Namespaces).Patch(t.Context(), namespace, types.MergePatchType,
				[]byte(`{"metadata":{"labels":{"e2e.kubetorch.com/team":"`+s.namespace+`"}}}`), metav1.PatchOptions{})
			return err
		}))
	}
	user := "tenant-" + s.namespace
	s.tenant = as(t, user)
	s.allow(user)
	harness.Eventually(t, "rights of the tenant, and the account of his pods", func() bool {
		_, err := s.tenant.Resource(accounts).Namespace(s.namespace).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	t.Cleanup(s.forceAway)
	return s
}

// allow lets a user write everything in the namespace.
func (s *scene) allow(user string) {
	s.Helper()
	s.apply(client, fmt.Sprintf(`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: "%[1]s"},
		roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin},
		subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "%[1]s"}]}`, user))
}

// limit makes the budget.
func (s *scene) limit(max int64, spec string) {
	s.Helper()
	s.max = max + 1
	spec = fmt.Sprintf("  max: %d\n%s", s.max, spec)
	harness.NewBudget(s, client, s.budget, "{e2e.kubetorch.com/team: "+s.namespace+"}", spec)
}

// strict refuses what does not fit beside what it replaces.
const strict = "  rollout: Strict\n"

// as is a client that asks in the name of a user.
func as(t testing.TB, user string, groups ...string) dynamic.Interface {
	t.Helper()
	config := cluster.RESTConfig()
	config.WarningHandler = rest.NoWarnings{}
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	c, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	return c
}

// forceAway ends pods that take their time.
func (s *scene) forceAway() {
	now := int64(0)
	o := metav1.DeleteOptions{GracePeriodSeconds: &now}
	_ = client.Resource(podResource).Namespace(s.namespace).DeleteCollection(context.Background(), o, metav1.ListOptions{})
}

// write asks again what the API server had no time for.
func write(try func() error) error { return harness.Answered(try) }

func resourceOf(u *unstructured.Unstructured) schema.GroupVersionResource {
	resource, _ := meta.UnsafeGuessKindToResource(u.GroupVersionKind())
	return resource
}

// apply makes an object in somebody's name, and needs it to be admitted.
func (s *scene) apply(c dynamic.Interface, text string) *unstructured.Unstructured {
	s.Helper()
	made, err := s.tryIn(c, s.namespace, text)
	require.NoError(s, err)
	return made
}

// try makes an object in the tenant's name.
func (s *scene) try(text string) error {
	s.Helper()
	_, err := s.tryIn(s.tenant, s.namespace, text)
	return err
}

func (s *scene) tryIn(c dynamic.Interface, namespace, text string) (made *unstructured.Unstructured, err error) {
	s.Helper()
	u := harness.Object(s, text)
	err = write(func() (err error) {
		made, err = c.Resource(resourceOf(u)).Namespace(namespace).Create(context.Background(), u, metav1.CreateOptions{})
		return err
	})
	return made, err
}

// patch merges a patch into an object, in the tenant's name.
func (s *scene) patch(resource schema.GroupVersionResource, name, merge string, subresources ...string) error {
	s.Helper()
	return s.patchAs(s.tenant, resource, name, merge, subresources...)
}

func (s *scene) patchAs(c dynamic.Interface, resource schema.GroupVersionResource, name, merge string,
	subresources ...string) error {
	s.Helper()
	body, err := yaml.YAMLToJSON([]byte(merge))
	require.NoError(s, err)
	return write(func() error {
		_, err := c.Resource(resource).Namespace(s.namespace).
			Patch(context.Background(), name, types.MergePatchType, body, metav1.PatchOptions{}, subresources...)
		return err
	})
}

// scale is a merge patch for the replicas, of an object or its scale.
func scale(replicas int) string { return fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas) }

func (s *scene) remove(resource schema.GroupVersionResource, name string) {
	s.Helper()
	background := metav1.DeletePropagationBackground // some kinds would leave their pods
	require.NoError(s, write(func() error {
		o := metav1.DeleteOptions{PropagationPolicy: &background}
		return s.tenant.Resource(resource).Namespace(s.namespace).Delete(context.Background(), name, o)
	}))
}

func (s *scene) get(resource schema.GroupVersionResource, name string) (*unstructured.Unstructured, error) {
	return harness.Read(func() (*unstructured.Unstructured, error) {
		return client.Resource(resource).Namespace(s.namespace).Get(context.Background(), name, metav1.GetOptions{})
	})
}

func (s *scene) exists(resource schema.GroupVersionResource, name string) bool {
	_, err := s.get(resource, name)
	return err == nil
}

// live is how many GPUs the pods of the tenant hold.
func (s *scene) live() int64 { return pods.Live(s, s.namespace) }

// awaitLive waits until the pods of the tenant hold so many GPUs.
func (s *scene) awaitLive(gpus int64) {
	s.Helper()
	harness.Await(s, fmt.Sprintf("%d GPUs in live pods", gpus), func() (bool, string) {
		now := s.live()
		return now == gpus, fmt.Sprintf("%d GPUs", now)
	})
}

// maybeLive gives controllers time to bring more GPUs into live pods than there were: some looks
// after the last change. It tells whether they did.
func (s *scene) maybeLive(before int64) bool {
	s.Helper()
	for range 30 {
		if s.live() > before {
			return true
		}
		pause()
	}
	return false
}

func (s *scene) status() *v1alpha1.GPUBudget {
	s.Helper()
	return harness.Budget(s, client, s.budget)
}

// awaitUsed waits until the ledger is at rest and holds just so much.
func (s *scene) awaitUsed(used int64) {
	s.Helper()
	harness.AwaitUsed(s, client, s.budget, used)
}

// recount waits until the ledger was settled with complete lists of what there is now. A claim in
// the other namespace that comes and goes is freed no earlier than what fell before it.
func (s *scene) recount() {
	s.Helper()
	name := s.newName()
	u := harness.Object(s, knativeService(name, 1, 1, ""))
	var refused error
	for last, same := "", 0; ; same++ { // too much may be counted for a while
		if refused = write(func() error {
			_, err := client.Resource(services).Namespace(s.beside).Create(context.Background(), u, metav1.CreateOptions{})
			return err
		}); refused == nil || same == harness.Patience/3 {
			break
		}
		if now := harness.Held(s.status()); now != last {
			last, same = now, 0
		}
		pause()
	}
	if refused != nil {
		s.witnessed(0)
		require.NoError(s, refused, "a claim that fits")
	}
	before := int64(-1)
	harness.Await(s, "a claim to be counted", func() (bool, string) {
		b := s.status()
		used, inFlight := inNamespace(b, s.beside)
		before = used
		return used >= 1 && !inFlight, harness.Held(b)
	})
	require.NoError(s, write(func() error {
		return client.Resource(services).Namespace(s.beside).Delete(context.Background(), name, metav1.DeleteOptions{})
	}))
	harness.Await(s, "a claim to be freed", func() (bool, string) {
		b := s.status()
		used, _ := inNamespace(b, s.beside)
		return used == before-1, harness.Held(b)
	})
}

// newName is a name that this scene has not used yet.
func (s *scene) newName() string { return fmt.Sprintf("probe-%d", s.probes.Add(1)) }

// inNamespace is what a ledger has settled in a namespace, and whether anything is in flight there.
func inNamespace(b *v1alpha1.GPUBudget, namespace string) (used int64, inFlight bool) {
	for _, n := range b.Status.Namespaces {
		if n.Name == namespace {
			used = n.Used
		}
	}
	flying, err := ledger.InFlight(&b.Status)
	if err != nil {
		return used, true
	}
	_, own := flying.Reservations(namespace)
	return used, own > 0
}

// holds asserts the promise with both witnesses, after a recount: the GPUs of live pods were never
// more than the budget and room beyond it, and the ledger holds no less than they do.
func (s *scene) holds(room int64) {
	s.Helper()
	s.recount()
	s.witnessed(room)
}

// witnessed asserts it of a ledger that was settled.
func (s *scene) witnessed(room int64) {
	s.Helper()
	b := s.status()
	live, most := s.live(), pods.Most(s, s.namespace)
	s.Logf("ledger: used %d, reserved %d, overlap %d of %d; live pods: %d GPUs, %d at most",
		b.Status.Used, b.Status.Reserved, b.Status.Overlap, s.max, live, most)
	assert.LessOrEqual(s, most, s.max+room, "GPUs of live pods at any time")
	held := b.Status.Used + b.Status.Reserved + b.Status.Overlap
	assert.GreaterOrEqual(s, held, live, "what the ledger holds, and live pods")
}

// rests asserts it of a ledger that has nothing under way. What its controllers are yet to make may
// leave no room for a recount.
func (s *scene) rests() {
	s.Helper()
	harness.Await(s, "a ledger with nothing under way", func() (bool, string) {
		b := s.status()
		return len(b.Status.Reservations)+len(b.Status.InFlight) == 0, harness.Held(b)
	})
	s.witnessed(0)
}

// refused asserts that a budget refused something.
func (s *scene) refused(err error, what string) {
	s.Helper()
	assert.ErrorContains(s, err, "in budget "+s.budget, what)
}

// idle has a revision scaled to 0, as Knative's autoscaler does it.
func (s *scene) idle(revision string) {
	s.Helper()
	var conditions []string
	states := map[string]string{"Active": "False", "Ready": "False", "SKSReady": "True", "ScaleTargetInitialized": "True"}
	for kind, status := range states {
		conditions = append(conditions, fmt.Sprintf(
			`{"type":%q,"status":%q,"reason":"NoTraffic","lastTransitionTime":"2026-01-01T00:00:00Z"}`, kind, status))
	}
	status := `{"status":{"desiredScale":0,"actualScale":0,"conditions":[` + strings.Join(conditions, ",") + `]}}`
	require.NoError(s, s.patchAs(client, autoscalers, revision, status, "status"))
	require.NoError(s, s.autoscale(revision, 0))
}

// autoscale scales a revision as Knative's autoscaler does.
func (s *scene) autoscale(revision string, pods int) error {
	s.Helper()
	autoscaler := as(s, knative, "system:serviceaccounts", "system:serviceaccounts:knative-serving")
	return s.patchAs(autoscaler, deployments, revision+"-deployment", scale(pods))
}

func (s *scene) makeReady(name string) {
	s.Helper()
	require.NoError(s, cluster.MakeReady(s.Context(), s.namespace, name))
}
