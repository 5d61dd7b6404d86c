package pods

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// adoption is a Deployment that serves while it is adopted and given back.
type adoption struct {
	t         *testing.T
	namespace string
	clusterIP string          // of a core Service of another name
	before    map[string]bool // the Deployment's own pods
	clients   sync.WaitGroup
}

// TestADeploymentThatServesIsAdoptedAndComesBackWithoutAFailedRequest labels a Deployment of
// two pods while it is asked through a core Service of another name, and takes the label away
// again.
func TestADeploymentThatServesIsAdoptedAndComesBackWithoutAFailedRequest(t *testing.T) {
	t.Parallel()
	a := &adoption{t: t, namespace: newNamespace(t, "adopt")}
	a.serve()
	pods := observe(t.Context(), a.namespace)
	core, stopCore := a.ask(throughService(a.clusterIP, 200*time.Millisecond))
	time.Sleep(2 * time.Second)

	begin := time.Now()
	a.patch(`{"metadata":{
		"labels":{"kubetorch.com/autoscale":"true"},"annotations":{"autoscale.kubetorch.com/min-scale":"2",
		"autoscale.kubetorch.com/max-scale":"4","autoscale.kubetorch.com/target":"5"}}}`)
	awaitReady(t, client.Resource(services).Namespace(a.namespace), "serve", "Ready")
	ready := time.Since(begin)
	// From now on others ask the Knative Service by its own name.
	knative, stopKnative := a.ask(throughIngress(a.namespace, "serve", 200*time.Millisecond))
	a.awaitOwn(0)
	emptied := time.Since(begin)
	eventually(t, "answers of the Knative Service", patience, func() error {
		if n := knative.answers(); n < 100 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	adopted := core.answers()
	a.recordAdoption(core, knative, ready, emptied)

	back := time.Now()
	a.patch(`{"metadata":{"labels":{"kubetorch.com/autoscale":null}}}`)
	a.awaitRemoval()
	removed := time.Since(back)
	stopKnative()
	a.awaitAlone()
	time.Sleep(3 * time.Second)
	stopCore()
	a.clients.Wait()
	assert.Empty(t, core.failed(), "through the core Service, in all")
	assert.Greater(t, core.answers(), 100)
	drawIf(t, pods.picture("adopted and back", "from the label to its removal", begin, back))
	record(t, adoptTable, []string{"the label taken away, under the same requests", fmt.Sprintf(
		"the Deployment's 2 pods were ready and the Knative Service removed after %.0f s; "+
			"through the core Service %d answers, %d failed; "+
			"who asks the Knative Service by its own name gets 404 from then on",
		removed.Seconds(), core.answers()-adopted, len(core.failed()))})
}

// serve makes the Deployment and a core Service, and waits until they answer.
func (a *adoption) serve() {
	a.t.Helper()
	// As every application behind a Service has to, it serves on for a moment when it is told
	// to end.
	create(a.t, deployments, a.namespace, deployment("serve", 2, 0, map[string]string{"END_DELAY": "5s"}))
	core := create(a.t, coreServices, a.namespace, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "clients"},
		"spec": map[string]any{
			"selector": map[string]any{"app": "serve"},
			"ports":    []any{map[string]any{"port": int64(80), "targetPort": int64(8080)}},
		},
	}})
	a.clusterIP, _, _ = unstructured.NestedString(core.Object, "spec", "clusterIP")
	require.NoError(a.t, cluster.AwaitDeployment(a.t.Context(), a.namespace, "serve"))
	eventually(a.t, "answers through the core Service", patience, func() error {
		_, err := throughService(a.clusterIP, 0).get(a.t.Context())
		return err
	})
	a.before = liveNames(a.namespace)
}

// patch changes the Deployment, if not at once: a busy machine answers some calls too late.
func (a *adoption) patch(body string) {
	a.t.Helper()
	eventually(a.t, "the patch of the Deployment", time.Minute, func() error {
		err := patch(a.t.Context(), deployments, a.namespace, "serve", body)
		if err != nil && !isLate(err) {
			require.NoError(a.t, err)
		}
		return err
	})
}

// ask keeps 8 requests under way until it is stopped. Those under way then are waited for.
func (a *adoption) ask(to target) (l *load, stop func()) {
	l = newLoad()
	var stopped atomic.Bool
	a.clients.Go(func() { l.concurrent(a.t.Context(), to, 8, stopped.Load) })
	return l, func() { stopped.Store(true) }
}

// awaitOwn waits until so many of the Deployment's own pods are left.
func (a *adoption) awaitOwn(want int) {
	a.t.Helper()
	eventually(a.t, "the end of the Deployment's pods", patience, func() error {
		n := 0
		for name := range liveNames(a.namespace) {
			if a.before[name] {
				n++
			}
		}
		if n != want {
			return fmt.Errorf("%d are left", n)
		}
		return nil
	})
}

func (a *adoption) recordAdoption(core, knative *load, ready, emptied time.Duration) {
	a.t.Helper()
	assert.Empty(a.t, core.failed(), "through the core Service, while it was adopted")
	assert.Empty(a.t, knative.failed(), "through the Knative Service")
	reached := len(core.pods()) - len(a.before)
	record(a.t, adoptTable, []string{"labelled, under 8 requests at a time through a core Service of another name", fmt.Sprintf(
		"the Knative Service was Ready after %.0f s, the Deployment's own pods were gone after %.0f s; %d answers, %d failed",
		ready.Seconds(), emptied.Seconds(), core.answers(), len(core.failed()))})
	record(a.t, adoptTable, []string{"who asks the core Service then", fmt.Sprintf(
		"reaches the application in %d of Knative's pods, past Knative, since they have the same labels: "+
			"those requests count for nothing",
		reached)})
	record(a.t, adoptTable, []string{"who asks the Knative Service, 8 requests at a time", fmt.Sprintf(
		"%d answers, %d failed", knative.answers(), len(knative.failed()))})
}

// awaitRemoval waits until the Knative Service is being deleted.
func (a *adoption) awaitRemoval() {
	a.t.Helper()
	eventually(a.t, "the removal of the Knative Service", patience, func() error {
		o, err := client.Resource(services).Namespace(a.namespace).Get(a.t.Context(), "serve", metav1.GetOptions{})
		if err == nil && o.GetDeletionTimestamp() == nil {
			return errors.New("it serves")
		}
		return nil
	})
}

// awaitAlone waits until the Deployment's two pods are the only ones.
func (a *adoption) awaitAlone() {
	a.t.Helper()
	eventually(a.t, "the end of Knative's pods", patience, func() error {
		if n := countPods(a.namespace); n.All != 2 || n.Ready != 2 {
			return fmt.Errorf("there are %d pods, %d of them ready", n.All, n.Ready)
		}
		return nil
	})
}

// liveNames are the pods of a namespace that have not been told to end.
func liveNames(namespace string) map[string]bool {
	names := map[string]bool{}
	for _, pod := range listPods(namespace) {
		if pod.GetDeletionTimestamp() == nil {
			names[pod.GetName()] = true
		}
	}
	return names
}
