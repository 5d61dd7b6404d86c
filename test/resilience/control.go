package main

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
)

// stalled is how long an answer takes while the machine, or its API server, stands still: a
// hundred times what is usual.
const stalled = time.Second

// newControl is a load that no webhook is asked about: the same Deployments without what concerns
// ours. What it meets is not the webhook's doing, unless that takes the cores which both share.
func newControl(client dynamic.Interface) *load {
	l := &load{client: client}
	l.send = l.unasked
	return l
}

// unasked makes one request of the control.
func (l *load) unasked(i int) request {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	u := deployment(i, 0)
	u.SetName("control-" + u.GetName())
	u.SetLabels(nil)
	u.SetAnnotations(nil)
	r := request{sent: time.Now()}
	o := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	_, err := l.client.Resource(deployments).Namespace(metav1.NamespaceDefault).Create(ctx, u, o)
	if r.took = time.Since(r.sent); err != nil {
		r.failure = cause(err)
	}
	return r
}

// span is a time in which requests of the control failed or were slow.
type span struct{ from, to time.Time }

// standstills are the times in which the control had no answer, or a late one, in order and apart.
func standstills(control []request) []span {
	var spans []span
	for _, r := range slices.SortedFunc(slices.Values(control), bySent) {
		if r.failure == "" && r.took < stalled {
			continue
		}
		next := span{r.sent, r.sent.Add(r.took)}
		if last := len(spans) - 1; last >= 0 && !next.from.After(spans[last].to) {
			if next.to.After(spans[last].to) {
				spans[last].to = next.to
			}
			continue
		}
		spans = append(spans, next)
	}
	return spans
}

func bySent(a, b request) int { return a.sent.Compare(b.sent) }

// during tells whether a request was under way in one of the times.
func (r *request) during(spans []span) bool {
	end := r.sent.Add(r.took)
	return slices.ContainsFunc(spans, func(s span) bool { return !r.sent.After(s.to) && !end.Before(s.from) })
}
