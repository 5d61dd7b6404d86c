package review

import "github.com/kubetorch/webhook/pkg/workload"

// raised tells whether an update has an object ask for more pods itself. What autoscalers could have had it
// ask for before is then no measure of what it had: one may have been written at the same time as its target,
// so that nothing was charged for it.
func (r *Request) raised() bool {
	if row, ok := r.operators.For(r.of); ok {
		return r.old != nil && row.Scale && row.ReplicasOf(r.object) > row.ReplicasOf(r.old)
	}
	return r.old != nil && r.of != workload.PodKind && r.of != workload.JobKind && workload.Replicas(r.object) > workload.Replicas(r.old)
}

// byItself is the request without the autoscalers that point at its object.
func (r *Request) byItself() *Request {
	alone := *r
	alone.related.own.autoscalers = nil
	return &alone
}

// judgeRaised holds an object that asks for more pods itself against the bounds without regard to
// autoscalers, after it was judged with them: an object that they take beyond a bound already would seem to
// grow no further.
func (r *Request) judgeRaised(w World, v Verdict, measure func(*Request) (workload.Usage, *workload.Usage)) Verdict {
	if !r.raised() || v.Refused() {
		return v
	}
	d, old := measure(r.byItself())
	if alone := r.verdict(r.selection(w), d, old); alone.Refused() || v.silent() {
		return alone
	}
	return v
}
