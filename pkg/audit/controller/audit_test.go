package controller

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// The real API server is in test/e2e; here are time and failure.

func stored(kind, namespace, name string, spec manifest.Object) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: manifest.Object{"apiVersion": "serving.knative.dev/v1", "kind": kind, "spec": spec}}
	if kind == "ComputePolicy" {
		o.SetAPIVersion("policy.kubetorch.com/v1alpha1")
	}
	o.SetNamespace(namespace)
	o.SetName(name)
	o.SetUID(types.UID("u-" + name))
	o.SetGeneration(1)
	return o
}

// lists are what the fake client lists, as text.
type lists struct {
	client *dynamicfake.FakeDynamicClient
}

func (l lists) Read(ctx context.Context, kind cluster.Resource, options metav1.ListOptions) (io.ReadCloser, error) {
	list, err := l.client.Resource(kind).List(ctx, options)
	if err != nil {
		return nil, err
	}
	text, err := list.MarshalJSON()
	return io.NopCloser(bytes.NewReader(text)), err
}

func newCluster(t *testing.T, objects ...runtime.Object) (*dynamicfake.FakeDynamicClient, *Auditor) {
	t.Helper()
	client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[cluster.Resource]string{
		cluster.Deployments: "DeploymentList", cluster.Services: "ServiceList", cluster.Configurations: "ConfigurationList",
		cluster.Routes: "RouteList", cluster.Revisions: "RevisionList", cluster.PodAutoscalers: "PodAutoscalerList",
		cluster.CronJobs: "CronJobList", cluster.Jobs: "JobList", cluster.ReplicaSets: "ReplicaSetList",
		cluster.ReplicationControllers: "ReplicationControllerList", cluster.StatefulSets: "StatefulSetList", cluster.DaemonSets: "DaemonSetList",
		cluster.Pods: "PodList", cluster.HorizontalPodAutoscalers: "HorizontalPodAutoscalerList", cluster.LimitRanges: "LimitRangeList",
		cluster.ResourceClaims: "ResourceClaimList", cluster.ResourceClaimTemplates: "ResourceClaimTemplateList",
		cluster.ComputePolicies: "ComputePolicyList", {Version: "v1", Resource: "namespaces"}: "NamespaceList",
	}, objects...)
	metrics, err := NewAuditMetrics(prometheus.NewRegistry())
	require.NoError(t, err)
	return client, New(Auditor{Client: client, Lists: cluster.NewLists(lists{client}), Knative: func() (*knative.Config, error) { return knative.Default(), nil },
		Interval: 10 * time.Minute, Metrics: metrics, Log: logr.Discard()})
}

// count counts calls of a verb, and fails those of a resource while fail is not nil.
func count(client *dynamicfake.FakeDynamicClient, verb, resource string, fail *error) *int {
	n := 0
	client.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) {
		n++
		return fail != nil && *fail != nil, nil, func() error {
			if fail == nil {
				return nil
			}
			return *fail
		}()
	})
	return &n
}

func run(t *testing.T, a *Auditor) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	synctest.Wait()
	return func() { cancel(); assert.NoError(t, <-done) }
}

func strict() *unstructured.Unstructured {
	return stored("ComputePolicy", "", "strict", manifest.Object{"bounds": manifest.Object{"maxScale": manifest.Object{"max": int64(5)}}})
}

func TestAuditsAreDoneInTimeAndAfterChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, a := newCluster(t, strict())
		audits := count(client, "list", "services", nil)
		writes := count(client, "patch", "computepolicies", nil)
		stop := run(t, a)
		assert.Equal(t, [2]int{1, 1}, [2]int{*audits, *writes}, "at once")

		time.Sleep(10*time.Minute + 2*rest)
		assert.Equal(t, [2]int{2, 1}, [2]int{*audits, *writes}, "every ten minutes, and the same is written once")
		for range 50 {
			a.Changed() // never blocks
		}
		time.Sleep(2 * rest)
		assert.Contains(t, []int{3, 4}, *audits, "a burst of changes is one or two")
		time.Sleep(2 * time.Hour)
		assert.Equal(t, 3, *writes, "and the time by the hour")

		stop()
		audited := *audits
		a.Changed()
		time.Sleep(time.Hour)
		assert.Equal(t, audited, *audits, "nothing is done without the lease")
	})
}

func TestAnAuditThatFailedIsSaidAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := stored("Service", "ml", "big", manifest.Object{"template": manifest.Object{"spec": manifest.Object{}}})
		client, a := newCluster(t, strict(), service)
		failure := error(apierrors.NewForbidden(cluster.Revisions.GroupResource(), "", errors.New("no")))
		count(client, "list", "revisions", &failure)
		stop := run(t, a)
		compliant := func() string {
			o, err := client.Resource(cluster.ComputePolicies).Get(t.Context(), "strict", metav1.GetOptions{})
			require.NoError(t, err)
			all := ""
			for _, c := range manifest.Objects(o.Object, "status", "conditions") {
				all += manifest.Text(c, "type") + " " + manifest.Text(c, "status") + " " + manifest.Text(c, "reason") + "; "
			}
			return all
		}
		assert.Equal(t, "Ready True InForce; Advisory False NotAvoidable; Compliant Unknown AuditFailed; ", compliant())
		assert.Equal(t, [3]float64{1, 0, 0}, [3]float64{testutil.ToFloat64(a.Metrics.failures), testutil.ToFloat64(a.Metrics.success), float64(testutil.CollectAndCount(a.Metrics.violations))})

		failure = nil
		time.Sleep(again + 2*rest)
		assert.Equal(t, "Ready True InForce; Advisory False NotAvoidable; Compliant False Violations; ", compliant())
		assert.NoError(t, testutil.CollectAndCompare(a.Metrics.violations, strings.NewReader(`# HELP kubetorch_webhook_policy_violations Objects that break a bound, as the last audit found them.
# TYPE kubetorch_webhook_policy_violations gauge
kubetorch_webhook_policy_violations{bound="maxScale",enforcement="Deny",policy="strict"} 1
`)))
		assert.NotZero(t, testutil.ToFloat64(a.Metrics.success))
		require.NoError(t, client.Resource(cluster.Services).Namespace("ml").Delete(t.Context(), "big", metav1.DeleteOptions{}))
		a.Changed()
		time.Sleep(2 * rest)
		assert.Zero(t, testutil.ToFloat64(a.Metrics.violations), "what is mended is 0, not absent")

		stop()
		assert.Zero(t, testutil.CollectAndCount(a.Metrics.violations), "only the leader tells")
	})
}

func TestOneStatusThatCannotBeWrittenLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := strict()
		other.SetName("other")
		gone := strict()
		gone.SetName("a-gone")
		client, a := newCluster(t, gone, other, strict())
		client.PrependReactor("patch", "computepolicies", func(action clienttesting.Action) (bool, runtime.Object, error) {
			switch action.(clienttesting.PatchAction).GetName() {
			case "a-gone":
				return true, nil, apierrors.NewNotFound(cluster.ComputePolicies.GroupResource(), "a-gone")
			case "other":
				return true, nil, errors.New("away")
			}
			return false, nil, nil
		})
		err := a.audit(t.Context(), time.Now())
		assert.EqualError(t, err, "writing the status of ComputePolicy other: away")
		o, err := client.Resource(cluster.ComputePolicies).Get(t.Context(), "strict", metav1.GetOptions{})
		require.NoError(t, err)
		assert.NotEmpty(t, o.Object["status"])
	})
}

// A replica that is starting knows no configuration yet. That is no failure.
func TestAReplicaThatIsStartingHasFailedNoAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := newCluster(t)
		ready := false
		known := a.Knative
		a.Knative = func() (*knative.Config, error) {
			if !ready {
				return nil, errors.New("starting")
			}
			return known()
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = a.Run(ctx) }()
		time.Sleep(20 * time.Second)
		assert.Zero(t, testutil.ToFloat64(a.Metrics.failures))
		ready = true
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Zero(t, testutil.ToFloat64(a.Metrics.failures))
		assert.Positive(t, testutil.ToFloat64(a.Metrics.success))
	})
}

// Who watches events sees when a policy turns, and nothing while it stays as it is.
func TestAPolicyThatTurnsIsAnEvent(t *testing.T) {
	service := stored("Service", "ml", "wide", manifest.Object{"template": manifest.Object{"metadata": manifest.Object{"annotations": manifest.Object{"autoscaling.knative.dev/max-scale": "9"}},
		"spec": manifest.Object{"containers": []any{manifest.Object{"image": "a"}}}}})
	client, a := newCluster(t, service, stored("ComputePolicy", "", "p", manifest.Object{"bounds": manifest.Object{"maxScale": manifest.Object{"max": int64(20)}}}))
	events := record.NewFakeRecorder(10)
	problem := ""
	a.Events, a.NotRegistered = events, func() string { return problem }
	said := func() (all []string) {
		require.NoError(t, a.audit(t.Context(), time.Now()))
		for len(events.Events) > 0 {
			all = append(all, <-events.Events)
		}
		return all
	}
	assert.Equal(t, []string{"Normal InForce the policy is valid and in force", "Normal NoViolations nothing that exists breaks a bound"}, said())
	assert.Empty(t, said())
	problem = "the configuration is missing"
	assert.Equal(t, []string{"Warning NotRegistered the configuration is missing; until this is mended, the policy does not hold for everything that it is about"}, said())
	problem = ""
	policy, err := client.Resource(cluster.ComputePolicies).Get(t.Context(), "p", metav1.GetOptions{})
	require.NoError(t, err)
	require.NoError(t, unstructured.SetNestedField(policy.Object, int64(5), "spec", "bounds", "maxScale", "max"))
	_, err = client.Resource(cluster.ComputePolicies).Update(t.Context(), policy, metav1.UpdateOptions{})
	require.NoError(t, err)
	assert.Equal(t, []string{"Normal InForce the policy is valid and in force", "Warning Violations 1 violation; what exists goes on, and may not grow"}, said())
}
