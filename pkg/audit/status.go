package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/policy"
)

// Status is the status of one of the report's policies, of the given generation, and all
// of its violations, listed or not. before is the present status.
func (r Report) Status(d policy.Description, generation int64, before v1alpha1.ComputePolicyStatus, now time.Time) v1alpha1.ComputePolicyStatus {
	s := stateOf(d, generation, before, now)
	if len(d.Invalid) > 0 {
		setCondition(&s, now, v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonInvalid, "the bounds of an invalid policy are not known")
		return s
	}
	if makers := r.Makers[d.Name]; len(makers) > 0 {
		setCondition(&s, now, v1alpha1.ConditionMakersApart, metav1.ConditionFalse, v1alpha1.ReasonMakersSelected, shortenTo(longestCondition, policy.MakersSelected(makers)))
	} else {
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionMakersApart)
	}
	s.Violations = &v1alpha1.Violations{}
	for _, b := range d.Bounds {
		s.Violations.ByBound = append(s.Violations.ByBound, v1alpha1.BoundViolations{Bound: b.Bound, Enforcement: b.Enforcement})
	}
	for _, f := range r.Findings {
		if f.Policy != d.Name {
			continue
		}
		s.Violations.Total++
		s.Violations.List = append(s.Violations.List, f.ObjectViolation)
		i := slices.IndexFunc(s.Violations.ByBound, func(b v1alpha1.BoundViolations) bool { return b.Bound == f.Bound })
		if i < 0 {
			i = len(s.Violations.ByBound)
			s.Violations.ByBound = append(s.Violations.ByBound, v1alpha1.BoundViolations{Bound: f.Bound, Enforcement: f.Enforcement})
		}
		s.Violations.ByBound[i].Count++
	}
	s.Audited = &metav1.Time{Time: now.Truncate(time.Second)}
	switch n := s.Violations.Total; n {
	case 0:
		setCondition(&s, now, v1alpha1.ConditionCompliant, metav1.ConditionTrue, v1alpha1.ReasonNoViolations, "nothing that exists breaks a bound")
	case 1:
		setCondition(&s, now, v1alpha1.ConditionCompliant, metav1.ConditionFalse, v1alpha1.ReasonViolations, "1 violation; what exists goes on, and may not grow")
	default:
		setCondition(&s, now, v1alpha1.ConditionCompliant, metav1.ConditionFalse, v1alpha1.ReasonViolations, fmt.Sprintf("%d violations; what exists goes on, and may not grow", n))
	}
	return s
}

// Unaudited is the status of a policy while objects cannot be listed: what the last audit
// found stays.
func Unaudited(d policy.Description, generation int64, before v1alpha1.ComputePolicyStatus, now time.Time) v1alpha1.ComputePolicyStatus {
	s := stateOf(d, generation, before, now)
	if len(d.Invalid) == 0 {
		s.Violations, s.Audited = before.Violations.DeepCopy(), before.Audited.DeepCopy()
	}
	setCondition(&s, now, v1alpha1.ConditionCompliant, metav1.ConditionUnknown, v1alpha1.ReasonAuditFailed, "what exists cannot be read; the webhook's log says why")
	return s
}

// Listed shortens the list of violations to what a status holds.
func Listed(s v1alpha1.ComputePolicyStatus) v1alpha1.ComputePolicyStatus {
	if s.Violations != nil && len(s.Violations.List) > v1alpha1.ListedViolations {
		s.Violations = s.Violations.DeepCopy()
		s.Violations.List = s.Violations.List[:v1alpha1.ListedViolations]
	}
	return s
}

// Registered puts into the status of a valid policy whether admissions are sent to the webhook:
// problem says why they are not; empty if they are.
func Registered(s *v1alpha1.ComputePolicyStatus, problem string, now time.Time) {
	s.Checked = &metav1.Time{Time: now.Truncate(time.Second)}
	if problem == "" || !meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionReady) {
		return
	}
	setCondition(s, now, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNotRegistered,
		shortenTo(longestCondition, problem+"; until this is mended, the policy does not hold for everything that it is about"))
}

// rechecked is after how long a status is written again to show that somebody looks after it.
const rechecked = 5 * time.Minute

// refreshed is after how long a status is written again that only its time makes differ.
const refreshed = time.Hour

// Outdated tells whether a status has to be written.
func Outdated(stored, now v1alpha1.ComputePolicyStatus) bool {
	if stored.Audited != nil && now.Audited != nil && now.Audited.Sub(stored.Audited.Time) < refreshed {
		now.Audited = stored.Audited
	}
	if stored.Checked != nil && now.Checked != nil && now.Checked.Sub(stored.Checked.Time) < rechecked {
		now.Checked = stored.Checked
	}
	return !equality.Semantic.DeepEqual(stored, now)
}

// stateOf is all that does not depend on what exists.
func stateOf(d policy.Description, generation int64, before v1alpha1.ComputePolicyStatus, now time.Time) v1alpha1.ComputePolicyStatus {
	s := v1alpha1.ComputePolicyStatus{ObservedGeneration: generation, Conditions: before.DeepCopy().Conditions}
	if len(d.Invalid) > 0 {
		setCondition(&s, now, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonInvalid,
			shortenTo(longestCondition, problems(d.Invalid)+"; until this is mended, whatever asks for more GPUs than before is refused"))
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionAdvisory)
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionExemptionsEnded)
		return s
	}
	var modes []string
	for _, m := range d.Modes() {
		modes = append(modes, string(m))
	}
	s.Enforcement = strings.Join(modes, ", ")
	setCondition(&s, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonInForce, "the policy is valid and in force")
	advise(&s, d, now)
	exemptions(&s, d, now)
	return s
}

// exemptions says which exemptions have ended; a policy without any that end says nothing.
func exemptions(s *v1alpha1.ComputePolicyStatus, d policy.Description, now time.Time) {
	if !slices.ContainsFunc(d.Exempt, func(e v1alpha1.Exemption) bool { return e.Until != nil }) {
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionExemptionsEnded)
		return
	}
	var texts []string
	for _, i := range d.Ended(now) {
		text := fmt.Sprintf("spec.exempt[%d] ended %s", i, d.Exempt[i].Until.UTC().Format(time.RFC3339))
		if reason := d.Exempt[i].Reason; reason != "" {
			text += " (" + reason + ")"
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		setCondition(s, now, v1alpha1.ConditionExemptionsEnded, metav1.ConditionFalse, v1alpha1.ReasonExemptionsHold, "no exemption has ended")
		return
	}
	setCondition(s, now, v1alpha1.ConditionExemptionsEnded, metav1.ConditionTrue, v1alpha1.ReasonExemptionsEnded,
		shortenTo(longestCondition, strings.Join(texts, "; ")+": the bounds hold again; what was let in stays, and may not grow"))
}

// advise says how firm the bounds are.
func advise(s *v1alpha1.ComputePolicyStatus, d policy.Description, now time.Time) {
	set := func(status metav1.ConditionStatus, reason, message string) {
		setCondition(s, now, v1alpha1.ConditionAdvisory, status, reason, message)
	}
	switch {
	case len(d.Bounds) == 0:
		set(metav1.ConditionFalse, v1alpha1.ReasonNoBounds, "the policy sets no bounds")
	case d.WorkloadSelector:
		set(metav1.ConditionTrue, v1alpha1.ReasonWorkloadSelector,
			"spec.workloadSelector selects by labels that whoever writes a workload chooses: new workloads get around the bounds by leaving them out")
	case len(d.NamespaceLabels) > 0:
		set(metav1.ConditionFalse, v1alpha1.ReasonNamespaceLabels, shortenTo(longestCondition, fmt.Sprintf(
			"spec.namespaceSelector selects by labels of namespaces (%s): the bounds hold as long as tenants may not update Namespaces", strings.Join(d.NamespaceLabels, ", "))))
	default:
		set(metav1.ConditionFalse, v1alpha1.ReasonSelectsAll, "the bounds hang on nothing that a workload or a namespace states of itself")
	}
}

// longestCondition is what the API takes as a condition's message, and a little less.
const longestCondition = 4096

func problems(errs field.ErrorList) string {
	var texts []string
	for _, e := range errs {
		texts = append(texts, e.Error())
	}
	return shortenTo(longestCondition-128, strings.Join(texts, "; "))
}

func setCondition(s *v1alpha1.ComputePolicyStatus, now time.Time, kind string, status metav1.ConditionStatus, reason, message string) {
	c := metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: s.ObservedGeneration}
	if old := meta.FindStatusCondition(s.Conditions, kind); old == nil || old.Status != status {
		c.LastTransitionTime = metav1.Time{Time: now.Truncate(time.Second)} // as it is stored
	}
	meta.SetStatusCondition(&s.Conditions, c)
}
