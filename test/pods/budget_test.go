package pods

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// budgetMax is the number of GPUs of the budgets under test.
	budgetMax = 8
	// churnTime is how long workloads are changed under each.
	churnTime = 90 * time.Second
)

// TestGPUsOfRunningContainersStayWithinABudget changes workloads with GPUs all the time, under
// load, while the webhook's pods are restarted and killed. What counts is what the device
// plug-in saw: the programs that had GPUs at the same moment.
func TestGPUsOfRunningContainersStayWithinABudget(t *testing.T) {
	for _, rollout := range []string{"Strict", "Allow"} {
		t.Run(rollout, func(t *testing.T) {
			ns := newNamespace(t, "budget")
			name := "budget-" + strings.ToLower(rollout)
			createBudget(t, name, ns, rollout)
			eventually(t, "no GPU in use", patience, func() error {
				use, err := cluster.GPUUse(t.Context(), true)
				if err == nil && use.Now > 0 {
					err = fmt.Errorf("%d are", use.Now)
				}
				return err
			})
			c := &churn{t: t, namespace: ns, end: time.Now().Add(churnTime)}
			overlap := c.watchOverlap(name)
			c.run()
			use, err := cluster.GPUUse(t.Context(), false)
			require.NoError(t, err)
			most := overlap()

			allowed := budgetMax
			if rollout == "Allow" {
				allowed += most
			}
			assert.LessOrEqual(t, use.Most, allowed, "GPUs in use at the same time")
			assert.Empty(t, use.Twice, "GPUs that two programs used")
			assert.Empty(t, c.unexpected)
			assert.GreaterOrEqual(t, use.Most, budgetMax/2, "the budget was not nearly used")
			assert.Positive(t, c.refused, "nothing was refused")
			assert.Greater(t, c.admitted, 20, "hardly anything was admitted")
			record(t, budgetTable, []string{
				fmt.Sprintf("`max: %d`, `rollout: %s`", budgetMax, rollout),
				fmt.Sprintf("%.0f s: Knative Services under load, Deployments, updates, scaling, "+
					"deletions, of pods that take 2 to 20 s to end; "+
					"%d kills and %d rolling restarts of the webhook", churnTime.Seconds(), c.kills, c.restarts),
				fmt.Sprint(use.Most), fmt.Sprint(most), fmt.Sprint(use.Containers),
				fmt.Sprintf("%d, %d, %d", c.admitted, c.refused, c.unanswered),
			})

			kubectl(t, "", "delete", "namespace", ns, "--wait=false")
			eventually(t, "the return of all GPUs", patience, func() error {
				use, err := cluster.GPUUse(t.Context(), false)
				if err != nil {
					return err
				}
				o, err := client.Resource(budgets).Get(t.Context(), name, metav1.GetOptions{})
				if err != nil {
					return err
				}
				used, _, _ := unstructured.NestedInt64(o.Object, "status", "used")
				reserved, _, _ := unstructured.NestedInt64(o.Object, "status", "reserved")
				if use.Now > 0 || used > 0 || reserved > 0 {
					return fmt.Errorf("%d are in use, the budget says %d used and %d reserved", use.Now, used, reserved)
				}
				return nil
			})
		})
	}
}

// createBudget makes a budget of one namespace, and waits until it has counted.
func createBudget(t *testing.T, name, namespace, rollout string) {
	t.Helper()
	_, err := client.Resource(budgets).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "policy.kubetorch.com/v1alpha1", "kind": "GPUBudget", "metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"max": int64(budgetMax), "rollout": rollout,
			"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": namespace}},
		},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = client.Resource(budgets).Delete(ctx, name, metav1.DeleteOptions{})
	})
	awaitReadyBudget(t, name)
}

func awaitReadyBudget(t *testing.T, name string) {
	t.Helper()
	eventually(t, "the count of budget "+name, patience, func() error {
		o, err := client.Resource(budgets).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if status, reason, message := condition(o, "Counted"); status != "True" {
			return fmt.Errorf("Counted is %q: %s %s", status, reason, message)
		}
		return nil
	})
}

// churn changes workloads until its end.
type churn struct {
	t         *testing.T
	namespace string
	end       time.Time

	mu                            sync.Mutex
	admitted, refused, unanswered int
	kills, restarts               int
	unexpected                    []string
}

func (c *churn) over() bool { return !time.Now().Before(c.end) || c.t.Context().Err() != nil }

func (c *churn) run() {
	var actors sync.WaitGroup
	for i := range 3 {
		actors.Go(func() { c.actor(uint64(i), fmt.Sprintf("service-%d", i), c.changeService) })
		actors.Go(func() { c.actor(uint64(10+i), fmt.Sprintf("deployment-%d", i), c.changeDeployment) })
		actors.Go(func() {
			l, to := newLoad(), throughIngress(c.namespace, fmt.Sprintf("service-%d", i), 500*time.Millisecond)
			for !c.over() {
				l.concurrent(c.t.Context(), to, 8, forTime(time.Second))
			}
		})
	}
	actors.Go(c.disturb)
	actors.Wait()
}

// actor changes one workload again and again.
func (c *churn) actor(seed uint64, name string, change func(*rand.Rand, string) error) {
	r := rand.New(rand.NewPCG(seed, 22))
	for !c.over() {
		c.judge(change(r, name))
		time.Sleep(time.Duration(300+r.IntN(1500)) * time.Millisecond)
	}
}

// judge notes what came of a change.
func (c *churn) judge(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.admitted++
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsTooManyRequests(err):
		c.refused++
	case apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
	case isLate(err): // the webhook's pods are being killed
		c.unanswered++
	default:
		c.unexpected = append(c.unexpected, err.Error())
	}
}

// endDelays are how long pods take to end, at random: some nearly as long as they may.
var endDelays = []string{"2s", "5s", "20s"}

func churnEnv(r *rand.Rand) map[string]string {
	return map[string]string{"END_DELAY": endDelays[r.IntN(len(endDelays))], "VERSION": fmt.Sprint(r.IntN(1000))}
}

func (c *churn) changeService(r *rand.Rand, name string) error {
	resource := client.Resource(services).Namespace(c.namespace)
	ctx := c.t.Context()
	scale := fmt.Sprint(1 + r.IntN(3))
	switch r.IntN(6) {
	case 0:
		return resource.Delete(ctx, name, metav1.DeleteOptions{})
	case 1, 2: // another template: a new revision beside the one that serves
		return c.newTemplate(ctx, services, name, r)
	case 3:
		return patch(ctx, services, c.namespace, name, fmt.Sprintf(
			`{"metadata":{"annotations":{"autoscale.kubetorch.com/max-scale":%q}}}`, scale))
	}
	_, err := resource.Create(ctx, service(name, prefixed(map[string]string{
		"gpus": "1", "cpus": "10m", "target": "2", "min-scale": "1", "max-scale": scale,
		"window": "6s", "scale-down-delay": "0s",
	}), churnEnv(r)), metav1.CreateOptions{})
	return err
}

func (c *churn) changeDeployment(r *rand.Rand, name string) error {
	resource := client.Resource(deployments).Namespace(c.namespace)
	ctx := c.t.Context()
	replicas := 1 + r.IntN(3)
	switch r.IntN(7) {
	case 0:
		return resource.Delete(ctx, name, metav1.DeleteOptions{})
	case 1, 2: // another template: a rollout with surge
		return c.newTemplate(ctx, deployments, name, r)
	case 3: // pods that are deleted are made anew while they still end
		return client.Resource(podResource).Namespace(c.namespace).DeleteCollection(ctx, metav1.DeleteOptions{},
			metav1.ListOptions{LabelSelector: "app=" + name})
	case 4:
		_, err := resource.Patch(ctx, name, types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas),
			metav1.PatchOptions{}, "scale")
		return err
	}
	_, err := resource.Create(ctx, deployment(name, replicas, 1, churnEnv(r)), metav1.CreateOptions{})
	return err
}

// newTemplate changes the environment of a workload's container.
func (c *churn) newTemplate(
	ctx context.Context, resource schema.GroupVersionResource, name string, r *rand.Rand,
) error {
	o, err := client.Resource(resource).Namespace(c.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return err
	}
	containers[0].(map[string]any)["env"] = environment(churnEnv(r))
	if err := unstructured.SetNestedSlice(o.Object, containers, "spec", "template", "spec", "containers"); err != nil {
		return err
	}
	_, err = client.Resource(resource).Namespace(c.namespace).Update(ctx, o, metav1.UpdateOptions{})
	return err
}

func patch(ctx context.Context, resource schema.GroupVersionResource, namespace, name, body string) error {
	_, err := client.Resource(resource).Namespace(namespace).
		Patch(ctx, name, types.MergePatchType, []byte(body), metav1.PatchOptions{})
	return err
}

// disturb kills one of the webhook's pods, or replaces all of them, from time to time.
func (c *churn) disturb() {
	ctx := c.t.Context()
	for i := 0; !c.over(); i++ {
		time.Sleep(8 * time.Second)
		if c.over() {
			return
		}
		if i%3 == 2 {
			if err := cluster.RestartWebhookPods(ctx); err != nil {
				c.judge(err)
			}
			c.mu.Lock()
			c.restarts++
			c.mu.Unlock()
			continue
		}
		for name := range webhookPods(c.t) {
			now := int64(0)
			if err := client.Resource(podResource).Namespace("kubetorch-system").
				Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
				c.judge(err)
			}
			break
		}
		c.mu.Lock()
		c.kills++
		c.mu.Unlock()
	}
}

// watchOverlap notes the largest overlap in a budget's status, until the returned function
// is called.
func (c *churn) watchOverlap(name string) func() int {
	ctx, stop := context.WithCancel(c.t.Context())
	most, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if o, err := client.Resource(budgets).Get(ctx, name, metav1.GetOptions{}); err == nil {
				overlap, _, _ := unstructured.NestedInt64(o.Object, "status", "overlap")
				most = max(most, int(overlap))
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return func() int {
		stop()
		<-done
		return most
	}
}

// deployment is one of the application under test, with a GPU count of its own.
func deployment(name string, replicas, gpus int, env map[string]string) *unstructured.Unstructured {
	resources := map[string]any{"requests": map[string]any{"cpu": "10m"}}
	if gpus > 0 {
		resources["limits"] = map[string]any{"nvidia.com/gpu": fmt.Sprint(gpus)}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"replicas": int64(replicas), "selector": map[string]any{"matchLabels": map[string]any{"app": name}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"app": name}},
				"spec": map[string]any{"containers": []any{map[string]any{
					"name": "app", "image": appImage, "env": environment(env), "resources": resources,
					"ports": []any{map[string]any{"containerPort": int64(8080)}},
					"readinessProbe": map[string]any{
						"httpGet": map[string]any{"path": "/", "port": int64(8080)}, "periodSeconds": int64(1),
					},
				}}},
			},
		},
	}}
}
