package deployments

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/pkg/deployments/handover"
	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

var (
	services    = harness.Services
	deployments = harness.Deployments
	policies    = harness.Policies
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	events      = schema.GroupVersionResource{Version: "v1", Resource: "events"}
	leases      = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

const (
	tick = 100 * time.Millisecond
	// quiet is how long something must not happen.
	quiet = 2 * time.Second
)

// lab is a namespace of one test, in one of the clusters.
type lab struct {
	*testing.T
	cluster   *controlplane.ControlPlane
	client    dynamic.Interface
	namespace string
}

func newLab(t *testing.T) *lab { return newLabIn(t, cluster, client) }

func newLabIn(t *testing.T, c *controlplane.ControlPlane, client dynamic.Interface) *lab {
	t.Helper()
	l := &lab{t, c, client, harness.NewNamespace(t, client)}
	harness.Eventually(t, "the account that pods run as", func() bool { // the account that pods run as
		_, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}).Namespace(l.namespace).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	t.Cleanup(func() {
		if t.Failed() {
			l.describe()
		}
	})
	return l
}

// describe logs what a failed test left.
func (l *lab) describe() {
	out, _, _ := l.cluster.Kubectl(context.Background(), nil, "-n", l.namespace, "get", "deployments,pods,events", "-o", "wide")
	l.Log(out)
	for _, kind := range []string{"deployments", "ksvc"} {
		out, _, _ = l.cluster.Kubectl(context.Background(), nil, "-n", l.namespace, "get", kind, "-o", "yaml")
		l.Log(out)
	}
}

// web is a small web app. settings are lines of its metadata; replicas none if negative.
func web(name string, replicas int, metadata ...string) string {
	count := ""
	if replicas >= 0 {
		count = fmt.Sprintf("  replicas: %d\n", replicas)
	}
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %s
  %s
spec:
%s  selector: {matchLabels: {app: %s}}
  template:
    metadata: {labels: {app: %s}}
    spec:
      containers:
      - name: web
        image: ghcr.io/example/web:1
        ports: [{containerPort: 8080}]
`, name, strings.Join(metadata, "\n  "), count, name, name)
}

const autoscale = `labels: {kubetorch.com/autoscale: "true"}`

// kubectl runs kubectl in the namespace, with a manifest on standard input if there is one.
func (l *lab) kubectl(stdin string, args ...string) (stdout, stderr string, err error) {
	l.Helper()
	args = append([]string{"-n", l.namespace}, args...)
	err = harness.Answered(func() (err error) {
		var in io.Reader
		if stdin != "" {
			in = strings.NewReader(stdin)
		}
		stdout, stderr, err = l.cluster.Kubectl(l.Context(), in, args...)
		return err
	})
	return stdout, stderr, err
}

// apply applies a manifest and returns what kubectl warned of.
func (l *lab) apply(manifest string) string {
	l.Helper()
	_, warnings, err := l.kubectl(manifest, "apply", "-f", "-")
	if err != nil {
		// Of many manifests the warnings alone are more than a test prints.
		require.NoError(l, err, "without warnings: %s", regexp.MustCompile(`(?m)^Warning: .*\n`).ReplaceAllString(warnings, ""))
	}
	return warnings
}

func (l *lab) get(gvr schema.GroupVersionResource, name string) *unstructured.Unstructured {
	l.Helper()
	// Not the test's context: what must never happen is looked for until the very end.
	u, err := l.client.Resource(gvr).Namespace(l.namespace).Get(context.Background(), name, metav1.GetOptions{})
	require.NoError(l, err)
	return u
}

func (l *lab) exists(gvr schema.GroupVersionResource, name string) bool {
	_, err := l.client.Resource(gvr).Namespace(l.namespace).Get(context.Background(), name, metav1.GetOptions{})
	return !apierrors.IsNotFound(err)
}

func (l *lab) eventually(what string, condition func() bool) {
	l.Helper()
	harness.Eventually(l, what, condition)
}

func (l *lab) never(what string, condition func() bool) {
	l.Helper()
	assert.Never(l, condition, quiet, tick, what)
}

// replicas of a Deployment; -1 where it cannot be read.
func (l *lab) replicas(name string) int64 {
	u, err := l.client.Resource(deployments).Namespace(l.namespace).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		return -1
	}
	return handover.Replicas(u.Object)
}

// reason of the state that is recorded on a Deployment.
func (l *lab) reason(name string) string {
	u, err := l.client.Resource(deployments).Namespace(l.namespace).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	return handover.ReadState(u.GetAnnotations()[handover.StatusAnnotation]).Reason
}

func (l *lab) awaitReason(name, reason string) {
	l.Helper()
	l.eventually("state "+reason+" of "+name, func() bool { return l.reason(name) == reason })
}

// awaitPods waits until so many of a Deployment's own pods are ready, and no more exist.
func (l *lab) awaitPods(name string, count int) {
	l.Helper()
	l.eventually(fmt.Sprintf("%d pods of %s", count, name), func() bool {
		list, err := l.client.Resource(pods).Namespace(l.namespace).List(context.Background(), metav1.ListOptions{LabelSelector: ownPods(name)})
		return err == nil && len(list.Items) == count && readyPods(list.Items) == count
	})
}

// ownPods selects the pods of a Deployment itself: those of Knative carry its labels too.
func ownPods(name string) string { return "app=" + name + ",!serving.knative.dev/revision" }

func readyPods(items []unstructured.Unstructured) (n int) {
	for i := range items {
		if podReady(&items[i]) {
			n++
		}
	}
	return n
}

func podReady(u *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if m, _ := c.(map[string]any); m["type"] == "Ready" {
			return m["status"] == "True" && u.GetDeletionTimestamp() == nil
		}
	}
	return false
}

func (l *lab) serviceReady(name string) bool {
	u, err := l.client.Resource(services).Namespace(l.namespace).Get(context.Background(), name, metav1.GetOptions{})
	return err == nil && handover.ReadService(u.Object).Ready
}

func (l *lab) makeReady(name string) {
	l.Helper()
	require.NoError(l, l.cluster.MakeReady(l.Context(), l.namespace, name))
}

// reasons are those of all events about an object.
func (l *lab) reasons(kind, name string) []string {
	list, err := l.client.Resource(events).Namespace(l.namespace).List(context.Background(), metav1.ListOptions{
		FieldSelector: "involvedObject.kind=" + kind + ",involvedObject.name=" + name})
	require.NoError(l, err)
	var reasons []string
	for _, e := range list.Items {
		reason, _, _ := unstructured.NestedString(e.Object, "reason")
		reasons = append(reasons, reason)
	}
	return reasons
}

func (l *lab) awaitEvent(kind, name, reason string) {
	l.Helper()
	l.eventually("event "+reason+" on "+kind+" "+name, func() bool {
		return strings.Contains(" "+strings.Join(l.reasons(kind, name), " ")+" ", " "+reason+" ")
	})
}

// templateAnnotations are those of a Knative Service's template.
func templateAnnotations(u *unstructured.Unstructured) map[string]string {
	m, _, _ := unstructured.NestedStringMap(u.Object, "spec", "template", "metadata", "annotations")
	return m
}

// patch merges a patch into a Deployment.
func (l *lab) patch(name string, patch map[string]any) error {
	l.Helper()
	body, err := json.Marshal(patch)
	require.NoError(l, err)
	_, err = l.client.Resource(deployments).Namespace(l.namespace).Patch(l.Context(), name, types.MergePatchType, body, metav1.PatchOptions{})
	return err
}

// label sets the autoscale label, or takes it off if the value is nil.
func (l *lab) label(name string, value any) {
	l.Helper()
	require.NoError(l, l.patch(name, map[string]any{"metadata": map[string]any{"labels": map[string]any{"kubetorch.com/autoscale": value}}}))
}
