package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GPUBudget limits the GPUs that all selected workloads may claim together. Its status
// is the ledger: every admission that raises a claim is written there first.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=kubetorch,shortName=gb
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Max",type=string,JSONPath=`.status.summary.max`
// +kubebuilder:printcolumn:name="Used",type=string,JSONPath=`.status.summary.used`
// +kubebuilder:printcolumn:name="Reserved",type=string,JSONPath=`.status.summary.reserved`
// +kubebuilder:printcolumn:name="Available",type=string,JSONPath=`.status.summary.available`
// +kubebuilder:printcolumn:name="Counted",type=string,JSONPath=`.status.conditions[?(@.type=="Counted")].status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Enforcement",type=string,priority=1,JSONPath=`.status.limits.enforcement`
// +kubebuilder:printcolumn:name="Holders",type=string,priority=1,JSONPath=`.status.summary.holders`
// +kubebuilder:printcolumn:name="Checked",type=date,priority=1,JSONPath=`.status.checked`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type GPUBudget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec GPUBudgetSpec `json:"spec"`
	// +optional
	Status GPUBudgetStatus `json:"status,omitempty"`
}

// GPUBudgetList is a list of GPUBudget.
//
// +kubebuilder:object:root=true
type GPUBudgetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GPUBudget `json:"items"`
}

// GPUBudgetSpec is what a GPUBudget selects and allows.
type GPUBudgetSpec struct {
	// NamespaceSelector selects namespaces by their labels; empty selects all. A
	// namespace that a changed label brings in is counted before claims in it may rise.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// GPUTypes are the GPU types that count; empty counts every type. Globs are
	// allowed. A workload that nothing pins to one type counts against every type.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +optional
	GPUTypes []string `json:"gpuTypes,omitempty"`

	// Max is the largest sum of claims: GPUs per pod times peak pods, over the
	// selected workloads.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	// +required
	Max *int64 `json:"max"`

	// MaxPerNamespace is the largest sum of claims in any one namespace.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	// +optional
	MaxPerNamespace *int64 `json:"maxPerNamespace,omitempty"`

	// Rollout says whether an update may start while the GPUs of the version that it
	// replaces and of the new one do not fit together.
	// +kubebuilder:default=Allow
	// +optional
	Rollout RolloutPolicy `json:"rollout,omitempty"`

	// Enforcement is what becomes of a claim that does not fit: Deny refuses it; Warn admits it
	// with a warning, and Audit without a word, and both count it. Empty is Deny.
	// +optional
	Enforcement BudgetEnforcement `json:"enforcement,omitempty"`
}

// BudgetEnforcement says what becomes of a claim that does not fit into a budget.
//
// +kubebuilder:validation:Enum=Deny;Warn;Audit
type BudgetEnforcement string

const (
	// BudgetDeny refuses it.
	BudgetDeny BudgetEnforcement = "Deny"
	// BudgetWarn admits it with a warning.
	BudgetWarn BudgetEnforcement = "Warn"
	// BudgetAudit admits it, and shows it in status and metrics.
	BudgetAudit BudgetEnforcement = "Audit"
)

// RolloutPolicy says what happens to an update whose rollout needs more than is free.
//
// +kubebuilder:validation:Enum=Allow;Strict
type RolloutPolicy string

const (
	// RolloutAllow admits it; the overlap shows in status.overlap.
	RolloutAllow RolloutPolicy = "Allow"
	// RolloutStrict refuses it.
	RolloutStrict RolloutPolicy = "Strict"
)

// ConditionCounted says that the ledger holds every claim that existed when this
// generation of the budget came into force. Until then no claim may rise.
const ConditionCounted = "Counted"

// ConditionWithin says that the claims are within spec.max and spec.maxPerNamespace.
const ConditionWithin = "Within"

// GPUBudgetStatus is the ledger. Written with compare-and-swap by the validating step,
// which only raises entries, and by the controller, which settles and lowers them.
type GPUBudgetStatus struct {
	// Used is the sum of settled claims: those of objects that were seen stored.
	// +optional
	Used int64 `json:"used"`
	// Reserved is what admissions under way may add to it.
	// +optional
	Reserved int64 `json:"reserved"`
	// Overlap is held by revisions that were replaced and have pods still.
	// +optional
	Overlap int64 `json:"overlap,omitempty"`
	// Available is what is left of spec.max.
	// +optional
	Available int64 `json:"available"`
	// Workloads is the number of claims.
	// +optional
	Workloads int32 `json:"workloads"`

	// Checked is when a replica of the webhook last looked after this budget: every ten
	// minutes or so. Where it is older, none runs, and the rest says what was.
	// +optional
	Checked *metav1.Time `json:"checked,omitempty"`

	// Rules is a digest of what GPUs are counted by: the GPU resources of all policies
	// and Knative's defaults, as they were when the claims were counted.
	// +optional
	Rules string `json:"rules,omitempty"`

	// Scope is a digest of the fields of spec that decide what is counted, as they were when the
	// claims were counted: all but max, maxPerNamespace and enforcement.
	// +optional
	Scope string `json:"scope,omitempty"`

	// Limits are those of a generation that every replica of the webhook knows. While they are
	// of an earlier one than spec, the smaller of both hold.
	// +optional
	Limits *BudgetLimits `json:"limits,omitempty"`

	// CountedBy is about when the claims will have been counted, while they are not.
	// +optional
	CountedBy *metav1.Time `json:"countedBy,omitempty"`

	// Summary is the figures as columns show them.
	// +optional
	Summary *BudgetSummary `json:"summary,omitempty"`

	// Holders are the largest claims, the largest first: ten of all, and three of each of the
	// namespaces that hold most.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=400
	// +optional
	Holders []Holder `json:"holders,omitempty"`

	// Settlements is how often claims were settled. It tells a controller that another one
	// has done so since it looked.
	// +optional
	Settlements int64 `json:"settlements,omitempty"`

	// Base are the objects that hold the settled claims as they were when there were last too many
	// new ones to stand here.
	// +optional
	Base *LedgerBase `json:"base,omitempty"`

	// Namespaces are the settled claims; beside a base, those that are not as in it. Where
	// spec.namespaceSelector looks at labels, every namespace that was counted is listed.
	// +listType=atomic
	// +optional
	Namespaces []NamespaceClaims `json:"namespaces,omitempty"`

	// InFlight are, beside a base, the claims of admissions that are not seen stored yet: distinct
	// texts, each with its length before it and their number before all, and one record per
	// claim: 16 bytes of key, then the numbers of the texts that are its namespace and its token, the
	// GPUs and the overlap as varints.
	// +optional
	InFlight []byte `json:"inFlight,omitempty"`

	// Reservations are, without a base, the claims of admissions that are not seen stored yet.
	// +listType=atomic
	// +optional
	Reservations []Reservation `json:"reservations,omitempty"`

	// Conditions are Ready, Counted and Within, and MakersApart if it is False.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// NamespaceClaims are the settled claims of one namespace.
type NamespaceClaims struct {
	// Name of the namespace.
	Name string `json:"name"`
	// Used is the sum of the claims.
	Used int64 `json:"used"`
	// Claims holds one record per claim: 16 bytes of key, then the GPUs and the
	// overlap as varints. Beside a base, 0 GPUs without overlap is a claim of the base that is
	// no more.
	// +optional
	Claims []byte `json:"claims,omitempty"`
}

// LedgerBase are immutable ConfigMaps that hold settled claims of a GPUBudget.
type LedgerBase struct {
	// Namespace of the ConfigMaps.
	Namespace string `json:"namespace"`
	// Parts are the ConfigMaps. All of them together are the base; without any it is empty.
	// +listType=atomic
	Parts []LedgerPart `json:"parts"`
}

// LedgerPart is one ConfigMap of a base.
type LedgerPart struct {
	// Name of the ConfigMap.
	Name string `json:"name"`
	// SHA256 of its claims, in hexadecimal digits. Other claims are not believed.
	SHA256 string `json:"sha256"`
}

// Reservation is the claim of an admission that is not seen stored yet.
type Reservation struct {
	// Key is the UID of the object, or one made from it.
	Key string `json:"key"`
	// Namespace of the object.
	Namespace string `json:"namespace"`
	// Kind and Name of the object, for people.
	// +optional
	Kind string `json:"kind,omitempty"`
	// Name of the object, for people.
	// +optional
	Name string `json:"name,omitempty"`
	// GPUs is the claim.
	GPUs int64 `json:"gpus"`
	// Overlap is what the version that is being replaced holds.
	// +optional
	Overlap int64 `json:"overlap,omitempty"`
	// Token differs for every admission that touched the reservation.
	Token string `json:"token"`
}

// BudgetLimits are the limits of one generation of a budget.
type BudgetLimits struct {
	// Generation is that of the spec that they are from.
	Generation int64 `json:"generation"`
	// Max is the largest sum of claims.
	Max int64 `json:"max"`
	// MaxPerNamespace is the largest sum of claims in any one namespace.
	// +optional
	MaxPerNamespace *int64 `json:"maxPerNamespace,omitempty"`
	// +optional
	Enforcement BudgetEnforcement `json:"enforcement,omitempty"`
}

// BudgetSummary is figures of one moment as people read them.
type BudgetSummary struct {
	// Max is the limit in force.
	Max string `json:"max"`
	// Used is the sum of settled claims, "unbounded" if one of them is.
	Used string `json:"used"`
	// Reserved is what admissions under way may add to it.
	Reserved string `json:"reserved"`
	// Available is what is left of the limit.
	Available string `json:"available"`
	// Holders names the largest claims.
	// +optional
	Holders string `json:"holders,omitempty"`
}

// Holder is an object that claims GPUs.
type Holder struct {
	// Namespace of the object.
	Namespace string `json:"namespace"`
	// Kind of the object.
	Kind string `json:"kind"`
	// Name of the object.
	Name string `json:"name"`
	// GPUs is the claim.
	GPUs int64 `json:"gpus"`
	// Unbounded is whether nothing limits the number of its pods.
	// +optional
	Unbounded bool `json:"unbounded,omitempty"`
}
