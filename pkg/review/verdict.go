package review

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/json"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// Verdict is what becomes of an object: refused for Errors or Denied, else admitted.
type Verdict struct {
	Patch    []manifest.PatchOperation
	Warnings []string
	Errors   field.ErrorList
	Denied   []policy.Violation
	// Warned and Audited broke a bound and are admitted; Clamped were lowered to it.
	Warned, Audited, Clamped []policy.Violation
	Settings                 []expand.Setting
	Demand                   workload.Usage
	Room                     []policy.Headroom
}

// Refused tells whether the object is not admitted.
func (v *Verdict) Refused() bool { return len(v.Errors)+len(v.Denied) > 0 }

// Mutate answers a mutating review: the expansion as a patch, or why there is none.
// An error is one of reading the cluster.
func (r *Request) Mutate(ctx context.Context, w World) (*admissionv1.AdmissionResponse, error) {
	if r.of != ServiceKind && r.of != DeploymentKind {
		return Allow(r.raw.UID), nil
	}
	r.mutating = true
	step := r.expanded
	if r.isDeployment() {
		step = r.mutateDeployment
	}
	return r.answered(step(ctx, w))
}

// answered words a verdict, if there is one.
func (r *Request) answered(v Verdict, err error) (*admissionv1.AdmissionResponse, error) {
	if err != nil {
		return nil, err
	}
	return r.answer(v), nil
}

// expanded is the verdict of the mutating step. With a refusal it names the bounds too
// that are broken whatever the expansion would have made of the rest.
func (r *Request) expanded(ctx context.Context, w World) (Verdict, error) {
	result := r.expand(w)
	v := Verdict{Patch: result.Patch, Warnings: result.Warnings, Errors: result.Errors, Denied: result.Denied, Clamped: result.Clamped, Settings: result.Settings}
	if len(v.Errors) == 0 {
		return v, nil
	}
	d, old, err := r.demands(ctx, w)
	if err != nil {
		return v, err
	}
	for _, x := range r.selection(w).Judge(d, old).Denied {
		if slices.Contains([]string{policy.BoundGPUsPerPod, policy.BoundCPUsPerPod, policy.BoundMemoryPerPod}, x.Bound) {
			v.Denied = append(v.Denied, x)
		}
	}
	return v, nil
}

// demands measures the new and, on UPDATE, the old Service, with the revisions that its
// traffic names and those that are named elsewhere.
func (r *Request) demands(ctx context.Context, w World, elsewhere ...string) (workload.Usage, *workload.Usage, error) {
	gpus := r.selection(w).GPUResources()
	verified := func(o manifest.Object, latest string) (string, error) {
		if latest != "" && specNames(o)[latest] {
			return r.latestMade(ctx, w)
		}
		return latest, nil
	}
	latest, err := verified(r.object, r.latestRevision())
	if err != nil {
		return workload.Usage{}, nil, err
	}
	d := workload.ServiceUsage(r.object, latest, w.Knative, gpus, w.Revisions, elsewhere...)
	if r.old == nil {
		return d, nil, nil
	}
	if latest, err = verified(r.old, expand.LatestRevision(r.old)); err != nil {
		return d, nil, err
	}
	old := workload.ServiceUsage(r.had(), latest, w.Knative, gpus, w.Revisions, elsewhere...)
	return d, &old, nil
}

// routedDemands are demands with what Routes name beside the Service's own traffic, if it asks for more
// than before.
func (r *Request) routedDemands(ctx context.Context, w *World) (d workload.Usage, old *workload.Usage, err error) {
	if d, old, err = r.demands(ctx, *w); err != nil || old == nil || d.Claim <= old.Claim || w.Live == nil {
		return d, old, err
	}
	names, revisions, err := r.routed(ctx, *w)
	if err != nil || len(names) == 0 {
		return d, old, err
	}
	w.Revisions = union(w.Revisions, revisions)
	return r.demands(ctx, *w, names...)
}

func union(a, b workload.Revisions) workload.Revisions {
	all := maps.Clone(b)
	maps.Copy(all, a)
	return all
}

// Validate answers a validating review: whether the object, as it is to be stored, is
// within the bounds, and whether what it states holds together.
// An error is one of reading the cluster.
func (r *Request) Validate(ctx context.Context, w World) (*admissionv1.AdmissionResponse, error) {
	if r.isPolicy() {
		return r.validatePolicy(), nil
	}
	judge := r.Judge
	if r.isDeployment() {
		judge = r.judgeDeployment
	}
	return r.answered(judge(ctx, w))
}

// Judge holds the object, which is of any kind but a Deployment or a policy, against the
// bounds of the policies that select it, and a labelled Service against the rules for
// those. The object is left as it is.
func (r *Request) Judge(ctx context.Context, w World) (Verdict, error) {
	switch {
	case r.isChild():
		return r.judgeChild(ctx, w)
	case r.hasPods():
		return r.judgePods(w), nil
	case r.isOperated():
		return r.judgeOperated(w), nil
	case r.isOperatedStatus():
		return Verdict{}, nil // budgets count it, no bound does
	case r.of == workload.HorizontalPodAutoscalerKind:
		return r.judgeTarget(w), nil
	case r.of == workload.LimitRangeKind:
		return r.verdict(r.selection(w), r.limitRangeUsage(), nil), nil
	case r.of == workload.ResourceClaimTemplateKind:
		return r.judgeTemplate(w), nil
	}
	return r.judgeService(ctx, w)
}

func (r *Request) judgeService(ctx context.Context, w World) (Verdict, error) {
	selection := r.selection(w)
	measure := r.routedDemands
	if !selection.BoundsGPUs() {
		measure = func(ctx context.Context, w *World) (workload.Usage, *workload.Usage, error) {
			return r.demands(ctx, *w)
		}
	}
	d, old, err := measure(ctx, &w)
	if err != nil {
		return Verdict{}, err
	}
	if r.asksTheSame() {
		d.Warnings = nil // of revisions that were not read
	}
	judged := selection.Judge(d, old)
	v := Verdict{Errors: judged.Invalid, Denied: judged.Denied, Warned: judged.Warned, Audited: judged.Audited, Warnings: d.Warnings, Demand: d}
	for _, x := range judged.Warned {
		v.Warnings = append(v.Warnings, x.Error.Field+" "+x.Error.Detail)
	}
	v.Warnings = append(v.Warnings, misplaced(r.object)...)
	intent := expand.ReadIntent(r.object)
	if intent.FillsResources() && r.filled {
		return v, nil
	}
	if intent.FillsResources() {
		result := expandService(expand.Input{Object: clone(r.object), Old: r.old, Policies: selection, Knative: w.Knative, Revisions: w.Revisions})
		v.Errors = append(v.Errors, without(result.Errors, v.Errors)...)
		v.Denied = append(v.Denied, result.Denied...)
		return v, nil
	}
	v.Warnings = append(v.Warnings, intent.MissingLabels()...)
	return v, nil
}

// latestRevision is the revision that the object's template is already in, empty where
// it will make a new one.
func (r *Request) latestRevision() string {
	if r.old == nil || !expand.SameTemplate(r.old, r.object) {
		return ""
	}
	return expand.LatestRevision(r.old)
}

func clone(o manifest.Object) manifest.Object { return runtime.DeepCopyJSON(o) }

// without drops errors that are said already.
func without(errs, said field.ErrorList) field.ErrorList {
	return slices.DeleteFunc(slices.Clone(errs), func(e *field.Error) bool {
		return slices.ContainsFunc(said, func(s *field.Error) bool { return s.Error() == e.Error() })
	})
}

// validatePolicy checks a ComputePolicy or a GPUBudget as it is written.
func (r *Request) validatePolicy() *admissionv1.AdmissionResponse {
	if r.kind() == budgetKind {
		var b v1alpha1.GPUBudget
		if err := json.UnmarshalCaseSensitivePreserveInts(r.raw.Object.Raw, &b); err != nil {
			return unusable(r.raw.UID, "object", err)
		}
		return r.answer(Verdict{Errors: policy.ValidateBudget(&b)})
	}
	var p v1alpha1.ComputePolicy
	if err := json.UnmarshalCaseSensitivePreserveInts(r.raw.Object.Raw, &p); err != nil {
		return unusable(r.raw.UID, "object", err)
	}
	return r.answer(Verdict{Errors: policy.Validate(&p)})
}

// answer words a verdict for the API server.
func (r *Request) answer(v Verdict) *admissionv1.AdmissionResponse {
	if r.selected != nil && !r.mutating {
		for _, e := range r.selected.Ending() {
			v.Warnings = append(v.Warnings, e.Warning())
		}
	}
	a := &admissionv1.AdmissionResponse{UID: r.raw.UID, Allowed: !v.Refused(), Warnings: shorten(v.Warnings)}
	r.decisions = v.decisions(r.mutating)
	noted := v.Audited
	if r.mutating && !v.Refused() {
		noted = slices.Concat(noted, v.Clamped)
	}
	for _, x := range noted {
		if a.AuditAnnotations == nil {
			a.AuditAnnotations = map[string]string{}
		}
		// The names of audit annotations are short; the policy's is not always.
		if said := a.AuditAnnotations[x.Bound]; said != "" {
			a.AuditAnnotations[x.Bound] = said + "; " + x.Error.Detail
			continue
		}
		a.AuditAnnotations[x.Bound] = x.Error.Detail
	}
	if v.Refused() {
		refused := v // what is admitted allocates none
		r.refused = &refused
		a.AuditAnnotations = refusedBy(a.AuditAnnotations, v.Denied)
		a.Result = v.Status(r.raw.Kind.Group, r.raw.Kind.Kind, r.name)
		if r.byKubernetes() {
			// Told when to ask again, a controller's client waits there and then, ten times over, and with it one
			// of the few workers that all namespaces share. Untold it goes on with others, and comes back.
			a.Result.Details.RetryAfterSeconds = 0
		}
		return a
	}
	if len(v.Patch) > 0 {
		patch, err := expand.AppendPatch(make([]byte, 0, 4096), v.Patch)
		if err != nil {
			return &admissionv1.AdmissionResponse{UID: r.raw.UID, Result: &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
				Reason: metav1.StatusReasonInternalError, Message: "the patch cannot be written as JSON: " + err.Error()}}
		}
		kind := admissionv1.PatchTypeJSONPatch
		a.Patch, a.PatchType = patch, &kind
	}
	return a
}

// Reasons are the refusals in one line.
func (v *Verdict) Reasons() string {
	var reasons []string
	for _, e := range v.Errors {
		reasons = append(reasons, e.Error())
	}
	for _, x := range v.Denied {
		reasons = append(reasons, x.Error.Error())
	}
	return strings.Join(reasons, "; ")
}

// awaitSeconds is when to try again what waits for another object to be made.
const awaitSeconds = 2

// awaits tells whether all that refuses an object is that ResourceClaimTemplates are not there yet.
func (v *Verdict) awaits() bool {
	return len(v.Errors) == 0 && len(v.Denied) > 0 &&
		!slices.ContainsFunc(v.Denied, func(x policy.Violation) bool { return !workload.Awaits(x.Error) })
}

// Status is the refusal: 422 Invalid if any cause is the object's own, else 403
// Forbidden, or 429 if it only waits for other objects; one cause per problem.
func (v *Verdict) Status(group, kind, name string) *metav1.Status {
	s := &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
		Details: &metav1.StatusDetails{Group: group, Kind: kind, Name: name}}
	word := "is forbidden"
	if len(v.Errors) > 0 {
		s.Code, s.Reason, word = http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "is invalid"
	}
	if v.awaits() {
		s.Code, s.Reason, word = http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "is not admitted yet"
		s.Details.RetryAfterSeconds = awaitSeconds
	}
	var messages []string
	add := func(e *field.Error) {
		s.Details.Causes = append(s.Details.Causes, metav1.StatusCause{Type: metav1.CauseType(e.Type), Field: e.Field, Message: e.ErrorBody()})
		messages = append(messages, e.Error())
	}
	for _, e := range v.Errors {
		add(e)
	}
	for _, x := range v.Denied {
		add(x.Error)
	}
	of := schema.GroupKind{Group: group, Kind: strings.ToLower(kind)} // the core group has no name
	s.Message = fmt.Sprintf("%s %q %s: %s", of, name, word, strings.Join(messages, "; "))
	return s
}

// RefusedBy is the audit annotation of a refusal that names the policies and budgets, and which
// of their bounds were broken: "platform: gpusPerPod, maxScale". It quotes nothing of the object.
const RefusedBy = "refused-by"

func refusedBy(annotations map[string]string, denied []policy.Violation) map[string]string {
	bounds := map[string][]string{}
	for _, x := range denied {
		if !slices.Contains(bounds[x.Policy], x.Bound) {
			bounds[x.Policy] = append(bounds[x.Policy], x.Bound)
		}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(bounds)) {
		all = append(all, name+": "+strings.Join(bounds[name], ", "))
	}
	if len(all) == 0 {
		return annotations
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[RefusedBy] = strings.Join(all, "; ")
	return annotations
}

// shorten keeps warnings within what the API server passes on: 256 characters are
// recommended, and 4096 in all are the limit.
func shorten(warnings []string) []string {
	total := 0
	var kept []string
	for _, w := range warnings {
		if slices.Contains(kept, w) {
			continue
		}
		if total += len(w); total > 4000 {
			return append(kept, "more warnings left out")
		}
		kept = append(kept, w)
	}
	return kept
}
