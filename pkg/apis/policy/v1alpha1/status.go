package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Types of a ComputePolicy's conditions.
const (
	// ConditionReady: the policy is valid and in force. If it is False the policy sets
	// nothing, and workloads that ask for more GPUs than before are refused.
	ConditionReady = "Ready"
	// ConditionAdvisory: whoever writes a workload can get around the bounds.
	ConditionAdvisory = "Advisory"
	// ConditionCompliant: nothing that exists breaks a bound, as far as the last audit saw.
	ConditionCompliant = "Compliant"
	// ConditionExemptionsEnded: an entry of spec.exempt has ended. Absent if none ends.
	ConditionExemptionsEnded = "ExemptionsEnded"
	// ConditionMakersApart is False where a service account that is trusted to make pods of an operator's kind
	// lives in a namespace that the policy or the budget selects: whoever may write there may act as that. Absent
	// if there is none.
	ConditionMakersApart = "MakersApart"
)

// Reasons of the conditions.
const (
	ReasonInForce = "InForce"
	ReasonInvalid = "Invalid"
	// ReasonNotRegistered: admissions are not sent to the webhook as they should be.
	ReasonNotRegistered = "NotRegistered"

	ReasonWorkloadSelector = "WorkloadSelector"
	ReasonNamespaceLabels  = "NamespaceLabels"
	ReasonSelectsAll       = "NotAvoidable"
	ReasonNoBounds         = "NoBounds"

	ReasonExemptionsHold  = "ExemptionsHold"
	ReasonExemptionsEnded = "ExemptionsEnded"

	ReasonMakersSelected = "MakersSelected"

	ReasonNoViolations = "NoViolations"
	ReasonViolations   = "Violations"
	ReasonAuditFailed  = "AuditFailed"
)

// ListedViolations is how many violations a status lists at most.
const ListedViolations = 20

// ComputePolicyStatus is what became of a ComputePolicy, and what breaks its bounds.
type ComputePolicyStatus struct {
	// ObservedGeneration is the generation of the spec that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions are Ready, Advisory and Compliant, ExemptionsEnded if exemptions end, and MakersApart if it is False.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Enforcement is the ways in which the bounds are enforced, the strictest first, such
	// as "Deny, Audit".
	// +optional
	Enforcement string `json:"enforcement,omitempty"`

	// Violations are the objects that break a bound, as the last audit found them.
	// +optional
	Violations *Violations `json:"violations,omitempty"`

	// Audited is when the last audit ended, to the hour: a later audit that found the
	// same is not written at once.
	// +optional
	Audited *metav1.Time `json:"audited,omitempty"`

	// Checked is when a replica of the webhook last looked after this policy: every ten
	// minutes or so. Where it is older, none runs, and the conditions say what was.
	// +optional
	Checked *metav1.Time `json:"checked,omitempty"`
}

// Violations are what an audit found.
type Violations struct {
	// Total is the number of violations: an object that breaks two bounds counts twice.
	Total int64 `json:"total"`

	// ByBound counts them for each bound that the policy sets.
	// +listType=map
	// +listMapKey=bound
	// +optional
	ByBound []BoundViolations `json:"byBound,omitempty"`

	// List names the first ones, by namespace, kind and name.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +optional
	List []ObjectViolation `json:"list,omitempty"`
}

// BoundViolations counts the objects that break one bound.
type BoundViolations struct {
	// Bound is a field of spec.bounds.
	Bound string `json:"bound"`
	// Enforcement is how the bound is enforced at admission.
	Enforcement Enforcement `json:"enforcement"`
	// Count is the number of objects.
	Count int64 `json:"count"`
}

// ObjectViolation is an object that breaks a bound.
type ObjectViolation struct {
	// Namespace of the object.
	Namespace string `json:"namespace"`
	// Kind of the object.
	Kind string `json:"kind"`
	// Name of the object.
	Name string `json:"name"`
	// Bound is a field of spec.bounds.
	Bound string `json:"bound"`
	// Message says what the object asks for and what is allowed.
	Message string `json:"message"`
}
