package exactness

import (
	"context"
	"fmt"
	"regexp"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/test/e2e/harness"
)

// tidy ends what would go on for ever without nodes that run pods and an autoscaler: revisions that
// were replaced, pods that take their time, and CronJobs. It tells whether there was any.
func (e *round) tidy(t *testing.T) (busy bool) {
	t.Helper()
	ctx := context.Background()
	now := int64(0)
	var lingering []*record
	e.witness.each(e.namespaces, func(r *record) {
		if r.kind == "Pod" && r.deleting {
			lingering = append(lingering, r)
		}
	})
	for _, r := range lingering {
		_ = client.Resource(pods).Namespace(r.namespace).Delete(ctx, r.name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	}
	if e.tidied == 0 {
		for _, namespace := range e.namespaces {
			crons, err := harness.Read(func() (*unstructured.UnstructuredList, error) {
				return client.Resource(cronJobs).Namespace(namespace).List(ctx, metav1.ListOptions{})
			})
			if err != nil {
				t.Errorf("listing CronJobs: %v", err)
				return false
			}
			for _, c := range crons.Items {
				_, err := client.Resource(cronJobs).Namespace(namespace).Patch(ctx, c.GetName(), types.MergePatchType,
					[]byte(`{"spec":{"suspend":true}}`), metav1.PatchOptions{})
				busy = busy || err != nil
			}
		}
	}
	if e.tidied%10 == 0 {
		busy = e.scaleBack() || busy
		for _, namespace := range e.namespaces {
			busy = harness.Collect(ctx, client, namespace) != nil || busy
		}
	}
	if !busy {
		e.tidied++
	}
	return busy || len(lingering) > 0
}

// scaleBack has no revision ask for more pods than its Service allows, as Knative's autoscaler sees to every two
// seconds: until then what it asks for is charged by itself. It tells whether there was any.
func (e *round) scaleBack() (any bool) {
	most := map[string]int64{}
	var made []*record
	e.witness.each(e.namespaces, func(r *record) {
		switch {
		case r.kind == "Service":
			most[r.namespace+"/"+r.name] = r.size
		case r.kind == "Deployment" && r.controllerKind == "Revision":
			made = append(made, r)
		}
	})
	for _, r := range made {
		match := revisionPods.FindStringSubmatch(r.name)
		if match == nil {
			continue
		}
		if most, there := most[r.namespace+"/"+match[1]]; there && r.size > most {
			any = true
			_, _ = asKnative.Resource(deployments).Namespace(r.namespace).Patch(context.Background(), r.name, types.MergePatchType,
				fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, most), metav1.PatchOptions{})
		}
	}
	return any
}

var revisionPods = regexp.MustCompile(`^(.+)-[0-9]{5}-deployment$`)

// isOfService tells whether a Deployment's name is that of a revision of a Service.
func isOfService(deployment, service string) bool {
	match := revisionPods.FindStringSubmatch(deployment)
	return match != nil && match[1] == service
}

// clear deletes what the round has made, so that later rounds have less beside them. Nothing is asserted of that.
func (e *round) clear(ctx context.Context) {
	for _, name := range e.budgets() {
		_ = harness.Answered(func() error { return client.Resource(budgets).Delete(ctx, name, metav1.DeleteOptions{}) })
	}
	for _, name := range e.namespaces {
		_ = harness.Answered(func() error {
			return client.Resource(harness.Namespaces).Delete(ctx, name, metav1.DeleteOptions{})
		})
	}
}

// nudge changes something that nobody looks at in all Deployments and Knative Services: a controller whose
// requests failed again and again, while replicas were killed and another webhook rejected some, waits for long
// before it tries again, or for a change.
func (e *round) nudge() {
	e.looked++
	changed := fmt.Appendf(nil, `{"metadata":{"annotations":{"e2e.kubetorch.com/looked":"%d"}}}`, e.looked)
	var all []*record
	e.witness.each(e.namespaces, func(r *record) {
		if !r.deleting && (r.kind == "Deployment" || r.kind == "Service") {
			all = append(all, r)
		}
	})
	for _, r := range all {
		resource := deployments
		if r.kind == "Service" {
			resource = services
		}
		_, _ = client.Resource(resource).Namespace(r.namespace).
			Patch(context.Background(), r.name, types.MergePatchType, changed, metav1.PatchOptions{})
	}
}
