package review

import (
	"fmt"
	"net/http"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/cluster"
	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

// World is everything outside a request that its verdict depends on.
type World struct {
	Policies *policy.Set
	Knative  *knative.Config
	// NamespaceLabels are the labels of a namespace; known is false where they cannot
	// be had, as offline.
	NamespaceLabels func(name string) (labels map[string]string, known bool)
	// Revisions that the request's traffic names (Request.NamedRevisions), by name.
	Revisions workload.Revisions
	// Around are the objects of the request's namespace that may point at a Deployment or at
	// its pods (AroundKinds).
	Around []manifest.Object
	// Cluster is nil where there is none to ask, and so is Live, which reads what Knative and its users
	// stored.
	Cluster *Cluster
	Live    cluster.Reader
	// Reader reads what the verdict on what has pods depends on; nil where there is nothing to ask.
	Reader cluster.Reader
	// Documents is whether that is documents: what is not among them may be in the cluster that they
	// are for.
	Documents bool
	// Budgets are those that there are; nil for none.
	Budgets *policy.Budgets
	// Self is the user that the controller is to the API server; empty for nobody.
	Self string
	// Registered is the UID of the webhook configuration that has the API server ask, where
	// Request.HangsOnRecord is true; empty where there is none, as offline.
	Registered string
}

// budgeted tells whether a budget may count: there is one, or documents are judged that are for a cluster.
func (w *World) budgeted() bool { return w.Documents || (w.Budgets != nil && !w.Budgets.None()) }

// Request is an admission request with its objects decoded.
type Request struct {
	raw         *admissionv1.AdmissionRequest
	object, old manifest.Object
	selected    *policy.Selection
	name        string
	// of is the kind of what is judged: of what is scaled, if that is asked for.
	of schema.GroupKind
	// scale is whether the objects are what a scale is to be and was.
	scale bool
	// operators are the kinds whose operators make pods, and madeFinished is whether a new object of one says that
	// it has finished.
	operators    workload.Operators
	madeFinished bool
	// related is what was read for what has pods, and gpus what counts as GPUs of it.
	related related
	gpus    workload.GPUResources
	// mutating is the step that is answered, decisions what it decided.
	mutating  bool
	decisions []Decision
	// refused is the verdict of the latest refusal; nil if there was none.
	refused *Verdict
	// plan is what the Deployment becomes that has no Knative Service yet, once it is known, and filled
	// whether the object is a Service that was just expanded.
	plan   *Conversion
	filled bool
	// exempt are the policies whose bounds are left out, beside those that exempt the
	// user.
	exempt []string
}

var (
	policyKind = schema.GroupKind{Group: "policy.kubetorch.com", Kind: "ComputePolicy"}
	budgetKind = schema.GroupKind{Group: "policy.kubetorch.com", Kind: "GPUBudget"}
)

// Read decodes a request. The answer is not nil where there is nothing left to decide:
// the request concerns nobody here, or cannot be read.
func Read(raw *admissionv1.AdmissionRequest) (*Request, *admissionv1.AdmissionResponse) {
	return ReadWith(raw, workload.BuiltInOperators())
}

// ReadWith decodes a request as Read does, with another table of operators' kinds.
func ReadWith(raw *admissionv1.AdmissionRequest, operators workload.Operators) (*Request, *admissionv1.AdmissionResponse) {
	r := &Request{raw: raw, name: raw.Name, of: groupKind(raw.Kind), operators: operators}
	if scaled, ok := r.scaledKind(); ok {
		r.of, r.scale = scaled, true
	}
	if !r.concerns() {
		return nil, Allow(raw.UID)
	}
	if refused := r.decode(); refused != nil {
		return nil, refused
	}
	if r.name == "" {
		if r.name = manifest.Text(r.object, "metadata", "name"); r.name == "" {
			r.name = manifest.Text(r.object, "metadata", "generateName")
		}
	}
	if (unscalable[r.of] != "" || r.isOperated()) && !r.scale && raw.SubResource == "" {
		if refused := r.refuseKind(); !refused.Allowed || !(r.hasPods() || r.isOperated()) {
			return nil, refused
		}
	}
	if raw.SubResource == "" {
		if errs := r.beyondLimits(); len(errs) > 0 {
			return nil, r.answer(Verdict{Errors: errs})
		}
	}
	if r.onlyEnds() {
		return nil, Allow(raw.UID) // it only goes on until its finalizers are gone
	}
	return r, nil
}

// onlyEnds tells whether a request is about an object that is being deleted, and changes neither its
// status nor whose it is: a pod that somebody takes from its controller while it terminates holds its
// GPUs still, and who answers for a ReplicaSet's pods hangs on whose it is. The controllers of what has pods make none for one that is being deleted; that of
// HorizontalPodAutoscalers goes on.
func (r *Request) onlyEnds() bool {
	if (!r.hasPods() && !r.isOperated()) || r.scale || r.onlyStatus() ||
		manifest.Text(r.object, "metadata", "deletionTimestamp") == "" || r.takesProtection() {
		return false
	}
	return !r.changes("ownerReferences") && (!r.hasPods() || !r.changes("labels"))
}

// concerns tells whether a request is judged here.
func (r *Request) concerns() bool {
	if r.raw.Operation != admissionv1.Create && r.raw.Operation != admissionv1.Update {
		return false
	}
	switch {
	case r.raw.SubResource != "":
		return r.scale || r.isStatus() || r.isResize()
	case r.of == ServiceKind, r.of == policyKind, r.of == budgetKind, r.of == DeploymentKind, unscalable[r.of] != "",
		r.of == workload.HorizontalPodAutoscalerKind, r.of == workload.LimitRangeKind:
		return true
	case r.of == workload.ResourceClaimTemplateKind:
		return r.raw.Operation == admissionv1.Create // it never changes
	}
	return r.hasPods() || r.isOperated() || slices.Contains(children, r.of)
}

// decode reads the objects. Those of a Knative Service may share what they have in common.
func (r *Request) decode() (refused *admissionv1.AdmissionResponse) {
	var err error
	inOld := false
	if r.kind() == ServiceKind && r.raw.Operation == admissionv1.Update {
		r.object, r.old, inOld, err = manifest.DecodePair(r.raw.Object.Raw, r.raw.OldObject.Raw)
	} else if r.kind() == ServiceKind {
		r.object, err = manifest.DecodeState(r.raw.Object.Raw)
	} else if r.object, err = manifest.Decode(r.raw.Object.Raw); err == nil && r.raw.Operation == admissionv1.Update {
		r.old, err = manifest.Decode(r.raw.OldObject.Raw)
		inOld = true
	}
	switch {
	case err != nil && inOld:
		return unusable(r.raw.UID, "oldObject", err)
	case err != nil:
		return unusable(r.raw.UID, "object", err)
	case r.old != nil:
		r.identify()
	}
	if (r.hasPods() || r.isOperated()) && !r.scale {
		r.complete(r.object)
		r.complete(r.old)
	}
	if row, ok := r.operators.For(r.of); ok && r.isOperated() && r.old == nil {
		r.madeFinished = row.HasFinished(r.object)
		delete(r.object, "status") // whoever creates it cannot know
	}
	return nil
}

// complete states in an object what its request says of it, as every stored object does.
func (r *Request) complete(o manifest.Object) {
	if o == nil {
		return
	}
	if manifest.Text(o, "kind") == "" {
		o["apiVersion"], o["kind"] = schema.GroupVersion{Group: r.raw.Kind.Group, Version: r.raw.Kind.Version}.String(), r.raw.Kind.Kind
	}
	if metadata := manifest.Map(o, "metadata"); metadata != nil && manifest.Text(metadata, "namespace") == "" && r.raw.Namespace != "" {
		metadata["namespace"] = r.raw.Namespace
	}
}

// identify gives the new object of an update, such as one by kubectl replace, the UID that
// it is going to keep.
func (r *Request) identify() {
	uid := manifest.Text(r.old, "metadata", "uid")
	if metadata := manifest.Map(r.object, "metadata"); metadata != nil && uid != "" {
		metadata["uid"] = uid
	}
}

// Allow admits a request without a change.
func Allow(uid types.UID) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{UID: uid, Allowed: true}
}

func unusable(uid types.UID, part string, err error) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{UID: uid, Result: &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusBadRequest,
		Reason: metav1.StatusReasonBadRequest, Message: fmt.Sprintf("%s of the admission request: %v", part, err)}}
}

// Namespace of the object.
func (r *Request) Namespace() string { return r.raw.Namespace }

// NamedRevisions are the revisions that the claims of the old and the new object depend
// on: those that traffic names, and the one whose name the user chose. An update that asks
// for the same depends on none.
func (r *Request) NamedRevisions() []string {
	if (r.kind() != ServiceKind && r.kind() != ConfigurationKind) || r.asksTheSame() {
		return nil
	}
	names := workload.RevisionsToRead(r.object)
	for _, n := range workload.RevisionsToRead(r.old) {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

func (r *Request) isPolicy() bool { return r.kind() == policyKind || r.kind() == budgetKind }

// selection is the policies that hold for the request: defaults by the new object,
// bounds by the old one too. A request is judged in one World only.
func (r *Request) selection(w World) policy.Selection {
	if r.selected == nil {
		s := r.selectPolicies(w)
		r.selected = &s
	}
	return *r.selected
}

func (r *Request) selectPolicies(w World) policy.Selection {
	labels, known := map[string]string(nil), false
	if w.NamespaceLabels != nil {
		labels, known = w.NamespaceLabels(r.raw.Namespace)
	}
	if labels == nil && known {
		labels = map[string]string{corev1.LabelMetadataName: r.raw.Namespace}
	}
	subject := func(o manifest.Object) policy.Subject {
		return policy.Subject{Namespace: r.raw.Namespace, NamespaceLabels: labels, NamespaceKnown: known,
			Labels: manifest.Texts(o, "metadata", "labels"), User: r.raw.UserInfo}
	}
	subjects := []policy.Subject{subject(r.object)}
	if r.old != nil {
		subjects = append(subjects, subject(r.old))
	}
	return w.Policies.For(subjects...).Without(r.exempted(w)).WithBudget(func() string {
		for _, b := range w.Budgets.All() {
			if b.Selects(r.raw.Namespace, labels, known) {
				return b.Name
			}
		}
		return ""
	})
}

// expandService is a variable for tests, which count.
var expandService = expand.Service

func (r *Request) expand(w World) expand.Result {
	if r.old != nil && !expand.Unchanged(r.old, r.object) {
		r.old = clone(r.old) // the object is about to change, and they may have parts in common
	}
	return expandService(expand.Input{Object: r.object, Old: r.old, Policies: r.selection(w), Knative: w.Knative, Revisions: w.Revisions})
}
